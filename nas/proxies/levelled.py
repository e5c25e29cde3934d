"""Networks to be scored: all on one footing, in double precision, without a trace in the random state outside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.layers.blocks import ConvEmbedding
from nas.model import Backbone, build


def build_levelled(
    architecture: Architecture, *, in_channels: int, num_classes: int, resolution: int, seed: int, device: str = "cpu"
) -> Backbone:
    """The network with the weights that scores are compared at: scheme "level" of `nas.initialise`, in float64.

    Published schemes start heads at 0, branches at 1e-6 of their size or gates closed; then whatever is behind them is
    invisible to a gradient. Here heads and gates are Xavier-uniform and every layer and residual scale is 1, so a
    network with a layer scale of 1e-6 and the same one without any have the same scores. Kernels have variance
    1 / fan-in, as square Xavier matrices do (torch's own have a third of it), and no bias. Other weights of a mixer of
    one's own, zeros among them, stay as it draws them. Batch norms take the statistics of the batch (training mode, no
    drop path).

    The weights depend on architecture and seed alone: they are drawn on the CPU, and the generators of all devices are
    left as they were. In float64 the number of threads and the order of sums change the last digits only.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = build(
            architecture, in_channels=in_channels, num_classes=num_classes, resolution=resolution, init="level"
        )
        _level_kernels(model)
    return model.double().to(device).train()


@torch.no_grad()
def _level_kernels(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def weights(model: nn.Module) -> list[nn.Parameter]:
    """The trained matrices and kernels: what gradient scores add up over.

    Biases, norms, scales, position tables and class tokens are left out, so that a network is not scored for having
    them.
    """
    tables = {
        id(table)
        for module in model.modules()
        if isinstance(module, ConvEmbedding)
        for table in (module.position, module.class_token)
        if table is not None
    }
    return [
        weight
        for weight in model.parameters()
        if weight.requires_grad and weight.ndim >= 2 and id(weight) not in tables
    ]


def blocks(model: Backbone) -> list[nn.Module]:
    """The blocks of all stages in the order of the data, embeddings left out."""
    return [block for stage in model.stages for index, block in enumerate(stage.children()) if index]


def gradients(loss: Tensor, of: list[nn.Parameter]) -> list[Tensor]:
    """The gradients of a scalar; zeros where it does not depend on a weight."""
    found = torch.autograd.grad(loss, of, allow_unused=True)
    return [torch.zeros_like(weight) if grad is None else grad for weight, grad in zip(of, found, strict=True)]
