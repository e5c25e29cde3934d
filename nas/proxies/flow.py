"""synflow, and the linear network that it is taken of."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from nas.layers.blocks import ConvEmbedding
from nas.layers.common import Affine, LayerScale, QuickGELU, SquaredReLU, StarReLU, StdLayerNorm, to_map, to_tokens
from nas.layers.convolutional import PoolingMixer
from nas.layers.dense import GatedMlpMixer
from nas.layers.multi_axis import AxisGate
from nas.model import Backbone
from nas.proxies.levelled import blocks, gradients, weights

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, StdLayerNorm, Affine)
ACTIVATIONS = (nn.GELU, nn.ReLU, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ReLU6, QuickGELU, StarReLU, SquaredReLU)
PASSED = frozenset(
    {
        functional.gelu, functional.relu, torch.relu, torch.Tensor.relu, functional.relu6, functional.leaky_relu,
        functional.silu, functional.hardswish,
    }
)  # fmt: skip


class NoFlow(ValueError):
    """Nothing, or something that is no number, comes out of the network."""


def synflow(model: Backbone, images_BCHW: Tensor, _labels_B: Tensor, *, seed: int = 0) -> float:
    """The log of sum |theta dR/dtheta|, R the sum of the outputs of the network made linear with |theta| for theta.

    Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively conserving synaptic
    flow", NeurIPS 2020 (arXiv 2006.05467); as a score by Abdelfattah et al., ICLR 2021 (arXiv 2101.08134). The original
    is for networks of ReLU and convolutions. Here, to have R linear in its input whatever the network:

    * the input is random in (0.5, 1.5), not 1 everywhere, where all patches would be alike; of the data, only the shape
      of an image is used;
    * norms and activations are identities, biases and position tables 0, scales 1;
    * pooling minus its input counts by the absolute value of its matrix, |P - I|;
    * attention is the mean over the keys: the flow reaches values, not queries and keys;
    * a product of two halves (gMLP, MAXIM) is their sum.

    R grows with the exponent of the depth: blocks are divided by their largest output and the logs of these added,
    which for a linear network is exact. Weights are those of `levelled.weights`.

    Raises: NoFlow where R is 0 or not finite (mixers of one's own that subtract, divide or multiply).
    """
    linear = absolute_linear(model)
    scale = _Levels()
    hooks = [block.register_forward_hook(scale) for block in blocks(linear)]
    one_CHW = positive_input(*images_BCHW.shape[1:], seed=seed).to(images_BCHW.device)
    with _Passing():
        total = linear(one_CHW[None]).sum()
    for hook in hooks:
        hook.remove()
    found = weights(linear)
    flow = sum(
        float((weight.detach() * grad).abs().sum()) for weight, grad in zip(found, gradients(total, found), strict=True)
    )
    if not (math.isfinite(flow) and flow > 0):
        raise NoFlow(f"its flow is {flow:g}: not a network that absolute weights make positive")
    return math.log(flow) + scale.log


def positive_input(channels: int, height: int, width: int, *, seed: int) -> Tensor:
    """CHW numbers in (0.5, 1.5), float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(channels, height, width, dtype=torch.float64, generator=generator) + 0.5


@torch.no_grad()
def absolute_linear(model: Backbone) -> Backbone:
    """A copy that is linear in its input (inside `_Passing`) and has absolute weights."""
    linear = copy.deepcopy(model)
    _make_linear(linear)
    for name, weight in linear.named_parameters():
        weight.abs_()
        if name.endswith("bias"):
            weight.zero_()
    for module in linear.modules():
        if isinstance(module, LayerScale):
            module.scale.fill_(1)
        elif isinstance(module, ConvEmbedding):
            for table in (module.position, module.class_token):
                if table is not None:
                    table.zero_()
    return linear


def _make_linear(module: nn.Module) -> None:
    for name, inner in module.named_children():
        if isinstance(inner, (*NORMS, *ACTIVATIONS)):
            setattr(module, name, nn.Identity())
            continue
        _make_linear(inner)
        for kind, twin in TWINS.items():
            if isinstance(inner, kind):
                setattr(module, name, twin(inner))


class AbsolutePooling(nn.Module):
    """|P - I| of a pooling mixer: its neighbours as they are, its own share 1 - 1 / count."""

    def __init__(self, mixer: PoolingMixer) -> None:
        super().__init__()
        self.side, self.pool = mixer.side, mixer.pool

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        x_BCHW = to_map(x_BNC, self.side)
        pool = self.pool
        counted = functional.avg_pool2d(
            torch.ones_like(x_BCHW[:1, :1]),
            pool.kernel_size,
            1,
            pool.padding,
            count_include_pad=True,
            divisor_override=1,
        )
        return to_tokens(pool(x_BCHW) + (1 - 2 / counted) * x_BCHW)


class SummedGate(nn.Module):
    """gMLP's mixer with u + gate for u x gate."""

    def __init__(self, mixer: GatedMlpMixer) -> None:
        super().__init__()
        self.widen, self.spatial, self.narrow = mixer.widen, mixer.spatial, mixer.narrow

    def forward(self, x_BNC: Tensor) -> Tensor:
        """BNC to BNC."""
        u_BNH, v_BNH = self.widen(x_BNC).chunk(2, dim=2)
        summed: Tensor = self.narrow(u_BNH + self.spatial(v_BNH.transpose(1, 2)).transpose(1, 2))
        return summed


class SummedAxisGate(nn.Module):
    """MAXIM's gate with a + gate for a x (1 + gate)."""

    def __init__(self, gate: AxisGate) -> None:
        super().__init__()
        self.widen, self.spatial, self.narrow = gate.widen, gate.spatial, gate.narrow

    def forward(self, x_BGPC: Tensor) -> Tensor:
        """B, groups, positions, C to the same."""
        a_BGPC, b_BGPC = self.widen(x_BGPC).chunk(2, dim=3)
        summed: Tensor = x_BGPC + self.narrow(a_BGPC + self.spatial(b_BGPC.transpose(2, 3)).transpose(2, 3))
        return summed


TWINS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    PoolingMixer: AbsolutePooling,
    GatedMlpMixer: SummedGate,
    AxisGate: SummedAxisGate,
}


class _Passing(TorchFunctionMode):
    """Activations called as functions pass their input on; attention is the mean over its keys."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in PASSED:
            return args[0]
        if func is functional.scaled_dot_product_attention:
            q, _, v = args[:3]
            return v.mean(dim=2, keepdim=True).expand(-1, -1, q.shape[2], -1)
        return func(*args, **(kwargs or {}))


class _Levels:
    """A forward hook that divides a block's output by its largest number and adds up the logs of these."""

    def __init__(self) -> None:
        self.log = 0.0

    def __call__(self, _module: nn.Module, _inputs: Any, out_BNC: Tensor) -> Tensor:
        largest = float(out_BNC.detach().abs().max())
        if not (math.isfinite(largest) and largest > 0):
            return out_BNC
        self.log += math.log(largest)
        return out_BNC / largest
