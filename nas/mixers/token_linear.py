"""One linear layer across tokens: the mixer of ResMLP (arXiv 2105.03404), and MetaFormer's spatial FC without bias."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from nas.checked import flag
from nas.mixers.base import Mixer
from nas.tally import Place, Tally

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenLinear(Mixer):
    """Linear N to N over the tokens, the same for every channel; it fixes the number of tokens N.

    Attributes:
        bias: whether it has one.
    """

    kind: ClassVar[str] = "token_linear"
    bias: bool = flag(default=True)

    def cost_at(self, place: Place) -> Tally:
        """N^2 + N parameters; N^2C MACs."""
        tokens = place.tokens
        return Tally(tokens * (tokens + self.bias), tokens * tokens * place.width, tokens * place.width)

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.dense.TokenLinearMixer`."""
        from nas.layers.dense import TokenLinearMixer

        return TokenLinearMixer(place.tokens, bias=self.bias)
