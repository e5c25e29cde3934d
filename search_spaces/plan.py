"""How many stages an input size takes, where they halve the map, and which widths are worth trying there."""

from __future__ import annotations

import dataclasses

from nas.mixers import Attention, ConvAttention, DepthwiseConv, Identity, Pooling, SeparableConv
from nas.template import Choice, Make, of, one_of


@dataclasses.dataclass(frozen=True)
class StagePlan:
    """One stage: its stride, the side of its map, and its widths (multiples of `head_width`)."""

    stride: int
    side: int
    widths: tuple[int, ...]
    head_width: int


def plan(resolution: int) -> tuple[StagePlan, ...]:
    """Two stages up to 16 pixels, three up to 63, four from 64 on (stem stride 1, 2, 4)."""
    strides: tuple[int, ...]
    widths: tuple[tuple[int, ...], ...]
    if resolution <= 16:
        strides, head_width = (1, 2), 16
        widths = ((16, 32, 48, 64), (32, 48, 64, 96, 128))
    elif resolution < 64:
        strides, head_width = (2, 2, 2), 16
        widths = ((16, 32, 48, 64), (32, 48, 64, 96, 128), (64, 96, 128, 192, 256))
    else:
        strides, head_width = (4, 2, 2, 2), 32
        widths = ((32, 64, 96, 128), (64, 96, 128, 192, 256), (128, 192, 256, 320, 384), (256, 320, 384, 512, 768))
    plans, side = [], resolution
    for stride, wide in zip(strides, widths, strict=False):
        side = -(-side // stride)
        plans.append(StagePlan(stride, side, wide, head_width))
    return tuple(plans)


def kernels(side: int, *sizes: int) -> Choice:
    """The sizes whose outer ring can reach something on a `side` map (up to 2 side - 1)."""
    return one_of(*[size for size in sizes if size <= max(3, 2 * side - 1)])


def conv_attention(stage: StagePlan) -> Make:
    """CvT's mixer with searched kernels and key/value stride; maps over 28x28 always stride the keys."""
    fitting = [stride for stride in (1, 2, 4, 8, 16) if stride <= stage.side and stage.side // stride <= 28]
    strides = [stride for stride in fitting if stride <= 4] or fitting[:1]
    return of(
        ConvAttention,
        head_width=stage.head_width,
        q_kernel=kernels(stage.side, 1, 3),
        kv_kernel=kernels(stage.side, 1, 3, 5),
        kv_stride=one_of(*strides),
    )


def mixers(stage: StagePlan) -> Choice:
    """Every mixer of the MetaFormer and CvT lines that a map of this size takes."""
    options: list[Make | Attention | Identity] = [
        Identity(),
        of(Pooling, size=kernels(stage.side, 3, 5)),
        of(DepthwiseConv, kernel=kernels(stage.side, 3, 5, 7)),
        of(SeparableConv, kernel=kernels(stage.side, 3, 5, 7), expansion=one_of(1.0, 2.0)),
        conv_attention(stage),
    ]
    if stage.side <= 28:
        options.append(Attention(head_width=stage.head_width))
    return one_of(*options)
