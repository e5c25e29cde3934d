"""The MetaFormer line: PoolFormer with the ablations and hybrids of its paper, and the later baselines.

Sources: arXiv 2111.11418 (PoolFormer, v1) and 2210.13452 (IdentityFormer, RandFormer, PoolFormerV2, ConvFormer,
CAFormer).
"""

from __future__ import annotations

from collections.abc import Sequence

from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.mixers import Attention, DepthwiseConv, Identity, Mixer, Pooling, RandomMixing, SeparableConv, TokenLinear
from nas.zoo.families import overlapping

WIDTHS = {
    "s": (64, 128, 320, 512),
    "m": (96, 192, 384, 768),
    "conv-m": (96, 192, 384, 576),
    "conv-b": (128, 256, 512, 768),
}
LETTERS: dict[str, Mixer] = {
    "i": Identity(),
    "p": Pooling(),
    "a": Attention(head_width=32, qkv_bias=False),
    "f": TokenLinear(bias=False),
    "r": RandomMixing(),
    "d": DepthwiseConv(kernel=3),
}


def pool_former(
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    layer_scale: float,
    strides: Sequence[int] = (4, 2, 2, 2),
    resolution: int = 224,
) -> Architecture:
    """PoolFormer (v1): the group norm comes before the mean over the map."""
    mixers = (Pooling(),) * len(widths)
    return _v1(mixers, widths, depths, strides=strides, norm="group", layer_scale=layer_scale, resolution=resolution)


def hybrid(letters: str) -> Architecture:
    """An S12 of the v1 paper's table 5, one letter a stage: identity, pooling, attention, fc, random, depthwise.

    With attention the norms are layer norms and a position table joins before the first attention stage.
    """
    mixers, norm = [LETTERS[letter] for letter in letters], "layer" if "a" in letters else "group"
    return _v1(mixers, WIDTHS["s"], (2, 2, 6, 2), norm=norm, layer_scale=1e-5, position=letters.find("a"))


def _v1(
    mixers: Sequence[Mixer],
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    norm: str,
    layer_scale: float,
    strides: Sequence[int] = (4, 2, 2, 2),
    resolution: int = 224,
    position: int = -1,
) -> Architecture:
    stages = tuple(
        Stage(
            embedding=overlapping(stride),
            width=width,
            blocks=(Block(mixer=mixer, norm=norm, layer_scale=layer_scale),) * depth,
            position="learned" if index == position else "none",
        )
        for index, (mixer, width, depth, stride) in enumerate(zip(mixers, widths, depths, strides, strict=True))
    )
    return Architecture(resolution=resolution, stages=stages, head=Head(norm=norm))


def baseline(
    mixers: Sequence[Mixer], widths: Sequence[int], depths: Sequence[int], *, resolution: int = 224
) -> Architecture:
    """A MetaFormer baseline: StarReLU, no biases in blocks, residual scale from the third stage on.

    With convolutions or attention the norm is a layer norm and the classifier an MLP; else the norm is over the whole
    map and the classifier linear.
    """
    strong = any(isinstance(mixer, SeparableConv | Attention) for mixer in mixers)
    stages = tuple(
        Stage(
            embedding=Embedding(
                kernel=3 if index else 7,
                stride=2 if index else 4,
                padding=1 if index else 2,
                norm="layer",
                norm_bias=False,
                norm_eps=1e-6,
                norm_first=index > 0,
            ),
            width=width,
            blocks=(
                Block(
                    mixer=mixer,
                    mlp_bias=False,
                    norm="layer" if strong else "group",
                    norm_bias=False,
                    norm_eps=1e-6,
                    activation="star_relu",
                    residual_scale=1.0 if index >= 2 else 0.0,
                ),
            )
            * depth,
        )
        for index, (mixer, width, depth) in enumerate(zip(mixers, widths, depths, strict=True))
    )
    head = Head(norm_last=True, norm_eps=1e-6, mlp_ratio=4 if strong else 0)
    return Architecture(resolution=resolution, stages=stages, head=head)


def plain_baseline(kind: str, size: str) -> Architecture:
    """IdentityFormer, RandFormer or PoolFormerV2 ("identity", "random", "pooling") of size s12, s24, s36, m36, m48."""
    mixers = {
        "identity": (Identity(),) * 4,
        "random": (Identity(), Identity(), RandomMixing(), RandomMixing()),
        "pooling": (Pooling(),) * 4,
    }[kind]
    times = int(size[1:]) // 12
    return baseline(mixers, WIDTHS[size[0]], [depth * times for depth in (2, 2, 6, 2)])


def strong_baseline(kind: str, size: str, *, resolution: int = 224) -> Architecture:
    """ConvFormer or CAFormer ("conv", "conv-attention") of size s18, s36, m36, b36."""
    convolution = SeparableConv(kernel=7, activation="star_relu", bias=False)
    attention = Attention(head_width=32, qkv_bias=False, out_bias=False)
    last = attention if kind == "conv-attention" else convolution
    depths = (3, 3, 9, 3) if size == "s18" else (3, 12, 18, 3)
    widths = WIDTHS["s" if size[0] == "s" else f"conv-{size[0]}"]
    return baseline((convolution, convolution, last, last), widths, depths, resolution=resolution)
