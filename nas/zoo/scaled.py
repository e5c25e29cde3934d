"""Each family at any scale: the largest member within limits at any resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from nas.architecture import Architecture
from nas.costs import cost
from nas.errors import ArchitectureError
from nas.zoo.families import conv_mixer, cvt, mlp_mixer, vit
from nas.zoo.metaformer import pool_former


@dataclasses.dataclass(frozen=True)
class Family:
    """A published family whose members at other scales keep its proportions.

    Attributes:
        name: of the family.
        published: the member whose proportions are kept.
        make: (width unit, depth, resolution) to a member; the unit is the width of the first or only stage.
        unit: widths are multiples of it.
        depths: depths to choose from.
    """

    name: str
    published: str
    make: Callable[[int, int, int], Architecture]
    unit: int
    depths: tuple[int, ...]


def _scaled_patch(resolution: int) -> int:
    """224 takes 16, 32 and 28 take 2, 8 takes 1: 14 to 16 positions a side where the image has them."""
    return max(1, resolution // 14)


def _scaled_tokens(resolution: int) -> int:
    """The same for networks of tokens, which do badly on single pixels: 8 takes 2."""
    return 2 if 8 <= resolution < 28 and resolution % 2 == 0 else _scaled_patch(resolution)


def _scaled_strides(resolution: int, stages: int) -> list[int]:
    """Halvings down to a map of 4x4 or so; the stem takes two at once from 64 pixels on."""
    strides, side = [], resolution
    for index in range(stages):
        stride = 4 if index == 0 and side >= 64 else 2 if side >= 8 and (index or side >= 16) else 1
        strides.append(stride)
        side = -(-side // stride)
    return strides


def _scaled_pool_former(width: int, depth: int, resolution: int) -> Architecture:
    widths, depths = (width, 2 * width, 5 * width), (depth, depth, 3 * depth)
    return pool_former(widths, depths, layer_scale=1e-5, strides=_scaled_strides(resolution, 3), resolution=resolution)


def _scaled_cvt(width: int, depth: int, resolution: int) -> Architecture:
    strides, side, kv = _scaled_strides(resolution, 3), resolution, []
    for stride in strides:
        side = -(-side // stride)
        kv.append(2 if side > 1 else 1)
    return cvt(
        (width, 3 * width, 6 * width),
        (1, max(1, depth // 2), 2 * depth),
        strides=strides,
        head_width=width,
        kv_strides=kv,
        resolution=resolution,
    )


FAMILIES: tuple[Family, ...] = (
    Family(
        "convmixer",
        "convmixer-256-8-cifar10",
        lambda width, depth, resolution: conv_mixer(
            width, depth, kernel=5, patch=_scaled_patch(resolution), resolution=resolution
        ),
        8,
        (4, 8),
    ),
    Family(
        "mlp-mixer",
        "mixer-s16",
        lambda width, depth, resolution: mlp_mixer(
            width, depth, patch=_scaled_tokens(resolution), resolution=resolution
        ),
        8,
        (4, 8),
    ),
    Family(
        "vit",
        "deit-tiny",
        lambda width, depth, resolution: vit(
            width,
            depth,
            patch=_scaled_tokens(resolution),
            head_width=width // 3 if width % 3 == 0 else 16,
            resolution=resolution,
        ),
        16,
        (4, 8, 12),
    ),
    Family("poolformer", "poolformer-s12", _scaled_pool_former, 4, (1, 2)),
    Family("cvt", "cvt-13", _scaled_cvt, 4, (1, 2, 5)),
)


def scaled(family: Family, resolution: int, fits: Callable[[Architecture], bool]) -> Architecture | None:
    """Of a family's members that `fits`, the one with the most parameters at a resolution; None when none fits."""
    members: list[Architecture] = []
    for depth in family.depths:
        for times in range(1, 129):
            try:
                member = family.make(family.unit * times, depth, resolution)
            except ArchitectureError:
                continue
            if not fits(member):
                break
            members.append(member)
    return max(members, key=lambda member: cost(member).params, default=None)
