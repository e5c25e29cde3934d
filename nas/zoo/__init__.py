"""The published architectures as values, and each family at any scale.

`get` gives a published network, `entry` what is known of it; `scaled` gives the largest member of a family within
limits, at any resolution.
"""

from __future__ import annotations

from nas.architecture import Architecture
from nas.errors import InputError, unknown
from nas.zoo.comparison import COMPARISON
from nas.zoo.published import PUBLISHED, Published
from nas.zoo.scaled import FAMILIES, Family, scaled


def names() -> list[str]:
    """The published networks."""
    return list(PUBLISHED)


def entry(name: str) -> Published:
    """What is known of a published network. Raises: InputError naming the nearest."""
    if name in {row.name for row in COMPARISON}:
        raise InputError(f"{name} is a row to compare with, as others report it; it is not built here")
    if name not in PUBLISHED:
        raise unknown("architecture", name, names(), listed_by="nas zoo")
    return PUBLISHED[name]


def get(name: str) -> Architecture:
    """A published network. Raises: InputError naming the nearest."""
    return entry(name).make()


__all__ = ["FAMILIES", "PUBLISHED", "Family", "Published", "entry", "get", "names", "scaled"]
