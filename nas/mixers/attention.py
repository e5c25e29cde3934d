"""Multi-head self-attention: the mixer of ViT (arXiv 2010.11929), and with a reduction of PVT (arXiv 2102.12122)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from nas.checked import Fault, flag, whole
from nas.mixers.base import Mixer, head_faults
from nas.tally import Place, Tally, convolution, linear, norm

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attention(Mixer):
    """Softmax attention of every token to every token, scale head_width^-0.5.

    Attributes:
        head_width: channels of one head; the number of heads is width / head_width.
        qkv_bias, out_bias: whether these linear layers have one.
        reduction: above 1, keys and values come from a map coarser by this factor: a convolution of that kernel and
            stride, then a layer norm. It takes no class token.
    """

    kind: ClassVar[str] = "attention"
    takes_class_token: ClassVar[bool] = True
    head_width: int = whole(1, 4096, default=32)
    qkv_bias: bool = flag(default=True)
    out_bias: bool = flag(default=True)
    reduction: int = whole(1, 32, default=1)

    def faults_at(self, place: Place) -> Iterator[Fault]:
        """A width that is no multiple of a head, or a reduction that the map does not take."""
        yield from head_faults(self.head_width, place.width)
        if self.reduction > place.side:
            yield "reduction", f"{self.reduction} is larger than the {place.side}x{place.side} map"
        if self.reduction > 1 and place.extra:
            yield "reduction", f"{self.reduction} with a class token, which only 1 takes"

    def cost_at(self, place: Place) -> Tally:
        """4C^2 + 4C parameters; 4NC^2 + 2N^2C MACs; the reduction r adds r^2 C^2 + 3C and coarsens the keys."""
        width, tokens, heads = place.width, place.tokens, place.width // self.head_width
        coarse = place if self.reduction == 1 else place._replace(side=place.side // self.reduction)
        products = Tally(0, 2 * tokens * coarse.tokens * width, width * (tokens + 2 * coarse.tokens) + heads * tokens)
        projections = linear(tokens, width, width, bias=self.qkv_bias).plus(
            linear(coarse.tokens, width, 2 * width, bias=self.qkv_bias)
        )
        if self.reduction == 1:  # one linear layer gives all three and keeps its input once
            projections = projections._replace(saved=tokens * width)
        else:
            reduce = convolution(place.side, coarse.side, width, width, self.reduction)
            projections = projections.plus(reduce._replace(saved=0), norm("layer", coarse))
        return projections.plus(products, linear(tokens, width, width, bias=self.out_bias))

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.dense.AttentionMixer`, with a reduction `ReducedAttentionMixer`."""
        from nas.layers.dense import AttentionMixer, ReducedAttentionMixer

        heads = place.width // self.head_width
        if self.reduction == 1:
            return AttentionMixer(place.width, heads, qkv_bias=self.qkv_bias, out_bias=self.out_bias)
        return ReducedAttentionMixer(
            place.width, place.side, heads, self.reduction, qkv_bias=self.qkv_bias, out_bias=self.out_bias
        )
