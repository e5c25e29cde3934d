"""How weights start: ours, the published schemes, and one that puts all networks on one footing.

What every scheme but "torch" does: biases of linear layers 0, position tables and class tokens truncated normal 0.02,
gMLP's gates as identity (weights normal 1e-6, bias 1) but in "level".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from nas.errors import unknown
from nas.layers.blocks import ConvEmbedding
from nas.layers.common import LayerScale, Mlp
from nas.layers.dense import GatedMlpMixer, TokenMlpMixer


@torch.no_grad()
def initialise(model: nn.Module, scheme: str) -> None:
    """Set the weights of a freshly built `model` in place.

    Raises: InputError for an unknown scheme.
    """
    if scheme not in SCHEMES:
        raise unknown("initialisation", scheme, list(SCHEMES))
    SCHEMES[scheme](model)


def _xavier(model: nn.Module) -> None:
    """Linear layers Xavier-uniform, as in ViT (a fixed 0.02 starves narrow networks), convolutions as in torch."""
    _tables_and_gates(model)
    for module in _linears(model):
        nn.init.xavier_uniform_(module.weight)


def _trunc_normal(model: nn.Module) -> None:
    """Linear layers truncated normal 0.02; convolutions as torch has them (DeiT, CvT, PVT, ResMLP)."""
    _tables_and_gates(model)
    for module in _linears(model):
        nn.init.trunc_normal_(module.weight, std=0.02)


def _zero_positions(model: nn.Module) -> None:
    """As trunc_normal, with position tables 0 (PoolFormer v1 and its hybrids)."""
    _trunc_normal(model)
    for module in model.modules():
        if isinstance(module, ConvEmbedding):
            _zero(module.position)


def _trunc_normal_all(model: nn.Module) -> None:
    """Linear layers and convolutions truncated normal 0.02, their biases 0 (the MetaFormer baselines)."""
    _trunc_normal(model)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=0.02)
            _zero(module.bias)


def _jax(model: nn.Module) -> None:
    """Xavier-uniform, MLP biases normal 1e-6, LeCun-normal patches, class token and classifier 0.

    As timm has them for ViT, MLP-Mixer and gMLP, q, k and v one matrix (Flax's Mixer has LeCun-normal for Xavier).
    """
    _xavier(model)
    for module in model.modules():
        if isinstance(module, Mlp | TokenMlpMixer | GatedMlpMixer):
            for layer in _linears(module):
                if layer.bias is not None:
                    nn.init.normal_(layer.bias, std=1e-6)
        elif isinstance(module, ConvEmbedding):
            std = module.conv.weight[0].numel() ** -0.5 / 0.87962566  # cutting at two std leaves fan_in^-0.5
            nn.init.trunc_normal_(module.conv.weight, std=std, a=-2 * std, b=2 * std)
            _zero(module.conv.bias)
            _zero(module.class_token)
    nn.init.zeros_(_linears(model.get_submodule("classifier"))[-1].weight)


def _torch(model: nn.Module) -> None:
    """Everything as torch makes it (ConvMixer)."""


def _level(model: nn.Module) -> None:
    """Xavier-uniform, every layer and residual scale 1, gates open and random: no branch or head starts invisible."""
    _xavier(model)
    for module in model.modules():
        if isinstance(module, LayerScale):
            nn.init.ones_(module.scale)
        elif isinstance(module, GatedMlpMixer):
            nn.init.xavier_uniform_(module.spatial.weight)


SCHEMES: dict[str, Callable[[nn.Module], None]] = {
    "xavier": _xavier,
    "trunc_normal": _trunc_normal,
    "zero_positions": _zero_positions,
    "trunc_normal_all": _trunc_normal_all,
    "jax": _jax,
    "torch": _torch,
    "level": _level,
}


def _linears(model: nn.Module) -> list[nn.Linear]:
    """The linear layers, gates apart."""
    gates = {id(module.spatial) for module in model.modules() if isinstance(module, GatedMlpMixer)}
    return [module for module in model.modules() if isinstance(module, nn.Linear) and id(module) not in gates]


def _tables_and_gates(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            _zero(module.bias)
        elif isinstance(module, ConvEmbedding):
            for table in (module.position, module.class_token):
                if table is not None:
                    nn.init.trunc_normal_(table, std=0.02)
    for module in model.modules():
        if isinstance(module, GatedMlpMixer):
            nn.init.normal_(module.spatial.weight, std=1e-6)
            nn.init.ones_(module.spatial.bias)


def _zero(tensor: torch.Tensor | None) -> None:
    if tensor is not None:
        nn.init.zeros_(tensor)
