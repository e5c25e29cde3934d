"""Norms, activations, the MLP, and the two ways between tokens and a map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


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

    def __init__(self, width: int, eps: float = 1e-5, *, bias: bool = True) -> None:
        super().__init__(1, width, eps=eps)
        if not bias:
            self.register_parameter("bias", None)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        return super().forward(x_BNC.transpose(1, 2)).transpose(1, 2)


class Affine(nn.Module):
    """A scale and a shift per channel without any statistics (ResMLP, arXiv 2105.03404)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        return torch.addcmul(self.bias, x_BNC, self.weight)


class StdLayerNorm(nn.Module):
    """A layer norm that divides by std + eps instead of sqrt(var + eps), as in the CIFAR-10 CvT of vit-pytorch."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        centred_BNC = x_BNC - x_BNC.mean(dim=2, keepdim=True)
        variance_BN1 = centred_BNC.square().mean(dim=2, keepdim=True)
        std_BN1 = variance_BN1.clamp_min(1e-24).sqrt()  # the root has no gradient at 0
        return torch.addcmul(self.bias, centred_BNC / (std_BN1 + self.eps), self.weight)


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the activation of CvT's released code."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x * torch.sigmoid(1.702 * x)


class StarReLU(nn.Module):
    """a relu(x)^2 + b with learned scalars a, b that start at 1 and 0 (arXiv 2210.13452)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.bias = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return self.scale * relu(x).square() + self.bias


class SquaredReLU(nn.Module):
    """relu(x)^2 (arXiv 2109.08668)."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return relu(x).square()


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

    def __init__(self, width: int, hidden: int, activation: str, *, bias: bool = True) -> None:
        super().__init__(
            nn.Linear(width, hidden, bias=bias), make_activation(activation), nn.Linear(hidden, width, bias=bias)
        )


def make_norm(kind: str, width: int, *, bias: bool = True, eps: float = 1e-5) -> nn.Module:
    """A norm over BNC tokens: none, layer, batch, group (one group), affine or std_layer."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "none": nn.Identity,
        "layer": lambda: nn.LayerNorm(width, eps=eps, bias=bias),
        "batch": lambda: BatchNorm(width, eps=eps),
        "group": lambda: GroupNorm(width, eps, bias=bias),
        "affine": lambda: Affine(width),
        "std_layer": lambda: StdLayerNorm(width, eps),
    }
    return makers[kind]()


def make_activation(kind: str) -> nn.Module:
    """An activation by name, or "none"."""
    kinds: dict[str, Callable[[], nn.Module]] = {
        "none": nn.Identity,
        "gelu": nn.GELU,
        "quick_gelu": QuickGELU,
        "relu": nn.ReLU,
        "star_relu": StarReLU,
        "squared_relu": SquaredReLU,
    }
    return kinds[kind]()
