"""Inverted separable convolution: the mixer of ConvFormer (arXiv 2210.13452, after MobileNetV2)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from nas.checked import flag, real, whole, word
from nas.mixers.base import Mixer
from nas.tally import ACTIVATIONS, Place, Tally, activation, convolution, linear

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeparableConv(Mixer):
    """Linear C to eC, activation, depthwise convolution, linear eC to C.

    Attributes:
        kernel: side of the depthwise kernel, odd.
        expansion: e, hidden channels / width.
        activation: between the first two (StarReLU in ConvFormer).
        bias: whether all three have one (none has in ConvFormer).
    """

    kind: ClassVar[str] = "separable_conv"
    kernel: int = whole(1, 63, odd=True, default=7)
    expansion: float = real(0.125, 8, default=2.0)
    activation: str = word(*ACTIVATIONS, default="gelu")
    bias: bool = flag(default=True)

    def hidden(self, width: int) -> int:
        """Channels of the depthwise convolution."""
        return max(1, round(width * self.expansion))

    def cost_at(self, place: Place) -> Tally:
        """The two linear layers, the activation and the depthwise convolution between them."""
        width, side, _ = place
        hidden, tokens = self.hidden(width), place.tokens
        return linear(tokens, width, hidden, bias=self.bias).plus(
            activation(self.activation, tokens * hidden),
            convolution(side, side, hidden, hidden, self.kernel, groups=hidden, bias=self.bias),
            linear(tokens, hidden, width, bias=self.bias),
        )

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.convolutional.SeparableMixer`."""
        from nas.layers.convolutional import SeparableMixer

        return SeparableMixer(
            place.width, place.side, self.hidden(place.width), self.kernel, activation=self.activation, bias=self.bias
        )
