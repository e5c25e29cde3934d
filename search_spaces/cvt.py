"""`cvt`: what CvT-NAS searched and more: kernels and strides of the convolutional projections (arXiv 2103.15808).

`cvt13-nas` is what the paper searched: CvT-13 with the key/value stride and the MLP ratio of each block free.
"""

from __future__ import annotations

import dataclasses

from nas import zoo
from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.mixers import ConvAttention
from nas.space import Space, int_range, of, one_of, repeat
from nas.template import Choice, Make
from nas.zoo.families import overlapping
from search_spaces.plan import StagePlan, conv_attention, large, plan

PUBLISHED_WIDTHS = ((64, 128, 192), (128, 192, 256, 384, 768), (256, 384, 512, 768, 1024))
PUBLISHED_DEPTHS = ((1, 2), (1, 2, 4), (2, 4, 6, 8, 10, 12, 16, 20))


def space(resolution: int) -> Space:
    """Embedding kernel, width, depth, projection kernels and strides and MLP ratio of every stage.

    From 64 pixels on a second half holds the published sizes: heads of 64, wider and deeper stages, a class token.
    """
    stages = plan(resolution)[:3]
    if not large(resolution):
        return Space(_network(resolution, stages, Head()))
    published = tuple(
        dataclasses.replace(stage, widths=widths, depths=depths, head_width=64)
        for stage, widths, depths in zip(stages, PUBLISHED_WIDTHS, PUBLISHED_DEPTHS, strict=True)
    )
    head = one_of(mean=Head(), class_token=Head(pool="class_token"))
    # CvT-13 without strides keeps 56x56 keys
    return Space(
        one_of(narrow=_network(resolution, stages, Head()), published=_network(resolution, published, head, keys=56))
    )


def _network(resolution: int, stages: tuple[StagePlan, ...], head: Head | Choice, keys: int = 28) -> Make:
    parts = tuple(_stage(stage, index, keys) for index, stage in enumerate(stages))
    return of(Architecture, resolution=resolution, stages=parts, head=head)


def _stage(stage: StagePlan, index: int, keys: int) -> Make:
    sizes = (7,) if stage.stride == 4 else (3, 5)
    embeddings = {
        f"kernel_{size}": Embedding(
            kernel=size, stride=stage.stride, padding=2 if size == 7 else size // 2, norm="layer"
        )
        for size in sizes
    }
    block = of(Block, mixer=conv_attention(stage, keys), mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0), activation="quick_gelu")
    depth = one_of(*stage.depths) if stage.head_width == 64 else int_range(1, (2, 4, 12)[index])
    return of(Stage, embedding=one_of(**embeddings), width=one_of(*stage.widths), blocks=repeat(block, depth))


def cvt13_nas(resolution: int, head_width: int = 64) -> Space:
    """The 4^13 networks of CvT-13-NAS: stride 1 or 2 of keys and values and MLP ratio 2 or 4, block by block.

    The stages are 1, 3 and 6 heads wide; narrower heads than the published ones make the same space for small images.
    """
    block = of(
        Block,
        mixer=of(ConvAttention, head_width=head_width, kv_stride=one_of(1, 2)),
        mlp_ratio=one_of(2.0, 4.0),
        activation="quick_gelu",
    )
    stages = tuple(
        of(Stage, embedding=overlapping(stride, norm="layer"), width=width, blocks=(block,) * depth)
        for width, depth, stride in zip([heads * head_width for heads in (1, 3, 6)], (1, 2, 10), (4, 2, 2), strict=True)
    )
    zoo.get("cvt-13").at(resolution)  # where the network with the largest strides fits, all do
    return Space(of(Architecture, resolution=resolution, stages=stages, head=Head(pool="class_token")), legal=True)
