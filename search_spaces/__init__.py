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

STARTS: dict[str, tuple[str, ...]] = {
    "metaformer": ("poolformer-s12", "convformer-s18", "caformer-s18"),
    "cvt": ("cvt-13",),
    "cvt13-nas": ("cvt-13", "cvt-13-nas"),
    "isotropic": ("convmixer-256-8-cifar10", "mixer-s16", "gmlp-ti16", "resmlp-s12", "deit-tiny"),
}
"""A published network of each family that a space holds: where a search begins, scaled into the budget."""


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


__all__ = ["SPACES", "STARTS", "get"]
