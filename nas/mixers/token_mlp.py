"""An MLP across tokens, shared by all channels: the mixer of MLP-Mixer (arXiv 2105.01601)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from nas.checked import real
from nas.mixers.base import Mixer
from nas.tally import Place, Tally, activation

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenMlp(Mixer):
    """Linear N to H over the tokens, GELU, linear H to N, with bias; it fixes the number of tokens N.

    Attributes:
        ratio: hidden size H / width (0.5 in all published sizes).
    """

    kind: ClassVar[str] = "token_mlp"
    ratio: float = real(0.0625, 16, default=0.5)

    def hidden(self, width: int) -> int:
        """H, the hidden size across tokens."""
        return max(1, round(width * self.ratio))

    def cost_at(self, place: Place) -> Tally:
        """2NH + H + N parameters; every channel is mixed: 2NHC MACs."""
        tokens, hidden = place.tokens, self.hidden(place.width)
        params = 2 * tokens * hidden + hidden + tokens
        macs = 2 * tokens * hidden * place.width
        saved = place.width * (tokens + hidden)
        return Tally(params, macs, saved).plus(activation("gelu", place.width * hidden))

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.dense.TokenMlpMixer`."""
        from nas.layers.dense import TokenMlpMixer

        return TokenMlpMixer(place.tokens, self.hidden(place.width))
