"""`isotropic`: one stage after a patch embedding: ConvMixer, MLP-Mixer, gMLP, ResMLP, ViT and what is between them."""

from __future__ import annotations

from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.mixers import Attention, DepthwiseConv, GatedMlp, Pooling, SeparableConv, TokenLinear, TokenMlp, outside
from nas.space import Space, int_range, of, one_of, repeat
from nas.template import Choice, Make
from search_spaces.plan import large

EPS = 1e-6  # of the layer norms of all published isotropic networks


def space(resolution: int) -> Space:
    """Patch size, width, depth, block layout, mixer, MLP ratio, position table and final norm.

    From 64 pixels on a second kind of network reads a class token, as ViT does: its blocks have attention.
    """
    big = large(resolution)
    patches = [size for size in (1, 2, 4, 7, 8, 14, 16, 32) if resolution % size == 0 and 4 <= resolution // size <= 32]
    patches = patches[-5 if big else -3 :] or [max(1, resolution // 14)]
    widths = (64, 128, 192, 256, 384, 512, 768, 1024, 1536) if big else (16, 32, 48, 64, 96, 128, 192, 256)
    plain = {f"patch_{size}": Embedding(kernel=size, stride=size) for size in patches}
    normed = {
        f"patch_{size}_norm": Embedding(kernel=size, stride=size, activation="gelu", norm="batch") for size in patches
    }
    if big:
        normed |= {
            f"patch_{size}_norm_relu": Embedding(kernel=size, stride=size, activation="relu", norm="batch")
            for size in patches
        }
    depth = one_of(2, 4, 6, 8, 12, 16, 20, 24, 30, 32, 36) if big else int_range(2, 12)
    mean = of(
        Architecture,
        resolution=resolution,
        stages=(
            of(
                Stage,
                embedding=one_of(**plain, **normed),
                width=one_of(*widths),
                blocks=repeat(_blocks(big=big), depth),
                position=one_of("none", "learned"),
            ),
        ),
        head=one_of(layer=Head(norm_eps=EPS), none=Head(norm="none"), affine=Head(norm="affine")),
    )
    if not big:
        return Space(mean)
    token = of(
        Architecture,
        resolution=resolution,
        stages=(
            of(
                Stage,
                embedding=one_of(**plain),
                width=one_of(*widths),
                blocks=repeat(
                    of(Block, mixer=Attention(head_width=64), mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0), norm_eps=EPS), depth
                ),
                position=one_of("none", "learned"),
            ),
        ),
        head=Head(pool="class_token", norm_eps=EPS),
    )
    return Space(one_of(mean=mean, class_token=token))


def _blocks(*, big: bool) -> Choice:
    ratios = one_of(1.0, 2.0, 3.0, 4.0)
    conv_mixer = of(
        Block,
        mixer=of(DepthwiseConv, kernel=one_of(3, 5, 7, 9)),
        mlp_ratio=0,
        norm="batch",
        activation=one_of("gelu", "relu") if big else "gelu",
        layout="conv_mixer",
    )
    pre_norm = of(
        Block,
        mixer=one_of(
            of(TokenMlp, ratio=one_of(0.25, 0.5, 1.0)),
            Attention(head_width=64 if big else 16),
            of(DepthwiseConv, kernel=one_of(3, 5, 7)),
            of(SeparableConv, kernel=one_of(3, 5, 7)),
            of(Pooling, size=one_of(3, 5)),
            *(cls.choices() for cls in outside()),
        ),
        mlp_ratio=ratios,
        norm_eps=EPS,
    )
    return one_of(conv_mixer=conv_mixer, pre_norm=pre_norm, gated=_gated(), affine=_affine())


def _gated() -> Make:
    """The block of gMLP."""
    return of(Block, mixer=of(GatedMlp, ratio=one_of(2.0, 4.0, 6.0)), mlp_ratio=0, norm_eps=EPS)


def _affine() -> Make:
    """The block of ResMLP."""
    return of(
        Block,
        mixer=TokenLinear(),
        mlp_ratio=one_of(1.0, 2.0, 3.0, 4.0),
        norm="affine",
        layer_scale=one_of(0.1, 1e-5, 1e-6),
    )
