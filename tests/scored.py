"""Small networks and images to score without training."""

import torch
from networks import patch, stage
from torch import nn

from nas.architecture import Architecture, Head
from nas.mixers import (
    Attention,
    ConvAttention,
    DepthwiseConv,
    GatedMlp,
    Identity,
    MultiAxisMlp,
    Pooling,
    RandomMixing,
    SeparableConv,
    TokenLinear,
    TokenMlp,
)
from nas.proxies import score
from nas.proxies.levelled import build_levelled

MIXERS = {
    "identity": Identity(), "pooling": Pooling(), "random": RandomMixing(), "depthwise": DepthwiseConv(),
    "separable": SeparableConv(), "token_mlp": TokenMlp(), "token_linear": TokenLinear(), "gated": GatedMlp(),
    "axes": MultiAxisMlp(block=2, grid=2), "attention": Attention(head_width=8), "cvt": ConvAttention(head_width=8),
}  # fmt: skip
WEIGHT_BASED = ("synflow", "snip", "grad_norm", "zico")


def network(*mixers, width=16, resolution=8, stride=2, position="none", head=None, **fields):
    only = stage(*mixers, width=width, embedding=patch(stride), position=position, **fields)
    return Architecture(resolution=resolution, stages=(only,), head=head or Head())


def batch(resolution=8, count=8, channels=1, seed=0):
    """Smooth images: noise is not what networks are for."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, channels, 4, 4, generator=generator)
    images = nn.functional.interpolate(coarse, size=resolution, mode="bilinear")
    return images, torch.arange(count) % 3


def levelled(architecture, resolution=8, classes=3, seed=0):
    return build_levelled(architecture, in_channels=1, num_classes=classes, resolution=resolution, seed=seed)


def scores(architecture, resolution=8, **given):
    return score(architecture, *batch(resolution), num_classes=3, **given)


def plain(width=5):
    """One pixel, no norm, no mixing and no MLP: logits = W2 (2 W1 x), since identity adds its input to itself."""
    only = stage(Identity(), width=width, mlp_ratio=0, norm="none")
    return Architecture(resolution=4, stages=(only,), head=Head(norm="none"))


def two_layers(model):
    return model.stages[0][0].conv.weight.flatten(1), model.classifier.weight
