"""The published architectures as values, and each family at any scale.

`get` gives a published network; `scaled` gives the largest member of a family within limits, at any resolution.
Sources: ConvMixer arXiv 2201.09792, MLP-Mixer 2105.01601, PoolFormer 2111.11418, CvT 2103.15808, ViT/DeiT 2012.12877.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.costs import cost
from nas.errors import ArchitectureError, unknown
from nas.mixers import Attention, ConvAttention, DepthwiseConv, Pooling, TokenMlp


def _patch(size: int, *, activation: str = "none", norm: str = "none") -> Embedding:
    return Embedding(kernel=size, stride=size, activation=activation, norm=norm)


def _overlapping(stride: int, norm: str = "none") -> Embedding:
    """The convolutional embeddings of CvT and PoolFormer: 7x7 at stride 4, else 3x3."""
    return (
        Embedding(kernel=7, stride=4, padding=2, norm=norm)
        if stride == 4
        else Embedding(kernel=3, stride=stride, padding=1, norm=norm)
    )


def conv_mixer(
    width: int, depth: int, *, kernel: int, patch: int, resolution: int = 224, activation: str = "gelu"
) -> Architecture:
    """ConvMixer-width/depth."""
    block = Block(
        mixer=DepthwiseConv(kernel=kernel), mlp_ratio=0, norm="batch", activation=activation, layout="conv_mixer"
    )
    embedding = _patch(patch, activation=activation, norm="batch")
    stage = Stage(embedding=embedding, width=width, blocks=(block,) * depth)
    return Architecture(resolution=resolution, stages=(stage,), head=Head(norm="none"))


def mlp_mixer(width: int, depth: int, *, patch: int, resolution: int = 224) -> Architecture:
    """MLP-Mixer with a token MLP of width / 2 and a channel MLP of 4 width."""
    stage = Stage(embedding=_patch(patch), width=width, blocks=(Block(mixer=TokenMlp()),) * depth)
    return Architecture(resolution=resolution, stages=(stage,))


def vit(width: int, depth: int, *, patch: int, head_width: int = 64, resolution: int = 224) -> Architecture:
    """ViT, and DeiT without distillation: class token, learned positions."""
    blocks = (Block(mixer=Attention(head_width=head_width)),) * depth
    stage = Stage(embedding=_patch(patch), width=width, blocks=blocks, position="learned")
    return Architecture(resolution=resolution, stages=(stage,), head=Head(pool="class_token"))


def pool_former(
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    layer_scale: float,
    strides: Sequence[int] = (4, 2, 2, 2),
    resolution: int = 224,
) -> Architecture:
    """PoolFormer (v1)."""
    block = Block(mixer=Pooling(), norm="group", layer_scale=layer_scale)
    stages = tuple(
        Stage(embedding=_overlapping(stride), width=width, blocks=(block,) * depth)
        for width, depth, stride in zip(widths, depths, strides, strict=True)
    )
    return Architecture(resolution=resolution, stages=stages, head=Head(norm="group"))


def cvt(
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    strides: Sequence[int] = (4, 2, 2),
    head_width: int = 64,
    kv_strides: Sequence[int] = (2, 2, 2),
    resolution: int = 224,
) -> Architecture:
    """CvT: class token in the last stage, QuickGELU."""
    stages = tuple(
        Stage(
            embedding=_overlapping(stride, "layer"),
            width=width,
            blocks=(Block(mixer=ConvAttention(head_width=head_width, kv_stride=kv), activation="quick_gelu"),) * depth,
        )
        for width, depth, stride, kv in zip(widths, depths, strides, kv_strides, strict=True)
    )
    return Architecture(resolution=resolution, stages=stages, head=Head(pool="class_token"))


def _pool_former(size: str, times: int, layer_scale: float) -> Architecture:
    widths = {"s": (64, 128, 320, 512), "m": (96, 192, 384, 768)}[size]
    return pool_former(widths, [depth * times for depth in (2, 2, 6, 2)], layer_scale=layer_scale)


PUBLISHED: dict[str, Callable[[], Architecture]] = {
    "convmixer-1536-20": lambda: conv_mixer(1536, 20, kernel=9, patch=7),
    "convmixer-768-32": lambda: conv_mixer(768, 32, kernel=7, patch=7, activation="relu"),
    "convmixer-1024-20": lambda: conv_mixer(1024, 20, kernel=9, patch=14),
    "convmixer-256-8-cifar10": lambda: conv_mixer(256, 8, kernel=5, patch=2, resolution=32),
    "mixer-s32": lambda: mlp_mixer(512, 8, patch=32),
    "mixer-s16": lambda: mlp_mixer(512, 8, patch=16),
    "mixer-b32": lambda: mlp_mixer(768, 12, patch=32),
    "mixer-b16": lambda: mlp_mixer(768, 12, patch=16),
    "mixer-l32": lambda: mlp_mixer(1024, 24, patch=32),
    "mixer-l16": lambda: mlp_mixer(1024, 24, patch=16),
    "deit-tiny": lambda: vit(192, 12, patch=16),
    "deit-small": lambda: vit(384, 12, patch=16),
    "vit-b16": lambda: vit(768, 12, patch=16),
    "poolformer-s12": lambda: _pool_former("s", 1, 1e-5),
    "poolformer-s24": lambda: _pool_former("s", 2, 1e-5),
    "poolformer-s36": lambda: _pool_former("s", 3, 1e-6),
    "poolformer-m36": lambda: _pool_former("m", 3, 1e-6),
    "poolformer-m48": lambda: _pool_former("m", 4, 1e-6),
    "cvt-13": lambda: cvt((64, 192, 384), (1, 2, 10)),
    "cvt-21": lambda: cvt((64, 192, 384), (1, 4, 16)),
    "cvt-w24": lambda: cvt((192, 768, 1024), (2, 2, 20), resolution=384),
}


def names() -> list[str]:
    """The published networks."""
    return list(PUBLISHED)


def get(name: str) -> Architecture:
    """A published network. Raises: InputError naming the nearest."""
    if name not in PUBLISHED:
        raise unknown("architecture", name, names())
    return PUBLISHED[name]()


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
            width, depth, patch=_scaled_patch(resolution), resolution=resolution
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
            patch=_scaled_patch(resolution),
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
