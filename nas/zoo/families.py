"""The published families as functions of their sizes. What tells them apart is data of one `Architecture` type.

Sources: ConvMixer arXiv 2201.09792, MLP-Mixer 2105.01601, gMLP 2105.08050, ResMLP 2105.03404, ViT 2010.11929 and DeiT
2012.12877, PVT 2102.12122, CvT 2103.15808. The MetaFormer line is in `nas.zoo.metaformer`.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.mixers import Attention, ConvAttention, DepthwiseConv, GatedMlp, TokenLinear, TokenMlp


def conv_mixer(
    width: int, depth: int, *, kernel: int, patch: int, resolution: int = 224, activation: str = "gelu"
) -> Architecture:
    """ConvMixer-width/depth: activation before norm everywhere, the residual round the depthwise part only."""
    block = Block(
        mixer=DepthwiseConv(kernel=kernel), mlp_ratio=0, norm="batch", activation=activation, layout="conv_mixer"
    )
    embedding = patches(patch, activation=activation, norm="batch")
    stage = Stage(embedding=embedding, width=width, blocks=(block,) * depth)
    return Architecture(resolution=resolution, stages=(stage,), head=Head(norm="none"))


def mlp_mixer(width: int, depth: int, *, patch: int, resolution: int = 224, eps: float = 1e-6) -> Architecture:
    """MLP-Mixer with a token MLP of width / 2 and a channel MLP of 4 width; exact GELU, as timm's port has it."""
    return _isotropic(Block(mixer=TokenMlp(), norm_eps=eps), width, depth, patch, resolution, Head(norm_eps=eps))


def gated_mlp(width: int, depth: int = 30, *, patch: int = 16, resolution: int = 224) -> Architecture:
    """gMLP: blocks of one gated MLP of 6 width; timm's epsilons, since no official code exists."""
    block = Block(mixer=GatedMlp(ratio=6), mlp_ratio=0, norm_eps=1e-6)
    return _isotropic(block, width, depth, patch, resolution, Head(norm_eps=1e-6))


def res_mlp(width: int, depth: int, *, layer_scale: float, patch: int = 16, resolution: int = 224) -> Architecture:
    """ResMLP: one linear layer across tokens, affine transforms instead of norms, layer scale."""
    block = Block(mixer=TokenLinear(), norm="affine", layer_scale=layer_scale)
    return _isotropic(block, width, depth, patch, resolution, Head(norm="affine"))


def vit(
    width: int, depth: int, *, patch: int = 16, head_width: int = 64, resolution: int = 224, eps: float = 1e-6
) -> Architecture:
    """ViT, and DeiT without distillation: class token, learned positions."""
    block = Block(mixer=Attention(head_width=head_width), norm_eps=eps)
    head = Head(pool="class_token", norm_eps=eps)
    return _isotropic(block, width, depth, patch, resolution, head, position="learned")


def pvt(depths: Sequence[int], *, resolution: int = 224) -> Architecture:
    """PVT v1: patch embeddings with a layer norm, positions in every stage, keys reduced by 8, 4, 2, 1."""
    stages = tuple(
        Stage(
            embedding=patches(patch, norm="layer"),
            width=width,
            blocks=(Block(mixer=Attention(head_width=width // heads, reduction=by), mlp_ratio=ratio, norm_eps=1e-6),)
            * depth,
            position="learned",
        )
        for patch, width, heads, ratio, by, depth in zip(
            (4, 2, 2, 2), (64, 128, 320, 512), (1, 2, 5, 8), (8, 8, 4, 4), (8, 4, 2, 1), depths, strict=True
        )
    )
    return Architecture(resolution=resolution, stages=stages, head=Head(pool="class_token", norm_eps=1e-6))


def cvt(
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    strides: Sequence[int] = (4, 2, 2),
    head_width: int = 64,
    kv_strides: Sequence[int] = (2, 2, 2),
    resolution: int = 224,
) -> Architecture:
    """CvT: softmax scale width^-0.5 and QuickGELU as in the released code, class token in the last stage."""
    stages = tuple(
        Stage(
            embedding=overlapping(stride, norm="layer"),
            width=width,
            blocks=(cvt_block(kv, 4.0, head_width),) * depth,
        )
        for width, depth, stride, kv in zip(widths, depths, strides, kv_strides, strict=True)
    )
    return Architecture(resolution=resolution, stages=stages, head=Head(pool="class_token"))


def cvt_block(kv_stride: int, mlp_ratio: float, head_width: int = 64) -> Block:
    """A block of CvT; CvT-13-NAS chose these two numbers for each block."""
    mixer = ConvAttention(head_width=head_width, kv_stride=kv_stride)
    return Block(mixer=mixer, mlp_ratio=mlp_ratio, activation="quick_gelu")


def cvt_13_nas() -> Architecture:
    """Our reconstruction of CvT-13-NAS, whose list of blocks was never published (arXiv 2103.15808, section 4.2).

    The paper gives 18 M parameters and the pattern: key stride 2 and MLP ratio 2 at both ends, stride 1 and ratio 4 in
    most of the middle. Here the first block and the last three are (2, 2), the nine between (1, 4): 18.2 M. Its MACs by
    our convention are above the printed 4.1 G, whose counting rule is unknown.
    """
    choices = [(2, 2.0)] + [(1, 4.0)] * 9 + [(2, 2.0)] * 3
    blocks = [cvt_block(*choice) for choice in choices]
    stages, first = [], 0
    for width, depth, stride in zip((64, 192, 384), (1, 2, 10), (4, 2, 2), strict=True):
        embedding = overlapping(stride, norm="layer")
        stages.append(Stage(embedding=embedding, width=width, blocks=tuple(blocks[first : first + depth])))
        first += depth
    return Architecture(resolution=224, stages=tuple(stages), head=Head(pool="class_token"))


def cvt_cifar10() -> Architecture:
    """The CvT of vit-pytorch as trained on CIFAR-10 (github.com/pprp/pytorch-cifar-model-zoo): 3x3 kernels throughout.

    Head scale, one convolution for keys and values, no class token, no final norm, exact GELU.
    """
    block = Block(mixer=ConvAttention(head_width=64, scale="head", shared_kv=True, qkv_bias=False), norm="std_layer")
    stages = tuple(
        Stage(
            embedding=Embedding(kernel=3, stride=stride, padding=1, norm="std_layer"),
            width=width,
            blocks=(block,) * depth,
        )
        for width, depth, stride in zip((64, 192, 384), (1, 2, 10), (4, 2, 2), strict=True)
    )
    return Architecture(resolution=32, stages=stages, head=Head(norm="none"))


def patches(size: int, *, activation: str = "none", norm: str = "none") -> Embedding:
    """A patch embedding."""
    return Embedding(kernel=size, stride=size, activation=activation, norm=norm)


def overlapping(stride: int, *, norm: str = "none") -> Embedding:
    """The convolutional embeddings of CvT and PoolFormer: 7x7 at stride 4, else 3x3."""
    kernel, padding = (7, 2) if stride == 4 else (3, 1)
    return Embedding(kernel=kernel, stride=stride, padding=padding, norm=norm)


def _isotropic(
    block: Block, width: int, depth: int, patch: int, resolution: int, head: Head, position: str = "none"
) -> Architecture:
    stage = Stage(embedding=patches(patch), width=width, blocks=(block,) * depth, position=position)
    return Architecture(resolution=resolution, stages=(stage,), head=head)
