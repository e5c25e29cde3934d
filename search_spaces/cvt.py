"""`cvt`: what CvT-NAS searched and more: kernels and strides of the convolutional projections (arXiv 2103.15808)."""

from __future__ import annotations

from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.space import Space, int_range, of, one_of, repeat
from nas.template import Make
from search_spaces.plan import StagePlan, conv_attention, plan


def space(resolution: int) -> Space:
    """Embedding kernel, width, depth, projection kernels and strides, and MLP ratio of every stage; at most three."""
    stages = tuple(_stage(stage, index) for index, stage in enumerate(plan(resolution)[:3]))
    return Space(of(Architecture, resolution=resolution, stages=stages, head=Head()))


def _stage(stage: StagePlan, index: int) -> Make:
    sizes = (7,) if stage.stride == 4 else (3, 5)
    embeddings = {
        f"kernel_{size}": Embedding(
            kernel=size, stride=stage.stride, padding=2 if size == 7 else size // 2, norm="layer"
        )
        for size in sizes
    }
    block = of(Block, mixer=conv_attention(stage), mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0), activation="quick_gelu")
    depth = int_range(1, (2, 4, 12)[index])
    return of(Stage, embedding=one_of(**embeddings), width=one_of(*stage.widths), blocks=repeat(block, depth))
