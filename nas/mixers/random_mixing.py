"""A frozen random matrix across tokens: the mixer of RandFormer (arXiv 2210.13452)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from nas.mixers.base import Mixer
from nas.tally import Place, Tally

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomMixing(Mixer):
    """Tokens averaged with weights drawn once (softmax of uniform numbers, by row) and never trained."""

    kind: ClassVar[str] = "random_mixing"

    def cost_at(self, place: Place) -> Tally:
        """N^2 frozen parameters; N^2C MACs; nothing is kept, since the matrix is not trained."""
        squared = place.tokens * place.tokens
        return Tally(0, squared * place.width, 0, squared)

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.dense.RandomMixer`."""
        from nas.layers.dense import RandomMixer

        return RandomMixer(place.tokens)
