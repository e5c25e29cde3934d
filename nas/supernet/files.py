"""A trained supernet as a file: safetensors with what it is in the header. Written whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nas.data import ImageData
from nas.errors import InputError
from nas.space import Space
from nas.writing import written_whole

FORMAT = "mixer-nas/supernet/1"
NAME = "supernet.safetensors"


@dataclasses.dataclass(frozen=True)
class SupernetFile:
    """What a file says of itself.

    Attributes:
        path: absolute. digest: of its bytes, 32 hex digits.
        space, data: digests of what it holds and of the images that it was trained on, with their `resolution`.
        facts: how it was trained: plan, epochs, steps, passes, seconds, seed, version, and the course of shrinking.
    """

    path: str
    digest: str
    space: str
    data: str
    resolution: int
    facts: Mapping[str, Any]


def write(path: Path, weights: Mapping[str, Tensor], space: Space, data: ImageData, facts: Mapping[str, Any]) -> None:
    """Write the weights by slot. Raises: OSError."""
    told = {
        "format": FORMAT,
        "space": space.digest,
        "data": data.digest,
        "resolution": str(data.resolution),
        "facts": json.dumps(facts, allow_nan=False),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(save({name: each.contiguous() for name, each in weights.items()}, told))


def read(path: Path) -> SupernetFile:
    """What the file says of itself. Raises: InputError for one that is not there, not ours, or not whole."""
    try:
        content = hashlib.sha256()
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                content.update(piece)
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no safetensors file, or cut short"
        raise InputError(f"{path}: {why}; a supernet written by `nas search --weights supernet` is expected") from error
    if told.get("format") != FORMAT:
        raise InputError(f"{path}: no supernet of mixer-nas ({FORMAT} is expected, not {told.get('format')!r})")
    try:
        facts = _facts(told["facts"])
        digest, side = content.hexdigest()[:32], int(told["resolution"])
        return SupernetFile(str(path.absolute()), digest, told["space"], told["data"], side, facts)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: a supernet file without a readable {error}") from error


def _facts(text: str) -> dict[str, Any]:
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise KeyError("facts")
    return facts


def check(file: SupernetFile, space: Space, data: ImageData) -> None:
    """Raises: InputError for a supernet of another space or of other images."""
    if file.space != space.digest:
        raise InputError(f"{file.path}: a supernet of another space ({file.space}; this one is {space.digest})")
    if (file.data, file.resolution) != (data.digest, data.resolution):
        raise InputError(
            f"{file.path}: trained on other images ({file.data}, {file.resolution} px; these are {data.digest}, "
            f"{data.resolution} px)"
        )


@lru_cache(2)
def weights_of(path: str, digest: str) -> Mapping[str, Tensor]:
    """The weights by slot, mapped from the file: processes of a node share the memory.

    Raises: InputError where it is another file by now, or is gone.
    """
    if (found := read(Path(path)).digest) != digest:
        raise InputError(f"{path} has changed: its digest was {digest} and is {found}")
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
