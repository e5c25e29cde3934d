"""`cvt`: what CvT-NAS searched and more: kernels and strides of the convolutional projections (arXiv 2103.15808).

`cvt13-nas` is what the paper searched: CvT-13 with the key/value stride and the MLP ratio of each block free.
"""

from __future__ import annotations

import dataclasses

from nas import zoo
from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.mixers import ConvAttention
from nas.space import Space, int_range, of, one_of, repeat
from nas.template import Make
from nas.zoo.families import overlapping
from search_spaces.plan import StagePlan, conv_attention, large, plan

WIDTHS = ((64, 128, 192), (128, 192, 256, 384, 768), (256, 384, 512, 768, 1024))  # from 64 pixels on, heads of 64
DEPTHS = (2, 4, 20)


def space(resolution: int) -> Space:
    """Embedding kernel, width, depth, projection kernels and strides, and MLP ratio of every stage; at most three.

    From 64 pixels on the head may read a class token, as CvT's does.
    """
    stages = tuple(_stage(stage, index, resolution) for index, stage in enumerate(plan(resolution)[:3]))
    head = one_of(mean=Head(), class_token=Head(pool="class_token")) if large(resolution) else Head()
    return Space(of(Architecture, resolution=resolution, stages=stages, head=head))


def _stage(stage: StagePlan, index: int, resolution: int) -> Make:
    depth = (2, 4, 12)[index]
    if large(resolution):
        stage, depth = dataclasses.replace(stage, widths=WIDTHS[index], head_width=64), DEPTHS[index]
    sizes = (7,) if stage.stride == 4 else (3, 5)
    embeddings = {
        f"kernel_{size}": Embedding(
            kernel=size, stride=stage.stride, padding=2 if size == 7 else size // 2, norm="layer"
        )
        for size in sizes
    }
    keys = 56 if large(resolution) else 28  # CvT-13 without strides keeps 56x56 keys
    block = of(Block, mixer=conv_attention(stage, keys), mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0), activation="quick_gelu")
    return of(
        Stage,
        embedding=one_of(**embeddings),
        width=one_of(*stage.widths),
        blocks=repeat(block, int_range(1, depth)),
    )


def cvt13_nas(resolution: int) -> Space:
    """The 4^13 networks of CvT-13-NAS: stride 1 or 2 of keys and values and MLP ratio 2 or 4, block by block."""
    block = of(
        Block,
        mixer=of(ConvAttention, head_width=64, kv_stride=one_of(1, 2)),
        mlp_ratio=one_of(2.0, 4.0),
        activation="quick_gelu",
    )
    stages = tuple(
        of(Stage, embedding=overlapping(stride, norm="layer"), width=width, blocks=(block,) * depth)
        for width, depth, stride in zip((64, 192, 384), (1, 2, 10), (4, 2, 2), strict=True)
    )
    zoo.get("cvt-13").at(resolution)  # where the network with the largest strides fits, all do
    return Space(of(Architecture, resolution=resolution, stages=stages, head=Head(pool="class_token")), legal=True)
