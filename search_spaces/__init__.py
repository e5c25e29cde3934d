"""The spaces that come with mixer-nas: one a file, each a function of the input size in pixels."""

from __future__ import annotations

from collections.abc import Callable

from nas.errors import ArchitectureError, InputError, unknown
from nas.space import Space
from search_spaces import cvt, isotropic, metaformer

SPACES: dict[str, Callable[[int], Space]] = {
    "metaformer": metaformer.space,
    "cvt": cvt.space,
    "cvt13-nas": cvt.cvt13_nas,
    "isotropic": isotropic.space,
}


def get(name: str, resolution: int) -> Space:
    """A space by name for square inputs of side `resolution`. Raises: InputError."""
    if name not in SPACES:
        raise unknown("space", name, list(SPACES))
    if not 4 <= resolution <= 1024:
        raise InputError(f"the space {name!r} takes inputs of 4 to 1024 pixels, not {resolution}")
    try:
        return SPACES[name](resolution)
    except ArchitectureError as error:
        raise InputError(f"the space {name!r} does not take {resolution} pixels: {error}") from error


__all__ = ["SPACES", "get"]
