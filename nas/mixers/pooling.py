"""Average pooling minus the input: the mixer of PoolFormer (arXiv 2111.11418)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from nas.checked import whole
from nas.mixers.base import Mixer
from nas.tally import Place, Tally

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pooling(Mixer):
    """Mean over a size x size window (the border not counted), minus the token itself.

    Attributes:
        size: side of the window, odd.
    """

    kind: ClassVar[str] = "pooling"
    size: int = whole(1, 63, odd=True, default=3)

    def cost_at(self, place: Place) -> Tally:
        """No parameters, no MACs; pooling keeps its input."""
        return Tally(0, 0, place.tokens * place.width)

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.convolutional.PoolingMixer`."""
        from nas.layers.convolutional import PoolingMixer

        return PoolingMixer(place.side, self.size)
