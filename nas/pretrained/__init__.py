"""Published weights: state dicts of timm, transformers and the official repositories become ours, and back.

    model = pretrained.load("cvt-13", pretrained.read("cvt-13.safetensors"), source="transformers")

Keys that are unknown, missing or of another shape are listed, and nothing is loaded. A source that a family has no
names for (CvT is not in timm) is an error that names the ones it has.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas import zoo
from nas.architecture import Architecture
from nas.errors import InputError, unknown
from nas.model import Backbone, build
from nas.pretrained.naming import Naming, Theirs
from nas.pretrained.tables import NAMINGS
from nas.pretrained.ways import WAYS, split

SOURCES = ("timm", "transformers", "official")
WRAPPERS = ("model", "state_dict", "params")  # names under which releases keep the state dict
Parts = Mapping[str, Theirs]
SHOWN = 3  # keys of each kind that an error lists


def load(name: str, state: Mapping[str, Any], source: str | None = None) -> Backbone:
    """The published network `name` with the weights of `state`, in evaluation mode, float32.

    Args:
        name: of `nas.zoo`.
        state: their state dict (tensors by name), bare or under "model", "state_dict" or "params".
        source: "timm", "transformers" or "official"; None takes the one whose names fit.

    The number of classes is that of the checkpoint. Raises: InputError for an unknown name or source, and for a
    checkpoint of another model, listing its first mismatches.
    """
    return load_as(zoo.get(name), zoo.entry(name).family, state, source)


def load_as(architecture: Architecture, family: str, state: Mapping[str, Any], source: str | None = None) -> Backbone:
    """As `load`, for an architecture of one's own that is built as a published `family` is."""
    tensors = _unwrapped(state)

    @cache
    def blank(classes: int) -> Backbone:
        with torch.device("meta"):
            return build(architecture, num_classes=classes)

    parts = [(of, naming, dict(naming.parts(architecture))) for of, naming in _namings(family, source)]
    attempts = [_Attempt(*each, blank, tensors) for each in parts]
    best = min(attempts, key=lambda attempt: attempt.mismatches)
    if best.mismatches:
        raise InputError(f"these weights are not of this {family}, read as {best.source}: {best.report()}")
    model = blank(best.classes)
    model.load_state_dict(best.ours, assign=True)
    return model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def translate_back(model: Backbone, family: str, source: str) -> dict[str, Tensor]:
    """The weights of `model` by the names of a source (as its files have them): the inverse of `load`.

    Raises: InputError where the names of that source cannot be given back (Flax's heads), or do not cover the model.
    """
    state, theirs = model.state_dict(), dict[str, Tensor]()
    readings = [(naming, dict(naming.parts(model.architecture))) for _, naming in _namings(family, source)]
    naming, parts = next(
        (reading for reading in readings if all(_part(reading[1], key)[0].names for key in state)), (None, {})
    )
    if naming is None:
        raise InputError(f"this model has parts that {source} has no names for in {family}")
    for key, value in state.items():
        part, leaf = _part(parts, key)
        back = WAYS[part.way].to_theirs
        if back is None:
            raise InputError(f"{family} cannot be written by the names of {source}: {part.names[0]} needs its heads")
        names = _names(naming, part, leaf)
        pieces = split(value, part.shares) if len(names) > 1 else [value]
        theirs |= {
            name: back(piece).clone(memory_format=torch.contiguous_format)
            for name, piece in zip(names, pieces, strict=True)
        }
    return theirs


def read(path: str | Path) -> dict[str, Any]:
    """The tensors of a .safetensors, .npz or torch file. Nothing is unpickled. Raises: InputError naming the file."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {os.strerror(errno.EISDIR if path.is_dir() else errno.ENOENT)}")
    reader, kind = READERS.get(path.suffix, (_read_torch, "torch file of tensors alone"))
    try:
        body = reader(path)
    except PermissionError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except Exception as error:  # every reader has errors of its own, and all of them mean a file of another kind
        raise InputError(f"{path} is no {kind}: holds no weights that can be read safely") from error
    if not isinstance(body, dict):
        raise InputError(f"{path} holds a {type(body).__name__}, not a state dict")
    return body


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _read_npz(path: Path) -> Any:
    import numpy

    with path.open("rb") as file, numpy.load(file, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _read_torch(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


READERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    ".safetensors": (_read_safetensors, "safetensors file"),
    ".npz": (_read_npz, ".npz file of arrays alone"),
}


class _Attempt:
    """Their tensors read by one naming: ours, and what does not fit."""

    def __init__(
        self, source: str, naming: Naming, parts: Parts, blank: Callable[[int], Backbone], tensors: Mapping[str, Tensor]
    ) -> None:
        """`blank` makes the network for a number of classes, without memory for its weights."""
        self.source, self.naming, self.missing, self.misshapen = source, naming, [], []
        self.ours: dict[str, Tensor] = {}
        self.classes = self._count_classes(parts, tensors)
        expected = blank(self.classes).state_dict()
        used: set[str] = set()
        for key, like in expected.items():
            self._one(key, like, parts, tensors, used)
        self.unknown = sorted(set(tensors) - used)

    missing: list[str]
    misshapen: list[str]

    @property
    def mismatches(self) -> int:
        return len(self.missing) + len(self.misshapen) + len(self.unknown)

    def _count_classes(self, parts: Parts, tensors: Mapping[str, Tensor]) -> int:
        for key in ("classifier.3.bias", "classifier.bias"):
            part, leaf = _part(parts, key)
            found = tensors.get(_names(self.naming, part, leaf)[0]) if part.names else None
            if found is not None and found.ndim == 1:
                return max(1, found.shape[0])
        return 1000

    def _one(self, key: str, like: Tensor, parts: Parts, tensors: Mapping[str, Tensor], used: set[str]) -> None:
        part, leaf = _part(parts, key)
        names = _names(self.naming, part, leaf)
        absent = [name for name in names if name not in tensors]
        if leaf == "num_batches_tracked" and absent:  # early checkpoints do not have it, and nothing depends on it
            self.ours[key] = torch.zeros((), dtype=torch.long)
            return
        used.update(names)
        if absent or not names:
            self.missing += absent or [f"(a name for {key})"]
            return
        pieces = [_piece(tensors[name], part) for name in names]
        wanted = [like.shape] if len(names) == 1 else [piece.shape for piece in split(like, part.shares)]
        wrong = [
            f"{name} {tuple(tensors[name].shape)} for our {key} {tuple(like.shape)}"
            for name, piece, shape in zip(names, pieces, wanted, strict=True)
            if piece is None or piece.shape != shape
        ]
        self.misshapen += wrong
        if not wrong:
            fitting = [piece for piece in pieces if piece is not None]
            value = torch.cat(fitting) if len(fitting) > 1 else fitting[0]
            self.ours[key] = value.to(like.dtype).clone(memory_format=torch.contiguous_format)

    def report(self) -> str:
        kinds = {"missing": self.missing, "unknown": self.unknown, "of another shape": self.misshapen}
        return "; ".join(
            f"{len(keys)} {kind} ({', '.join(keys[:SHOWN])}{', ...' if len(keys) > SHOWN else ''})"
            for kind, keys in kinds.items()
            if keys
        )


def _piece(tensor: Tensor, part: Theirs) -> Tensor | None:
    """Their tensor in our layout; None where it cannot be brought there."""
    axis = {"heads_in": -1, "heads_out": 1}.get(part.way)
    if axis is not None and tensor.ndim == 3 and tensor.shape[axis] != part.head_width:
        return None
    try:
        return WAYS[part.way].to_ours(tensor)
    except (RuntimeError, IndexError):
        return None


def _namings(family: str, source: str | None) -> list[tuple[str, Naming]]:
    check_source(family, source)
    sources = NAMINGS[family] if source is None else [source]
    return [(name, naming) for name in sources for naming in NAMINGS[family][name]]


def check_source(family: str, source: str | None) -> None:
    """Raises: InputError for an unknown family or source, and for a source that does not have the family."""
    if family not in NAMINGS:
        raise unknown("family", family, list(NAMINGS))
    if source is None:
        return
    if source not in SOURCES:
        raise unknown("source", source, SOURCES)
    if source not in NAMINGS[family]:
        raise InputError(f"{source} has no {family}; weights come from {' or '.join(NAMINGS[family])}")


def _part(parts: Parts, key: str) -> tuple[Theirs, str]:
    """The longest of our prefixes that `key` has, and the rest of it."""
    prefix = key
    while prefix:
        if prefix in parts:
            return parts[prefix], key[len(prefix) + 1 :]
        prefix = prefix.rpartition(".")[0]
    return Theirs(()), ""


def _names(naming: Naming, part: Theirs, leaf: str) -> list[str]:
    last = part.leaves.get(leaf, leaf)
    return [f"{name}{naming.separator}{last}" if last else name for name in part.names]


def _unwrapped(state: Any) -> dict[str, Tensor]:
    while isinstance(state, Mapping) and (inner := next((name for name in WRAPPERS if _holds(state, name)), None)):
        state = state[inner]
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise InputError("these weights are no state dict: tensors by name are expected")
    tensors = {_bare(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError("these weights hold no tensors by name")
    for name, value in tensors.items():
        if value.layout is not torch.strided or value.is_complex() or value.is_quantized:
            raise InputError(f"these weights hold {name} as a tensor that is not dense and real")
        if value.is_floating_point() and not value.is_meta and not bool(value.isfinite().all()):
            raise InputError(f"these weights hold {name} with values that are not finite")
    return tensors


def _bare(name: str) -> str:
    """Without what DataParallel and torch.compile put before every name."""
    return name.removeprefix("module.").removeprefix("_orig_mod.")


def _holds(state: Mapping[Any, Any], name: str) -> bool:
    return isinstance(state.get(name), Mapping)
