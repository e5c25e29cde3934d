"""Embeddings and blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.layers.common import DropPath, LayerScale, SquaredReLU, make_activation, to_map, to_tokens


class ConvEmbedding(nn.Module):
    """Opens a stage: convolution, activation, norm; then the class token and the position table where there are any.

    With `norm_first` the norm comes before the convolution, on its input.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        norm: nn.Module,
        *,
        activation: str = "none",
        norm_first: bool = False,
        position_tokens: int = 0,
        class_token: bool = False,
    ) -> None:
        super().__init__()
        width = conv.out_channels
        self.conv = conv
        self.activation = make_activation(activation)
        self.norm, self.norm_first = norm, norm_first
        self.position = nn.Parameter(torch.zeros(1, position_tokens, width)) if position_tokens else None
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """BCHW map to BNC tokens of the strided map."""
        if self.norm_first:
            x_BCHW = to_map(self.norm(to_tokens(x_BCHW)), x_BCHW.shape[2])
        x_BNC: Tensor = self.activation(to_tokens(self.conv(x_BCHW)))
        if not self.norm_first:
            x_BNC = self.norm(x_BNC)
        if self.class_token is not None:
            x_BNC = torch.cat((self.class_token.expand(x_BNC.shape[0], -1, -1), x_BNC), dim=1)
        return x_BNC if self.position is None else x_BNC + self.position


class Branch(nn.Sequential):
    """Norm, then mixer or MLP, then the scale and the drop path where there are any."""

    def __init__(
        self, norm: nn.Module, inner: nn.Module, *, width: int, layer_scale: float = 0.0, drop_path: float = 0.0
    ) -> None:
        scale: list[nn.Module] = [LayerScale(width, layer_scale)] if layer_scale else []
        drop: list[nn.Module] = [DropPath(drop_path)] if drop_path else []
        super().__init__(norm, inner, *scale, *drop)


class PreNormBlock(nn.Module):
    """s x + mix(x), then s x + mlp(x) (the MetaFormer block, arXiv 2111.11418); s is 1 or learned per channel."""

    def __init__(self, mix: Branch, mlp: Branch | None, *, width: int, residual_scale: float = 0.0) -> None:
        super().__init__()
        self.mix, self.mlp = mix, mlp
        self.mix_residual = LayerScale(width, residual_scale) if residual_scale else None
        self.mlp_residual = LayerScale(width, residual_scale) if residual_scale and mlp is not None else None

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        passed_BNC: Tensor = x_BNC if self.mix_residual is None else self.mix_residual(x_BNC)
        x_BNC = passed_BNC + self.mix(x_BNC)
        if self.mlp is None:
            return x_BNC
        passed_BNC = x_BNC if self.mlp_residual is None else self.mlp_residual(x_BNC)
        out_BNC: Tensor = passed_BNC + self.mlp(x_BNC)
        return out_BNC


class ConvMixerBlock(nn.Module):
    """x + norm(act(mixer x)), then norm(act(pointwise x)) without a residual (arXiv 2201.09792)."""

    def __init__(
        self, mixer: nn.Module, norms: tuple[nn.Module, nn.Module], *, width: int, activation: str, drop_path: float
    ) -> None:
        super().__init__()
        drop: list[nn.Module] = [DropPath(drop_path)] if drop_path else []
        self.mix = nn.Sequential(mixer, make_activation(activation), norms[0], *drop)
        self.pointwise = nn.Sequential(nn.Linear(width, width), make_activation(activation), norms[1])

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        pointwise: Tensor = self.pointwise(x_BNC + self.mix(x_BNC))
        return pointwise


class MlpClassifier(nn.Sequential):
    """Linear C to H, squared ReLU, layer norm, linear H to classes: the head of ConvFormer (arXiv 2210.13452)."""

    def __init__(self, width: int, hidden: int, classes: int) -> None:
        super().__init__(nn.Linear(width, hidden), SquaredReLU(), nn.LayerNorm(hidden), nn.Linear(hidden, classes))
