"""An MLP whose hidden channels gate each other across tokens: the mixer of gMLP (arXiv 2105.08050)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from nas.checked import Fault, real
from nas.mixers.base import Mixer
from nas.tally import Place, Tally, activation, linear, norm

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatedMlp(Mixer):
    """Linear C to H, GELU; the second half of H, normed and mixed across the tokens, multiplies the first; linear to C.

    It fixes the number of tokens. A gMLP block is this mixer without an MLP beside it.

    Attributes:
        ratio: H / width (6 in all published sizes).
    """

    kind: ClassVar[str] = "gated_mlp"
    ratio: float = real(0.125, 16, default=6.0)

    def half(self, width: int) -> int:
        """H / 2, the channels of the gate."""
        return round(width * self.ratio / 2)

    def faults_at(self, place: Place) -> Iterator[Fault]:
        """A ratio that leaves no channel for the gate."""
        yield from super().faults_at(place)
        if not self.half(place.width):
            yield "ratio", f"{self.ratio} of width {place.width} leaves the gate no channel"

    def cost_at(self, place: Place) -> Tally:
        """3CH/2 + 2H + C + N^2 + N parameters; 3NCH/2 + N^2H/2 MACs."""
        width, tokens, half = place.width, place.tokens, self.half(place.width)
        gate = Tally(tokens * tokens + tokens, tokens * tokens * half, 4 * tokens * half)
        return linear(tokens, width, 2 * half).plus(
            activation("gelu", 2 * tokens * half),
            norm("layer", place._replace(width=half))._replace(saved=2 * tokens),
            gate,
            linear(tokens, half, width),
        )

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.dense.GatedMlpMixer`."""
        from nas.layers.dense import GatedMlpMixer

        return GatedMlpMixer(place.width, self.half(place.width), place.tokens)
