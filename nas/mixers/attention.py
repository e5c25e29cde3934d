"""Multi-head self-attention: the mixer of ViT (arXiv 2010.11929)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from nas.checked import Fault, whole
from nas.mixers.base import Mixer, head_faults
from nas.tally import Place, Tally, linear


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attention(Mixer):
    """Softmax attention of every token to every token, scale head_width^-0.5, q, k, v and output with bias.

    Attributes:
        head_width: channels of one head; the number of heads is width / head_width.
    """

    kind: ClassVar[str] = "attention"
    takes_class_token: ClassVar[bool] = True
    head_width: int = whole(1, 4096, default=32)

    def faults_at(self, place: Place) -> Iterator[Fault]:
        """A width that is no multiple of a head."""
        return head_faults(self.head_width, place.width)

    def cost_at(self, place: Place) -> Tally:
        """4C^2 + 4C parameters; 4NC^2 + 2N^2C MACs."""
        width, tokens = place.width, place.tokens
        heads = width // self.head_width
        products = Tally(0, 2 * tokens * tokens * width, tokens * (3 * width + heads))
        return linear(tokens, width, 3 * width).plus(products, linear(tokens, width, width))
