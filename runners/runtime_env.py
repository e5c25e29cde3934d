"""`--runtime-env FILE`: what Ray shall set up on the nodes, and what never goes there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import InputError

STORAGE = ("NAS_STORAGE", "NAS_STORAGE_FILE")
SECRETS = (*STORAGE, "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE")
LARGEST_FILE = 1_000_000
PATHS = ("working_dir", "pip", "uv", "conda")  # those of Ray's fields that may name a file or directory


def read_runtime_env(path: Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file. Raises: InputError naming the file."""
    import yaml

    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"--runtime-env {path}: larger than 1 MB, no such file is")
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"--runtime-env {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--runtime-env {path}: neither YAML nor JSON: {reason}") from error
    if not isinstance(found, dict):
        raise InputError(f"--runtime-env {path}: a mapping is expected, as in `pip: [timm]`")
    return found


def refuse_runtime_env(asked: Mapping[str, Any] | str | None, runner: str) -> None:
    """Raises: InputError when one was asked for and the runner has no use for it."""
    if asked is not None:
        raise InputError(f"runtime_env: it is for the nodes of Ray; the {runner} runner has none")


def checked_runtime_env(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The same with paths made absolute, as Ray is connected to from another directory.

    Raises: InputError for what is no mapping of names, or would take a secret to the workers.
    """
    if not all(isinstance(name, str) for name in asked):
        raise InputError(f"runtime_env {dict(asked)!r}: fields of Ray's such as pip, conda or env_vars are expected")
    variables = asked.get("env_vars", {})
    if not isinstance(variables, Mapping):
        raise InputError(f"runtime_env: env_vars {variables!r}: a mapping of names to texts is expected")
    if told := sorted({*variables} & {*STORAGE}):
        raise InputError(f"runtime_env: env_vars: {told[0]} is the driver's alone, workers never see the database")
    found = dict(asked)
    for name in PATHS:
        if name in found:
            found[name] = _absolute(found[name])
    if isinstance(found.get("py_modules"), list):
        found["py_modules"] = [_absolute(entry) for entry in found["py_modules"]]
    return found


def _absolute(entry: Any) -> Any:
    return str(Path(entry).absolute()) if isinstance(entry, str) and Path(entry).exists() else entry
