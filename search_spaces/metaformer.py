"""`metaformer`: a pyramid whose stages each choose their mixer (arXiv 2111.11418, 2210.13452, with CvT's mixer too).

From 64 pixels on there are two styles, so that the published networks are points of it: the first paper's blocks (layer
scale, GELU) and the baselines' (StarReLU, no biases, residual scale, norms before the down-sampling).
"""

from __future__ import annotations

from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.mixers import Attention, Identity, Pooling, RandomMixing, SeparableConv
from nas.space import Space, of, one_of, repeat
from nas.template import Make
from search_spaces.plan import StagePlan, kernels, large, mixers, plan


def space(resolution: int) -> Space:
    """Mixer, depth, width, MLP ratio and norm of every stage; from 64 pixels on style, scales and head too."""
    stages = plan(resolution)
    if not large(resolution):
        small = tuple(_small_stage(stage) for stage in stages)
        return Space(of(Architecture, resolution=resolution, stages=small, head=Head()))
    first = of(
        Architecture,
        resolution=resolution,
        stages=tuple(_first_stage(stage, index) for index, stage in enumerate(stages)),
        head=one_of(layer=Head(), group=Head(norm="group")),
    )
    second = of(
        Architecture,
        resolution=resolution,
        stages=tuple(_second_stage(stage, index) for index, stage in enumerate(stages)),
        head=of(Head, norm_last=True, norm_eps=1e-6, mlp_ratio=one_of(0.0, 4.0)),
    )
    return Space(one_of(poolformer=first, baseline=second))


def _small_stage(stage: StagePlan) -> Make:
    stem = Embedding(kernel=3, stride=stage.stride, padding=1)
    block = of(
        Block,
        mixer=mixers(stage),
        mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0),
        norm=one_of("layer", "batch", "group"),
    )
    return of(Stage, embedding=stem, width=one_of(*stage.widths), blocks=repeat(block, one_of(*stage.depths)))


def _first_stage(stage: StagePlan, index: int) -> Make:
    block = of(
        Block,
        mixer=mixers(stage, published=True),
        mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0),
        norm=one_of("layer", "batch", "group"),
        layer_scale=one_of(0.0, 1e-5, 1e-6),
    )
    return of(
        Stage,
        embedding=Embedding(kernel=3 if index else 7, stride=stage.stride, padding=1 if index else 2),
        width=one_of(*stage.widths),
        blocks=repeat(block, one_of(*stage.depths)),
        position=one_of("none", "learned") if stage.side <= 28 else "none",
    )


def _second_stage(stage: StagePlan, index: int) -> Make:
    sizes = kernels(stage.side, 3, 5, 7)
    options = [
        Identity(),
        of(Pooling, size=kernels(stage.side, 3, 5)),
        of(SeparableConv, kernel=sizes, expansion=one_of(1.0, 2.0), activation="star_relu", bias=False),
    ]
    if stage.side <= 28:
        options += [Attention(head_width=stage.head_width, qkv_bias=False, out_bias=False), RandomMixing()]
    block = of(
        Block,
        mixer=one_of(*options),
        mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0),
        mlp_bias=False,
        norm=one_of("layer", "group"),
        norm_bias=False,
        norm_eps=1e-6,
        activation="star_relu",
        residual_scale=1.0 if index >= 2 else 0.0,
    )
    embedding = Embedding(
        kernel=3 if index else 7,
        stride=stage.stride,
        padding=1 if index else 2,
        norm="layer",
        norm_bias=False,
        norm_eps=1e-6,
        norm_first=index > 0,
    )
    return of(Stage, embedding=embedding, width=one_of(*stage.widths), blocks=repeat(block, one_of(*stage.depths)))
