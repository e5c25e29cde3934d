"""Embeddings and blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.layers.common import DropPath, LayerScale, Mlp, make_activation, make_norm, to_tokens


class ConvEmbedding(nn.Module):
    """Opens a stage: convolution, activation, norm; then the position table and the class token where there are any."""

    def __init__(
        self,
        conv: nn.Conv2d,
        *,
        activation: str,
        norm: str,
        position_tokens: int = 0,
        class_token: bool = False,
    ) -> None:
        super().__init__()
        width = conv.out_channels
        self.conv = conv
        self.activation = make_activation(activation)
        self.norm = make_norm(norm, width)
        self.position = nn.Parameter(torch.zeros(1, position_tokens, width)) if position_tokens else None
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """BCHW map to BNC tokens of the strided map."""
        x_BNC: Tensor = self.norm(self.activation(to_tokens(self.conv(x_BCHW))))
        if self.class_token is not None:
            x_BNC = torch.cat((self.class_token.expand(x_BNC.shape[0], -1, -1), x_BNC), dim=1)
        return x_BNC if self.position is None else x_BNC + self.position


class PreNormBlock(nn.Module):
    """x + mixer(norm x), then x + mlp(norm x) (the MetaFormer block, arXiv 2111.11418)."""

    def __init__(
        self,
        mixer: nn.Module,
        *,
        width: int,
        hidden: int,
        norm: str,
        activation: str,
        layer_scale: float,
        drop_path: float,
    ) -> None:
        super().__init__()

        def branch(inner: nn.Module) -> nn.Sequential:
            scale: list[nn.Module] = [LayerScale(width, layer_scale)] if layer_scale else []
            drop: list[nn.Module] = [DropPath(drop_path)] if drop_path else []
            return nn.Sequential(make_norm(norm, width), inner, *scale, *drop)

        self.mix = branch(mixer)
        self.mlp = branch(Mlp(width, hidden, activation)) if hidden else None

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        x_BNC = x_BNC + self.mix(x_BNC)
        return x_BNC if self.mlp is None else x_BNC + self.mlp(x_BNC)


class ConvMixerBlock(nn.Module):
    """x + norm(act(mixer x)), then norm(act(pointwise x)) without a residual (arXiv 2201.09792)."""

    def __init__(self, mixer: nn.Module, *, width: int, norm: str, activation: str, drop_path: float) -> None:
        super().__init__()
        drop: list[nn.Module] = [DropPath(drop_path)] if drop_path else []
        self.mix = nn.Sequential(mixer, make_activation(activation), make_norm(norm, width), *drop)
        self.pointwise = nn.Sequential(nn.Linear(width, width), make_activation(activation), make_norm(norm, width))

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        pointwise: Tensor = self.pointwise(x_BNC + self.mix(x_BNC))
        return pointwise
