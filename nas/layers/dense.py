"""The mixers that look at all tokens: MLPs and matrices across tokens, and attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, linear, scaled_dot_product_attention

from nas.layers.common import to_map, to_tokens


class TokenMlpMixer(nn.Sequential):
    """An MLP across the tokens, shared by all channels (arXiv 2105.01601)."""

    def __init__(self, tokens: int, hidden: int) -> None:
        super().__init__(nn.Linear(tokens, hidden), nn.GELU(), nn.Linear(hidden, tokens))

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        mixed_BCN = x_BNC.transpose(1, 2)
        for layer in self:
            mixed_BCN = layer(mixed_BCN)
        return mixed_BCN.transpose(1, 2)


class TokenLinearMixer(nn.Module):
    """One linear layer across the tokens, shared by all channels (arXiv 2105.03404)."""

    def __init__(self, tokens: int, *, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(tokens, tokens, bias=bias)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        mixed_BCN: Tensor = self.linear(x_BNC.transpose(1, 2))
        return mixed_BCN.transpose(1, 2)


class RandomMixer(nn.Module):
    """Tokens averaged by a frozen random matrix whose rows are a softmax of uniform numbers (arXiv 2210.13452)."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.rand(tokens, tokens).softmax(dim=1), requires_grad=False)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        return linear(x_BNC.transpose(1, 2), self.matrix).transpose(1, 2)


class GatedMlpMixer(nn.Module):
    """Linear, GELU, the spatial gate, linear (arXiv 2105.08050)."""

    def __init__(self, width: int, half: int, tokens: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 2 * half)
        self.norm = nn.LayerNorm(half)
        self.spatial = nn.Linear(tokens, tokens)
        self.narrow = nn.Linear(half, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        u_BNH, v_BNH = gelu(self.widen(x_BNC)).chunk(2, dim=2)
        gate_BHN = self.spatial(self.norm(v_BNH).transpose(1, 2))
        narrowed: Tensor = self.narrow(u_BNH * gate_BHN.transpose(1, 2))
        return narrowed


def split_heads(x_BNC: Tensor, heads: int) -> Tensor:
    """BNC to B, heads, N, C / heads."""
    return x_BNC.reshape(*x_BNC.shape[:2], heads, -1).transpose(1, 2)


def merge_heads(x_BHND: Tensor) -> Tensor:
    """B, heads, N, D to BNC."""
    return x_BHND.transpose(1, 2).flatten(2)


class AttentionMixer(nn.Module):
    """Multi-head self-attention, scale head_width^-0.5 (arXiv 2010.11929)."""

    def __init__(self, width: int, heads: int, *, qkv_bias: bool = True, out_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.out = nn.Linear(width, width, bias=out_bias)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x_BNC).chunk(3, dim=2))
        projected: Tensor = self.out(merge_heads(scaled_dot_product_attention(q, k, v)))
        return projected


class ReducedAttentionMixer(nn.Module):
    """Attention whose keys and values come from a strided convolution and a layer norm (arXiv 2102.12122)."""

    def __init__(
        self, width: int, side: int, heads: int, reduction: int, *, qkv_bias: bool = True, out_bias: bool = True
    ) -> None:
        super().__init__()
        self.heads, self.side = heads, side
        self.q = nn.Linear(width, width, bias=qkv_bias)
        self.reduce = nn.Conv2d(width, width, reduction, reduction)
        self.norm = nn.LayerNorm(width)
        self.kv = nn.Linear(width, 2 * width, bias=qkv_bias)
        self.out = nn.Linear(width, width, bias=out_bias)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        coarse_BNC = self.norm(to_tokens(self.reduce(to_map(x_BNC, self.side))))
        q = split_heads(self.q(x_BNC), self.heads)
        k, v = (split_heads(part, self.heads) for part in self.kv(coarse_BNC).chunk(2, dim=2))
        projected: Tensor = self.out(merge_heads(scaled_dot_product_attention(q, k, v)))
        return projected


class ConvProjection(nn.Module):
    """Depthwise convolution (no bias), batch norm, linear layer; a class token takes the linear layer alone."""

    def __init__(
        self, width: int, out: int, side: int, kernel: int, stride: int, extra: int, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.side, self.extra = side, extra
        self.conv = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, out, bias=bias)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BN'C, N' the tokens of the strided map."""
        tokens_BNC = to_tokens(self.norm(self.conv(to_map(x_BNC[:, self.extra :], self.side))))
        if self.extra:
            tokens_BNC = torch.cat((x_BNC[:, : self.extra], tokens_BNC), dim=1)
        projected: Tensor = self.linear(tokens_BNC)
        return projected


class ConvAttentionMixer(nn.Module):
    """Attention between convolutional projections (arXiv 2103.15808)."""

    def __init__(
        self,
        *,
        width: int,
        side: int,
        heads: int,
        q: tuple[int, int],
        kv: tuple[int, int],
        q_side: int,
        extra: int,
        scale: float,
        shared_kv: bool = False,
        qkv_bias: bool = True,
    ) -> None:
        """`q` and `kv` are (kernel, stride); one projection gives keys and values where they are shared."""
        super().__init__()
        self.heads, self.scale, self.side, self.q_side, self.extra = heads, scale, side, q_side, extra
        self.q = ConvProjection(width, width, side, *q, extra=extra, bias=qkv_bias)
        if shared_kv:
            self.kv = ConvProjection(width, 2 * width, side, *kv, extra=extra, bias=qkv_bias)
        else:
            self.k = ConvProjection(width, width, side, *kv, extra=extra, bias=qkv_bias)
            self.v = ConvProjection(width, width, side, *kv, extra=extra, bias=qkv_bias)
        self.shared_kv = shared_kv
        self.out = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        keys_values = self.kv(x_BNC).chunk(2, dim=2) if self.shared_kv else (self.k(x_BNC), self.v(x_BNC))
        q, k, v = (split_heads(part, self.heads) for part in (self.q(x_BNC), *keys_values))
        mixed_BNC: Tensor = self.out(merge_heads(scaled_dot_product_attention(q, k, v, scale=self.scale)))
        return mixed_BNC if self.q_side == self.side else self._repeat(mixed_BNC)

    def _repeat(self, x_BNC: Tensor) -> Tensor:
        coarse_BCHW = to_map(x_BNC[:, self.extra :], self.q_side)
        fine_BNC = to_tokens(interpolate(coarse_BCHW, size=(self.side, self.side), mode="nearest"))
        return torch.cat((x_BNC[:, : self.extra], fine_BNC), dim=1) if self.extra else fine_BNC
