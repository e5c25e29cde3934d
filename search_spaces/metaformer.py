"""`metaformer`: a pyramid whose stages each choose their mixer (arXiv 2111.11418, 2210.13452, with CvT's mixer too)."""

from __future__ import annotations

from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.space import Space, int_range, of, one_of, repeat
from nas.template import Make
from search_spaces.plan import StagePlan, mixers, plan


def space(resolution: int) -> Space:
    """Mixer, depth, width, MLP ratio and norm of every stage."""
    stages = tuple(_stage(stage, first=index == 0) for index, stage in enumerate(plan(resolution)))
    return Space(of(Architecture, resolution=resolution, stages=stages, head=Head()))


def _stage(stage: StagePlan, *, first: bool) -> Make:
    stem = (
        Embedding(kernel=7, stride=4, padding=2)
        if stage.stride == 4
        else Embedding(kernel=3, stride=stage.stride, padding=1)
    )
    block = of(
        Block,
        mixer=mixers(stage),
        mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0),
        norm=one_of("layer", "batch", "group"),
    )
    return of(Stage, embedding=stem, width=one_of(*stage.widths), blocks=repeat(block, int_range(1, 2 if first else 4)))
