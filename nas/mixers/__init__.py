"""The token mixers as values (no torch): one a file, and the mapping from kind to class."""

from __future__ import annotations

from nas.mixers.attention import Attention
from nas.mixers.base import MIXERS, Mixer, outside, register
from nas.mixers.conv_attention import ConvAttention
from nas.mixers.depthwise import DepthwiseConv
from nas.mixers.gated_mlp import GatedMlp
from nas.mixers.identity import Identity
from nas.mixers.multi_axis import MultiAxisMlp
from nas.mixers.pooling import Pooling
from nas.mixers.random_mixing import RandomMixing
from nas.mixers.separable import SeparableConv
from nas.mixers.token_linear import TokenLinear
from nas.mixers.token_mlp import TokenMlp

for _mixer in (
    Identity,
    Pooling,
    RandomMixing,
    DepthwiseConv,
    SeparableConv,
    TokenMlp,
    TokenLinear,
    GatedMlp,
    MultiAxisMlp,
    Attention,
    ConvAttention,
):
    register(_mixer)

__all__ = [
    "MIXERS",
    "Attention",
    "ConvAttention",
    "DepthwiseConv",
    "GatedMlp",
    "Identity",
    "Mixer",
    "MultiAxisMlp",
    "Pooling",
    "RandomMixing",
    "SeparableConv",
    "TokenLinear",
    "TokenMlp",
    "outside",
    "register",
]
