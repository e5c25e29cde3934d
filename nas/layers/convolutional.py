"""The mixers that look at a neighbourhood: pooling, depthwise and separable convolution."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad

from nas.layers.common import make_activation, to_map, to_tokens


class PoolingMixer(nn.Module):
    """Average pooling minus the input (arXiv 2111.11418); the border is not counted."""

    def __init__(self, side: int, size: int) -> None:
        super().__init__()
        self.side = side
        self.pool = nn.AvgPool2d(size, stride=1, padding=size // 2, count_include_pad=False)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        return to_tokens(self.pool(to_map(x_BNC, self.side))) - x_BNC


class DepthwiseMixer(nn.Module):
    """A depthwise convolution that keeps the side; an even kernel pads one more at the right and bottom."""

    def __init__(self, width: int, side: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.side = side
        before, after = (kernel - 1) // 2, kernel // 2
        self.pads = (before, after, before, after) if before != after else None
        self.conv = nn.Conv2d(width, width, kernel, padding=0 if self.pads else before, groups=width, bias=bias)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        x_BCHW = to_map(x_BNC, self.side)
        return to_tokens(self.conv(pad(x_BCHW, self.pads) if self.pads else x_BCHW))


class SeparableMixer(nn.Module):
    """Linear, activation, depthwise convolution, linear (arXiv 2210.13452)."""

    def __init__(
        self, width: int, side: int, hidden: int, kernel: int, *, activation: str = "gelu", bias: bool = True
    ) -> None:
        super().__init__()
        self.widen = nn.Linear(width, hidden, bias=bias)
        self.activation = make_activation(activation)
        self.spatial = DepthwiseMixer(hidden, side, kernel, bias=bias)
        self.narrow = nn.Linear(hidden, width, bias=bias)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        hidden_BNC = self.spatial(self.activation(self.widen(x_BNC)))
        narrowed: Tensor = self.narrow(hidden_BNC)
        return narrowed
