"""The member of a space that is most like a given value: how a published network becomes a starting point."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from nas.architecture import Architecture
from nas.checked import Checked
from nas.errors import ArchitectureError, InputError, SpaceError
from nas.feasible import Priced, Pricing
from nas.nodes import Const, Genome, Group, Pick, Times

OTHER_KIND = 4.0  # how far apart two kinds of mixer, embedding or head are; a factor of e in a number is 1
FLAG = 0.25  # how far apart two settings of a flag are
KIN = (  # mixers that stand in for each other; half as far apart
    {"attention", "conv_attention"},
    {"token_mlp", "token_linear", "gated_mlp", "multi_axis_mlp", "random_mixing"},
    {"pooling", "depthwise_conv", "separable_conv"},
)
WIDTHS = [0.9**step for step in range(30)]  # scales tried, down to 1/20
DEPTHS = [1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1]
MISSING = object()


@dataclasses.dataclass(frozen=True)
class Start:
    """A point to start from.

    Attributes:
        genome: of the space. exact: it is the value asked for.
        width, depth: scales of that value that it was made from.
    """

    genome: Genome
    exact: bool
    width: float = 1.0
    depth: float = 1.0


def starting_point(pricing: Pricing, value: Any) -> Start:
    """`value` itself where it is in the space and within the limits; else a member like it, scaled down.

    Of the scales within the limits it is the one that shrinks neither width nor depth more than it must.
    Only architectures are scaled; another value over the limits is given back as it is. Raises: SpaceError for such a
    value that is not in the space, InputError when no scale of an architecture comes within the limits.
    """
    try:
        priced = pricing.price(pricing.space.encode(value))
    except (SpaceError, ArchitectureError):
        if not isinstance(value, Architecture) or not _holds_architectures(pricing):
            raise
    else:
        if not (priced.excess and isinstance(value, Architecture)):
            return Start(priced.genome, exact=True)
    fitting = [found for depth in DEPTHS if (found := _widest(pricing, value, depth))]
    if fitting:  # neither the width nor the depth shall bear it alone
        return max(fitting, key=lambda found: (min(found[1].width, found[1].depth), found[0]))[1]
    return _walked(pricing, value)


def _holds_architectures(pricing: Pricing) -> bool:
    return isinstance(pricing.space.decode(pricing.space.sample(random.Random(0))), Architecture)


def _walked(pricing: Pricing, value: Architecture) -> Start:
    """From the smallest scale, mutated until it is within the limits."""
    width, depth, rng = WIDTHS[-1], DEPTHS[-1], random.Random(0)
    here = _price(pricing, nearest(pricing, scaled(value, width, depth)))
    for start in (here, *(pricing.price(pricing.space.sample(rng)) for _ in range(8))):
        there = start and pricing.walk_down(start, rng, lambda _: True)
        if there is not None and not there.excess:
            return Start(there.genome, exact=False, width=width, depth=depth)
    limits = ", ".join(map(str, pricing.limits)) or "what is legal"
    raise InputError(f"nothing like it is within {limits} in this space")


def _widest(pricing: Pricing, value: Architecture, depth: float) -> tuple[float, Start] | None:
    """The widest scale at one depth that is within the limits, with its size."""
    seen: set[Genome] = set()
    for width in WIDTHS:
        genome = nearest(pricing, scaled(value, width, depth))
        priced = None if genome in seen else _price(pricing, genome)
        seen.add(genome)
        if priced is not None and not priced.excess:
            return _size(priced), Start(genome, exact=False, width=width, depth=depth)
    return None


def scaled(architecture: Architecture, width: float, depth: float) -> Architecture:
    """The architecture with its widths and depths scaled; unchecked, since it is only compared with."""
    stages = tuple(
        dataclasses.replace(
            stage,
            width=max(1, round(stage.width * width)),
            blocks=stage.blocks[: max(1, round(len(stage.blocks) * depth))],
        )
        for stage in architecture.stages
    )
    return Architecture.unchecked({"resolution": architecture.resolution, "stages": stages, "head": architecture.head})[
        0
    ]


def nearest(pricing: Pricing, value: Any) -> Genome:
    """The genome whose value is most like `value`; it may be illegal or over the limits."""
    options = [0] * len(pricing.space)
    _approach(pricing.space.root, value, options)
    return pricing.space.canonical(options)


def _price(pricing: Pricing, genome: Genome) -> Priced | None:
    try:
        return pricing.price(genome)
    except ArchitectureError:
        return None


def _size(priced: Priced) -> float:
    return priced.costs.get("params", next(iter(priced.costs.values()), 0.0))


@singledispatch
def _approach(node: Any, value: Any, options: list[int]) -> float:  # noqa: ARG001 - the signature is the contract's
    """Set the genes below `node` as `value` has it, and say how far the outcome is from it."""
    raise TypeError(f"{node!r} is no node")


@_approach.register
def _(node: Const, value: Any, options: list[int]) -> float:  # noqa: ARG001 - a constant has no genes
    return _apart(node.value, value)


@_approach.register
def _(node: Group, value: Any, options: list[int]) -> float:
    if issubclass(node.cls, list | tuple):
        return _sequence(list(node.parts.values()), value, options)
    get = (
        (lambda name: value.get(name, MISSING))
        if isinstance(value, dict)
        else (lambda name: getattr(value, str(name), MISSING))
    )
    distance = sum(_approach(part, get(name), options) for name, part in node.parts.items())
    return distance + _kinship(node.cls, type(value))


@_approach.register
def _(node: Times, value: Any, options: list[int]) -> float:
    items = value if isinstance(value, tuple) and value else (MISSING,)
    length = _approach(node.length, len(items), options)
    return length + float(_approach(node.item, items[len(items) // 2], options))


@_approach.register
def _(node: Pick, value: Any, options: list[int]) -> float:
    best, chosen = math.inf, options
    for index, option in enumerate(node.options):
        tried = list(options)
        distance = float(_approach(option, value, tried))
        if distance < best:
            tried[node.gene] = index
            best, chosen = distance, tried
    options[:] = chosen
    return best


def _sequence(parts: Sequence[Any], value: Any, options: list[int]) -> float:
    """Stages of a pyramid with another number of them are taken in proportion, the first and the last kept."""
    items = list(value) if isinstance(value, list | tuple) and value else [MISSING]
    last = len(items) - 1
    distance = float(abs(len(parts) - len(items)))
    for index, part in enumerate(parts):
        place = last if len(parts) == 1 else round(index * last / (len(parts) - 1))
        distance += float(_approach(part, items[place], options))
    return distance


def _apart(ours: Any, theirs: Any) -> float:
    if theirs is MISSING or ours == theirs:
        return 0.0
    if isinstance(ours, bool):
        return FLAG
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return abs(math.log(ours / theirs)) if ours > 0 and theirs > 0 else 1.0
    if isinstance(ours, Checked) and type(ours) is type(theirs):
        fields = dataclasses.fields(ours)
        return sum(_apart(getattr(ours, field.name), getattr(theirs, field.name)) for field in fields)
    if isinstance(ours, Checked) or isinstance(theirs, Checked):
        return _kinship(type(ours), type(theirs))
    return 1.0


def _kinship(ours: type, theirs: type) -> float:
    if ours is theirs:
        return 0.0
    kinds = {getattr(ours, "kind", None), getattr(theirs, "kind", None)}
    if "identity" in kinds:  # mixing nothing stands in for nothing
        return 1.5 * OTHER_KIND
    return OTHER_KIND / 2 if any(kinds <= kin for kin in KIN) else OTHER_KIND
