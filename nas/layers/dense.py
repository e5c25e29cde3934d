"""The mixers that look at all tokens: the token MLP and attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

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


def split_heads(x_BNC: Tensor, heads: int) -> Tensor:
    """BNC to B, heads, N, C / heads."""
    return x_BNC.reshape(*x_BNC.shape[:2], heads, -1).transpose(1, 2)


def merge_heads(x_BHND: Tensor) -> Tensor:
    """B, heads, N, D to BNC."""
    return x_BHND.transpose(1, 2).flatten(2)


class AttentionMixer(nn.Module):
    """Multi-head self-attention, scale head_width^-0.5 (arXiv 2010.11929)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x_BNC).chunk(3, dim=2))
        projected: Tensor = self.out(merge_heads(scaled_dot_product_attention(q, k, v)))
        return projected


class ConvProjection(nn.Module):
    """Depthwise convolution (no bias), batch norm, linear layer; a class token takes the linear layer alone."""

    def __init__(self, width: int, side: int, kernel: int, stride: int, extra: int) -> None:
        super().__init__()
        self.side, self.extra = side, extra
        self.conv = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BN'C, N' the tokens of the strided map."""
        tokens_BNC = to_tokens(self.norm(self.conv(to_map(x_BNC[:, self.extra :], self.side))))
        if self.extra:
            tokens_BNC = torch.cat((x_BNC[:, : self.extra], tokens_BNC), dim=1)
        projected: Tensor = self.linear(tokens_BNC)
        return projected


class ConvAttentionMixer(nn.Module):
    """Attention between convolutional projections, scale width^-0.5 as in CvT's released code (arXiv 2103.15808)."""

    def __init__(
        self, *, width: int, side: int, heads: int, q: tuple[int, int], kv: tuple[int, int], q_side: int, extra: int
    ) -> None:
        """`q` and `kv` are (kernel, stride)."""
        super().__init__()
        self.heads, self.scale, self.side, self.q_side, self.extra = heads, width**-0.5, side, q_side, extra
        self.q = ConvProjection(width, side, *q, extra)
        self.k = ConvProjection(width, side, *kv, extra)
        self.v = ConvProjection(width, side, *kv, extra)
        self.out = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        q, k, v = (split_heads(project(x_BNC), self.heads) for project in (self.q, self.k, self.v))
        mixed_BNC: Tensor = self.out(merge_heads(scaled_dot_product_attention(q, k, v, scale=self.scale)))
        return mixed_BNC if self.q_side == self.side else self._repeat(mixed_BNC)

    def _repeat(self, x_BNC: Tensor) -> Tensor:
        coarse_BCHW = to_map(x_BNC[:, self.extra :], self.q_side)
        fine_BNC = to_tokens(interpolate(coarse_BCHW, size=(self.side, self.side), mode="nearest"))
        return torch.cat((x_BNC[:, : self.extra], fine_BNC), dim=1) if self.extra else fine_BNC
