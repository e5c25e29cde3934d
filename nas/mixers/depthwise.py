"""One depthwise convolution: the spatial half of ConvMixer (arXiv 2201.09792)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from nas.checked import whole
from nas.mixers.base import Mixer
from nas.tally import Place, Tally, convolution

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthwiseConv(Mixer):
    """Each channel convolved by its own kernel, with bias; the map keeps its side.

    Attributes:
        kernel: side of the kernel; an even one pads one more row and column at the right and bottom.
    """

    kind: ClassVar[str] = "depthwise_conv"
    kernel: int = whole(1, 63, default=3)

    def cost_at(self, place: Place) -> Tally:
        """k^2 C weights and C biases; what is kept for an even kernel is the padded map."""
        width, side, _ = place
        side_in = side if self.kernel % 2 else side + self.kernel - 1
        return convolution(side_in, side, width, width, self.kernel, groups=width)

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.convolutional.DepthwiseMixer`."""
        from nas.layers.convolutional import DepthwiseMixer

        return DepthwiseMixer(place.width, place.side, self.kernel)
