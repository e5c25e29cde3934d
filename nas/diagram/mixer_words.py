"""What pictures say of a token mixer: its name, its sizes, and what is not as usual."""

from __future__ import annotations

import dataclasses
from functools import singledispatch

from nas.mixers import (
    Attention,
    ConvAttention,
    DepthwiseConv,
    GatedMlp,
    Mixer,
    MultiAxisMlp,
    Pooling,
    RandomMixing,
    SeparableConv,
    TokenLinear,
    TokenMlp,
)
from nas.tally import Place

NAMES = {
    "identity": "identity",
    "pooling": "average pooling",
    "random_mixing": "random mixing",
    "depthwise_conv": "depthwise convolution",
    "separable_conv": "separable convolution",
    "token_mlp": "MLP over tokens",
    "token_linear": "linear over tokens",
    "gated_mlp": "gated MLP over tokens",
    "multi_axis_mlp": "multi-axis gated MLP",
    "attention": "self-attention",
    "conv_attention": "convolutional attention",
}
ACTIVATIONS = {
    "gelu": "GELU",
    "quick_gelu": "quick GELU",
    "relu": "ReLU",
    "star_relu": "StarReLU",
    "squared_relu": "squared ReLU",
}


def mixer_name(mixer: Mixer) -> str:
    """As people call it; one from outside by its kind."""
    return NAMES.get(mixer.kind, mixer.kind.replace("_", " "))


@singledispatch
def mixer_facts(mixer: Mixer, place: Place) -> list[str]:
    """Kernel, strides, heads and what is not as usual, where it stands at `place`; of one from outside its fields."""
    del place
    return [f"{field.name.replace('_', ' ')} {getattr(mixer, field.name)}" for field in dataclasses.fields(mixer)]


@mixer_facts.register
def _(mixer: Pooling, place: Place) -> list[str]:
    del place
    return [f"window {square(mixer.size)}"]


@mixer_facts.register
def _(mixer: DepthwiseConv, place: Place) -> list[str]:
    del place
    return [f"kernel {square(mixer.kernel)}"]


@mixer_facts.register
def _(mixer: SeparableConv, place: Place) -> list[str]:
    del place
    said = [f"kernel {square(mixer.kernel)}", f"expansion ×{mixer.expansion:g}", ACTIVATIONS[mixer.activation]]
    return said if mixer.bias else [*said, "no bias"]


@mixer_facts.register
def _(mixer: RandomMixing, place: Place) -> list[str]:
    del mixer
    return [f"frozen {square(place.tokens)} matrix"]


@mixer_facts.register
def _(mixer: TokenLinear, place: Place) -> list[str]:
    said = [f"{place.tokens:,} → {place.tokens:,} tokens"]
    return said if mixer.bias else [*said, "no bias"]


@mixer_facts.register
def _(mixer: TokenMlp, place: Place) -> list[str]:
    return [f"{place.tokens:,} → {mixer.hidden(place.width):,} → {place.tokens:,} tokens"]


@mixer_facts.register
def _(mixer: GatedMlp, place: Place) -> list[str]:
    return [f"hidden {2 * mixer.half(place.width):,} (×{mixer.ratio:g})", f"gate over {place.tokens:,} tokens"]


@mixer_facts.register
def _(mixer: MultiAxisMlp, place: Place) -> list[str]:
    del place
    return [f"windows {square(mixer.block)}", f"grid {square(mixer.grid)}"]


@mixer_facts.register
def _(mixer: Attention, place: Place) -> list[str]:
    said = [_heads(place.width, mixer.head_width)]
    if mixer.reduction > 1:
        said.append(f"K/V stride {mixer.reduction}")
    bare = {(False, False): "no bias", (False, True): "no Q/K/V bias", (True, False): "no output bias"}
    missing = bare.get((mixer.qkv_bias, mixer.out_bias))
    return said if missing is None else [*said, missing]


@mixer_facts.register
def _(mixer: ConvAttention, place: Place) -> list[str]:
    strided = f", stride {mixer.q_stride}" if mixer.q_stride > 1 else ""
    said = [
        _heads(place.width, mixer.head_width),
        f"Q {square(mixer.q_kernel)}{strided}",
        f"K/V {square(mixer.kv_kernel)}, stride {mixer.kv_stride}",
    ]
    unusual = {
        "K and V share": mixer.shared_kv,
        "scaled by head": mixer.scale == "head",
        "no Q/K/V bias": not mixer.qkv_bias,
    }
    return [*said, *(name for name, is_so in unusual.items() if is_so)]


def _heads(width: int, head_width: int) -> str:
    count = width // head_width
    return f"{count} head{'' if count == 1 else 's'} of {head_width}"


def square(side: int) -> str:
    """As in 3×3."""
    return f"{side:,}×{side:,}"
