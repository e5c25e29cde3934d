"""The multi-axis gated MLP of MAXIM (arXiv 2201.02973)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu


class AxisGate(nn.Module):
    """x + linear(a (1 + T(norm b))), a and b the halves of GELU(linear(norm x)), T a linear layer across positions.

    GELU is the tanh form, the default of the released Flax code; its layer norms have eps 1e-6.
    """

    def __init__(self, width: int, positions: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.widen = nn.Linear(width, 2 * width)
        self.gate_norm = nn.LayerNorm(width, eps=1e-6)
        self.spatial = nn.Linear(positions, positions)
        self.narrow = nn.Linear(width, width)

    def forward(self, x_BGPC: Tensor) -> Tensor:
        """B, groups, positions, C to the same; positions of a group mix."""
        a_BGPC, b_BGPC = gelu(self.widen(self.norm(x_BGPC)), approximate="tanh").chunk(2, dim=3)
        gate_BGPC = self.spatial(self.gate_norm(b_BGPC).transpose(2, 3)).transpose(2, 3)
        gated_BGPC: Tensor = self.narrow(a_BGPC * (gate_BGPC + 1))
        return x_BGPC + gated_BGPC


class MultiAxisMixer(nn.Module):
    """One half of the channels gated across a dilated grid, the other inside windows."""

    def __init__(self, width: int, side: int, block: int, grid: int) -> None:
        super().__init__()
        self.side, self.block, self.grid = side, block, grid
        self.widen = nn.Linear(width, 2 * width)
        self.across = AxisGate(width, grid * grid)
        self.inside = AxisGate(width, block * block)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        u_BNC, v_BNC = gelu(self.widen(x_BNC), approximate="tanh").chunk(2, dim=2)
        cells_BGPC = windows(u_BNC, self.side, self.side // self.grid)
        u_BNC = unwindowed(self.across(cells_BGPC.transpose(1, 2)).transpose(1, 2), self.side, self.side // self.grid)
        v_BNC = unwindowed(self.inside(windows(v_BNC, self.side, self.block)), self.side, self.block)
        narrowed: Tensor = self.narrow(torch.cat((u_BNC, v_BNC), dim=2))
        return narrowed


def windows(x_BNC: Tensor, side: int, size: int) -> Tensor:
    """BNC tokens of a square map as B, windows, positions, C: windows of size x size that do not overlap."""
    B, C, count = x_BNC.shape[0], x_BNC.shape[2], side // size
    return x_BNC.reshape(B, count, size, count, size, C).transpose(2, 3).reshape(B, count * count, size * size, C)


def unwindowed(x_BGPC: Tensor, side: int, size: int) -> Tensor:
    """The inverse of `windows`."""
    B, C, count = x_BGPC.shape[0], x_BGPC.shape[3], side // size
    return x_BGPC.reshape(B, count, count, size, size, C).transpose(2, 3).reshape(B, side * side, C)
