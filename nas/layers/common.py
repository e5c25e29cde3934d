"""Norms, activations, the MLP, and the two ways between tokens and a map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def to_map(x_BNC: Tensor, side: int) -> Tensor:
    """BNC tokens as a BCHW map, channels last in memory: no copy."""
    return x_BNC.reshape(x_BNC.shape[0], side, side, x_BNC.shape[2]).permute(0, 3, 1, 2)


def to_tokens(x_BCHW: Tensor) -> Tensor:
    """A BCHW map as BNC tokens: no copy when the map is channels last in memory."""
    return x_BCHW.permute(0, 2, 3, 1).flatten(1, 2)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm over all tokens of all images."""

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        return super().forward(x_BNC.flatten(0, 1)).view_as(x_BNC)


class GroupNorm(nn.GroupNorm):
    """Group norm of one group: over all tokens and channels of an image."""

    def __init__(self, width: int) -> None:
        super().__init__(1, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        return super().forward(x_BNC.transpose(1, 2)).transpose(1, 2)


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the activation of CvT's released code."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x * torch.sigmoid(1.702 * x)


class LayerScale(nn.Module):
    """A learned scale per channel (arXiv 2103.17239)."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), initial))

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        return x_BNC * self.scale


class DropPath(nn.Module):
    """Drops the whole branch for a random part of the images while training (stochastic depth, arXiv 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC; kept images are scaled up so that the mean stays."""
        if not self.training or self.rate == 0:
            return x_BNC
        keep = x_BNC.new_empty(x_BNC.shape[0], 1, 1).bernoulli_(1 - self.rate)
        return x_BNC * keep / (1 - self.rate)


class Mlp(nn.Sequential):
    """Linear C to hidden, activation, linear hidden to C, per token."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__(nn.Linear(width, hidden), make_activation(activation), nn.Linear(hidden, width))


def make_norm(kind: str, width: int) -> nn.Module:
    """A norm over BNC tokens: none, layer, batch or group (one group)."""
    makers: dict[str, Callable[[int], nn.Module]] = {
        "none": lambda _: nn.Identity(),
        "layer": nn.LayerNorm,
        "batch": BatchNorm,
        "group": GroupNorm,
    }
    return makers[kind](width)


def make_activation(kind: str) -> nn.Module:
    """An activation by name: none, gelu, quick_gelu, relu."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "none": nn.Identity,
        "gelu": nn.GELU,
        "quick_gelu": QuickGELU,
        "relu": nn.ReLU,
    }
    return makers[kind]()
