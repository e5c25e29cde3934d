"""Inverted separable convolution: the mixer of ConvFormer (arXiv 2210.13452, after MobileNetV2)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from nas.checked import real, whole
from nas.mixers.base import Mixer
from nas.tally import Place, Tally, activation, convolution, linear


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeparableConv(Mixer):
    """Linear C to eC, GELU, depthwise convolution, linear eC to C, all with bias.

    Attributes:
        kernel: side of the depthwise kernel, odd.
        expansion: e, hidden channels / width.
    """

    kind: ClassVar[str] = "separable_conv"
    kernel: int = whole(1, 63, odd=True, default=7)
    expansion: float = real(0.125, 8, default=2.0)

    def hidden(self, width: int) -> int:
        """Channels of the depthwise convolution."""
        return max(1, round(width * self.expansion))

    def cost_at(self, place: Place) -> Tally:
        """The two linear layers, the activation and the depthwise convolution between them."""
        width, side, _ = place
        hidden, tokens = self.hidden(width), place.tokens
        return linear(tokens, width, hidden).plus(
            activation("gelu", tokens * hidden),
            convolution(side, side, hidden, hidden, self.kernel, groups=hidden),
            linear(tokens, hidden, width),
        )
