"""Attention with convolutional projections: the mixer of CvT (arXiv 2103.15808)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from nas.checked import Fault, flag, whole, word
from nas.mixers.base import Mixer, head_faults
from nas.tally import Place, Tally, linear, out_side

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvAttention(Mixer):
    """q, k and v each from a depthwise convolution (no bias), a batch norm and a linear layer.

    A class token passes the convolutions by. With `q_stride` above 1 the queries sit on a coarser map, and what they
    gather is repeated back to the full one (as in EfficientFormerV2's stride attention, arXiv 2212.08059).

    Attributes:
        head_width: channels of one head; the number of heads is width / head_width.
        q_kernel: side of the query kernel, odd.
        kv_kernel: side of the key and value kernels, odd.
        q_stride: stride of the query convolution.
        kv_stride: stride of the key and value convolutions.
        scale: of the softmax: "width" (width^-0.5, as CvT's released code has it) or "head" (head_width^-0.5).
        shared_kv: keys and values share one convolution and norm.
        qkv_bias: whether the linear layers of q, k and v have one.
    """

    kind: ClassVar[str] = "conv_attention"
    takes_class_token: ClassVar[bool] = True
    head_width: int = whole(1, 4096, default=64)
    q_kernel: int = whole(1, 15, odd=True, default=3)
    kv_kernel: int = whole(1, 15, odd=True, default=3)
    q_stride: int = whole(1, 16, default=1)
    kv_stride: int = whole(1, 16, default=2)
    scale: str = word("width", "head", default="width")
    shared_kv: bool = flag(default=False)
    qkv_bias: bool = flag(default=True)

    def faults_at(self, place: Place) -> Iterator[Fault]:
        """A width that is no multiple of a head, or a stride larger than the map."""
        yield from head_faults(self.head_width, place.width)
        for field in ("q_stride", "kv_stride"):
            stride = getattr(self, field)
            if stride > place.side:
                yield field, f"{stride} is larger than the {place.side}x{place.side} map"

    def sides(self, side: int) -> tuple[int, int]:
        """Sides of the query map and of the key and value map."""
        return (
            out_side(side, self.q_kernel, self.q_stride, self.q_kernel // 2),
            out_side(side, self.kv_kernel, self.kv_stride, self.kv_kernel // 2),
        )

    def cost_at(self, place: Place) -> Tally:
        """The depthwise convolutions and their norms, four linear layers, and the attention products."""
        width, side, extra = place
        q_side, kv_side = self.sides(side)
        q_map, kv_map = q_side * q_side, kv_side * kv_side
        queries, keys = q_map + extra, kv_map + extra
        many = 1 if self.shared_kv else 2
        weights_q, weights_kv = self.q_kernel**2 * width, self.kv_kernel**2 * width
        convolutions = Tally(
            weights_q + many * weights_kv + 2 * (1 + many) * width,
            weights_q * q_map + many * weights_kv * kv_map,
            place.tokens * width + width * (q_map + many * kv_map) + 2 * (1 + many) * width,
        )
        projected = linear(keys, width, 2 * width // many, bias=self.qkv_bias).times(many)
        heads = width // self.head_width
        products = Tally(0, 2 * queries * keys * width, width * (queries + 2 * keys) + heads * queries)
        return convolutions.plus(
            linear(queries, width, width, bias=self.qkv_bias), projected, products, linear(queries, width, width)
        )

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.dense.ConvAttentionMixer`."""
        from nas.layers.dense import ConvAttentionMixer

        return ConvAttentionMixer(
            width=place.width,
            side=place.side,
            heads=place.width // self.head_width,
            q=(self.q_kernel, self.q_stride),
            kv=(self.kv_kernel, self.kv_stride),
            q_side=self.sides(place.side)[0],
            extra=place.extra,
            scale=(place.width if self.scale == "width" else self.head_width) ** -0.5,
            shared_kv=self.shared_kv,
            qkv_bias=self.qkv_bias,
        )
