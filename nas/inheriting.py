"""A new network that begins with the weights of a trained one: what both have in common is copied.

By the rule of `nas.supernet.slots`: the first channels, the middle of kernels, of matrices that hold several the first
channels of each, and nothing where positions differ in number. What only the new network has stays as it was made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nas import checkpoint
from nas.architecture import Architecture
from nas.errors import NasError
from nas.model import Backbone
from nas.supernet.slots import Slot, inherit, slots

log = logging.getLogger(__name__)

NETWORK = "network"  # in a checkpoint's state: the architecture that its weights are of, as JSON
SCALE = "weight"  # of a batch norm, whose statistics sit where it does


def begin_with(model: Backbone, folder: Path) -> float:
    """Copy into `model`, in place, what it has in common with the averaged weights of the checkpoint in `folder`.

    Returns the share of its parameters that were copied; 0, and a warning in the log, where the checkpoint is gone,
    torn, or of a version that did not write down its network.
    """
    try:
        parent, weights = _read(folder, model)
    except (NasError, LookupError, TypeError, AttributeError) as error:
        log.warning("%s gives no weights to begin with, so it is from scratch: %s", folder, error)
        return 0.0
    return inherited(model, parent, weights)


@torch.no_grad()
def inherited(model: nn.Module, parent: nn.Module, weights: Mapping[str, Tensor]) -> float:
    """Copy into `model` what it has in common with `weights`, which are of `parent`; the share of its parameters."""
    given = {slot.key: weights[name] for name, slot, _ in _tensors(parent)}
    copied = 0
    for _, slot, into in _tensors(model):
        if slot.key in given and given[slot.key].ndim == into.ndim:
            count = inherit(into, given[slot.key], slot.fused)
            copied += count if isinstance(into, nn.Parameter) else 0
    return copied / max(1, sum(each.numel() for each in model.parameters()))


def _read(folder: Path, model: Backbone) -> tuple[Backbone, Mapping[str, Tensor]]:
    """The network of a checkpoint, without numbers, and its weights. Raises: NasError, LookupError."""
    state = checkpoint.load(folder)
    if state is None:
        raise NasError("no checkpoint is there")
    with torch.device("meta"):
        parent = Backbone(Architecture.from_json(state[NETWORK]), model.in_channels, model.num_classes, 0.0)
    weights = checkpoint.weights_of(state)
    if any(weights[name].shape != each.shape for name, _, each in _tensors(parent)):
        raise NasError("its weights are not those of the network that it names")
    return parent, weights


def _tensors(module: nn.Module) -> Iterator[tuple[str, Slot, Tensor]]:
    """Name, slot and tensor of every parameter, and of the statistics of batch norms."""
    found = slots(module)
    for name, weight in module.named_parameters():
        yield name, found[name], weight
    for name, statistic in module.named_buffers():
        owner, _, last = name.rpartition(".")
        if (slot := found.get(f"{owner}.{SCALE}")) is not None:
            yield name, Slot(f"{slot.key}/{last}"), statistic
