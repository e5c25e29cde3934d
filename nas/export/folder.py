"""The folder of an export: what may lie in it, and how it is written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from nas.errors import ExportError, InputError

REQUIRED = ("architecture.json", "export.json", "model.safetensors")
OPTIONAL = (
    "README.md",
    "architecture.svg",
    "metrics.json",
    "model.onnx",
    "model.onnx.data",  # the weights beside a graph of over 2 GB
    "model.pt2",
    "model.py",
    "preprocess.json",
)
FILES = tuple(sorted((*REQUIRED, *OPTIONAL)))
BESIDE = {"__pycache__"}  # what using an export leaves in it
LONGEST = 200  # characters of a folder's name; a file system takes 255, and the temporary one has more


def check_target(target: Path, *, force: bool) -> None:
    """Whether an export may be written there.

    Raises: InputError when the name cannot be one, or when `target` exists and may not be replaced: only a folder that
    is an export may, no link to one, and only with `force`.
    """
    name = target.name
    if not name or name == ".." or "\0" in str(target) or len(os.fsencode(name)) > LONGEST:
        raise InputError(f"{str(target)[:80]!r} is no name for a folder: 1 to {LONGEST} bytes at its end are expected")
    try:
        if target.is_symlink():
            raise InputError(f"{target} is a link; name the folder itself")
        there = target.exists()
        ours = there and is_export(target)
    except OSError as error:
        raise InputError(f"cannot look into {target}: {error.strerror}") from error
    if there and not (ours and force):
        raise InputError(f"{target} exists{'; --force replaces an export' if ours else ' and is no export of ours'}")


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export of ours and nothing else. Raises: OSError."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()} - BESIDE
    if not set(REQUIRED) <= names <= set(FILES):
        return False
    try:
        return "mixer_nas" in json.loads((folder / "export.json").read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        return False


def held(folder: Path) -> tuple[str, ...]:
    """The names of its files."""
    return tuple(sorted(path.name for path in folder.iterdir() if path.name not in BESIDE))


@contextmanager
def whole(target: Path, *, force: bool) -> Iterator[Path]:
    """A scratch folder that becomes `target` when all went well, and is gone otherwise.

    Everything is on the disk before it gets its name. An export that is replaced is moved aside first, and comes back
    when the new one cannot take its place.
    Raises: ExportError, and InputError for what appeared there meanwhile and may not be replaced (see `check_target`).
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise ExportError(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        yield scratch
        _finish(scratch)
        check_target(target, force=force)
        _into_place(scratch, target)
    except (OSError, SafetensorError) as error:
        raise ExportError(f"cannot write {target}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _into_place(scratch: Path, target: Path) -> None:
    aside = scratch.with_name(f"{scratch.name}.old")
    replaced = target.exists()
    if replaced:
        target.rename(aside)
    try:
        scratch.rename(target)
        _sync_one(target.parent)
    except OSError:
        if target.exists():
            target.rename(scratch)  # where it is deleted
        if replaced:
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _finish(folder: Path) -> None:
    """Nothing but our files, readable by all, and all of it on the disk."""
    for beside in BESIDE:
        shutil.rmtree(folder / beside, ignore_errors=True)
    for path in (*folder.iterdir(), folder):
        path.chmod(0o755 if path.is_dir() else 0o644)
        _sync_one(path)


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
