"""`isotropic`: one stage after a patch embedding: ConvMixer, MLP-Mixer, ViT and what lies between them."""

from __future__ import annotations

from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.mixers import Attention, DepthwiseConv, Pooling, SeparableConv, TokenMlp
from nas.space import Space, int_range, of, one_of, repeat


def space(resolution: int) -> Space:
    """Patch size, width, depth, block layout, mixer, MLP ratio, position table and final norm."""
    patches = [size for size in (1, 2, 4, 7, 14, 16) if resolution % size == 0 and 4 <= resolution // size <= 32]
    patches = patches[-3:] or [1]
    small = resolution < 64
    widths = (16, 32, 48, 64, 96, 128, 192, 256) if small else (64, 128, 192, 256, 384, 512, 768)
    conv_mixer = of(
        Block, mixer=of(DepthwiseConv, kernel=one_of(3, 5, 7, 9)), mlp_ratio=0, norm="batch", layout="conv_mixer"
    )
    pre_norm = of(
        Block,
        mixer=one_of(
            of(TokenMlp, ratio=one_of(0.25, 0.5, 1.0)),
            Attention(head_width=16 if small else 64),
            of(DepthwiseConv, kernel=one_of(3, 5, 7)),
            of(SeparableConv, kernel=one_of(3, 5, 7)),
            of(Pooling, size=one_of(3, 5)),
        ),
        mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0),
    )
    plain = {f"patch_{size}": Embedding(kernel=size, stride=size) for size in patches}
    normed = {
        f"patch_{size}_norm": Embedding(kernel=size, stride=size, activation="gelu", norm="batch") for size in patches
    }
    stage = of(
        Stage,
        embedding=one_of(**plain, **normed),
        width=one_of(*widths),
        blocks=repeat(one_of(conv_mixer=conv_mixer, pre_norm=pre_norm), int_range(2, 12 if small else 24)),
        position=one_of("none", "learned"),
    )
    head = one_of(layer=Head(), none=Head(norm="none"))
    return Space(of(Architecture, resolution=resolution, stages=(stage,), head=head))
