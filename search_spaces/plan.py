"""How many stages an input size takes, where they halve the map, and the widths, depths and mixers tried there."""

from __future__ import annotations

import dataclasses
from typing import Any

from nas.mixers import (
    Attention,
    ConvAttention,
    DepthwiseConv,
    Identity,
    MultiAxisMlp,
    Pooling,
    RandomMixing,
    SeparableConv,
    TokenLinear,
    outside,
)
from nas.tally import out_side
from nas.template import Choice, Make, of, one_of

FEW = (1, 2, 3, 4)
MANY = (1, 2, 3, 4, 6, 8, 9, 12, 18, 24)  # the depths of published pyramids; fewer of the large ones


@dataclasses.dataclass(frozen=True)
class StagePlan:
    """One stage: its stride, the side of its map, its widths (multiples of `head_width`), and its depths."""

    stride: int
    side: int
    widths: tuple[int, ...]
    head_width: int
    depths: tuple[int, ...]


def large(resolution: int) -> bool:
    """Whether an input is of the size that the published pyramids are made for: a stem of stride 4, four stages."""
    return resolution >= 64


def plan(resolution: int) -> tuple[StagePlan, ...]:
    """Two stages up to 16 pixels, three up to 63, four from 64 on (stem stride 1, 2, 4)."""
    strides: tuple[int, ...]
    widths: tuple[tuple[int, ...], ...]
    depths: tuple[tuple[int, ...], ...]
    if resolution <= 16:
        strides, head_width, depths = (1, 2), 16, ((1, 2), FEW)
        widths = ((16, 32, 48, 64), (32, 48, 64, 96, 128))
    elif not large(resolution):
        strides, head_width, depths = (2, 2, 2), 16, ((1, 2), FEW, FEW)
        widths = ((16, 32, 48, 64), (32, 48, 64, 96, 128), (64, 96, 128, 192, 256))
    else:
        strides, head_width, depths = (4, 2, 2, 2), 32, (MANY[:6], MANY[:8], MANY, MANY[:6])
        widths = (
            (32, 64, 96, 128),
            (64, 96, 128, 192, 256),
            (128, 192, 256, 320, 384, 512),
            (256, 320, 384, 512, 576, 768),
        )
    plans, side = [], resolution
    for stride, wide, depth in zip(strides, widths, depths, strict=True):
        side = out_side(side, 7, 4, 2) if stride == 4 else -(-side // stride)
        plans.append(StagePlan(stride, side, wide, head_width, depth))
    return tuple(plans)


def kernels(side: int, *sizes: int) -> Choice:
    """The sizes whose outer ring can reach something on a `side` map (up to 2 side - 1)."""
    return one_of(*[size for size in sizes if size <= max(3, 2 * side - 1)])


def conv_attention(stage: StagePlan, most: int = 28) -> Make:
    """CvT's mixer with searched kernels and key/value stride; keys over `most` x `most` are always strided."""
    fitting = [stride for stride in (1, 2, 4, 8, 16) if stride <= stage.side and stage.side // stride <= most]
    strides = [stride for stride in fitting if stride <= 4] or fitting[:1]
    return of(
        ConvAttention,
        head_width=stage.head_width,
        q_kernel=kernels(stage.side, 1, 3),
        kv_kernel=kernels(stage.side, 1, 3, 5),
        kv_stride=one_of(*strides),
    )


def mixers(stage: StagePlan, *, published: bool = False) -> Choice:
    """Every mixer of the MetaFormer and CvT lines that a map of this size takes, and those from outside.

    `published` offers the projections of MetaFormer's own attention (no bias in q, k, v), its spatial FC and random
    mixing, and MAXIM's gated MLP too.
    """
    options: list[Any] = [
        Identity(),
        of(Pooling, size=kernels(stage.side, 3, 5)),
        of(DepthwiseConv, kernel=kernels(stage.side, 3, 5, 7)),
        of(SeparableConv, kernel=kernels(stage.side, 3, 5, 7), expansion=one_of(1.0, 2.0)),
        conv_attention(stage),
    ]
    if stage.side <= 28:
        options.append(Attention(head_width=stage.head_width, qkv_bias=not published))
    if published and stage.side <= 28:
        options += [TokenLinear(bias=False), RandomMixing()]
    if published and (size := next((size for size in (8, 7, 6, 5, 4) if stage.side % size == 0), None)):
        options.append(MultiAxisMlp(block=size, grid=size))
    return one_of(*options, *(cls.choices() for cls in outside()))
