"""The token mixers as values (no torch): one a file, and the closed mapping from name to class."""

from __future__ import annotations

from nas.mixers.attention import Attention
from nas.mixers.base import Mixer
from nas.mixers.conv_attention import ConvAttention
from nas.mixers.depthwise import DepthwiseConv
from nas.mixers.identity import Identity
from nas.mixers.pooling import Pooling
from nas.mixers.separable import SeparableConv
from nas.mixers.token_mlp import TokenMlp

MIXERS: dict[str, type[Mixer]] = {
    "identity": Identity,
    "pooling": Pooling,
    "depthwise_conv": DepthwiseConv,
    "separable_conv": SeparableConv,
    "token_mlp": TokenMlp,
    "attention": Attention,
    "conv_attention": ConvAttention,
}

__all__ = [
    "MIXERS",
    "Attention",
    "ConvAttention",
    "DepthwiseConv",
    "Identity",
    "Mixer",
    "Pooling",
    "SeparableConv",
    "TokenMlp",
]
