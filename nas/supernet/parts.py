"""A network as a row of parts, each a module without weights that equal parts of all networks share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nas.architecture import Architecture, Block, Embedding, Head
from nas.layers.common import to_map
from nas.model import block_of, classifier_of, embedding_of, norm_of, pooled
from nas.supernet.slots import Slot, slots
from nas.tally import Place

REMEMBERED = 4096  # parts of which the modules are kept


@dataclasses.dataclass(frozen=True)
class Shell:
    """A module whose parameters hold no numbers (device "meta"), and where each takes its weights from.

    Attributes:
        shapes: of the parameters, by name. buffers: as they are when the module is new.
    """

    module: nn.Module
    slots: Mapping[str, Slot]
    shapes: Mapping[str, torch.Size]
    buffers: Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Part:
    """A shell at its place in the network: `path` as in the state dict, empty keys of `stages` joined by dots."""

    path: str
    shell: Shell

    def named(self) -> Iterator[tuple[str, Slot, torch.Size]]:
        """Name within the network, slot and shape of every parameter; the slot's key holds the place."""
        for name, slot in self.shell.slots.items():
            key = f"{self.path.replace('.', '/')}|{slot.key}"
            yield f"{self.path}.{name}", dataclasses.replace(slot, key=key), self.shell.shapes[name]


Weights = Callable[[Part], Mapping[str, Tensor]]
"""The tensors of a part's parameters, by their names in it."""


def parts(architecture: Architecture, in_channels: int, num_classes: int, drop_path: float = 0.0) -> tuple[Part, ...]:
    """Embeddings and blocks in the order of the data, then the last norm and the classifier."""
    found, width = [], in_channels
    total = sum(len(stage.blocks) for stage in architecture.stages)
    done = 0
    for index, (stage, place) in enumerate(zip(architecture.stages, architecture.places, strict=True)):
        found.append(Part(f"stages.{index}.0", _embedding(stage.embedding, width, place, stage.position)))
        for number, block in enumerate(stage.blocks, 1):
            rate = drop_path * done / max(1, total - 1)
            found.append(Part(f"stages.{index}.{number}", _block(block, place, rate)))
            done += 1
        width = stage.width
    found.append(Part("norm", _norm(architecture.head, width)))
    found.append(Part("classifier", _classifier(architecture.head, width, num_classes)))
    return tuple(found)


def flow(
    architecture: Architecture, row: tuple[Part, ...], weights: Weights, x_BCHW: Tensor, *, training: bool
) -> Tensor:
    """Images through the parts, as `nas.model.Backbone` has it, to logits; running statistics are not kept."""

    def through(part: Part, x: Tensor) -> Tensor:
        module = part.shell.module.train(training)
        buffers = {name: each.to(x.device, copy=training) for name, each in part.shell.buffers.items()}
        out: Tensor = functional_call(module, {**weights(part), **buffers}, (x,))
        return out

    *body, norm, classifier = row
    rest = iter(body)
    for index, (place, stage) in enumerate(zip(architecture.places, architecture.stages, strict=True), 1):
        x_BNC = through(next(rest), x_BCHW)
        for _ in stage.blocks:
            x_BNC = through(next(rest), x_BNC)
        if index < len(architecture.stages):
            x_BCHW = to_map(x_BNC, place.side)
    last = architecture.head.norm_last
    pooled_BC = pooled(x_BNC if last else through(norm, x_BNC), architecture.places[-1])
    if last:
        pooled_BC = through(norm, pooled_BC[:, None])[:, 0]
    return through(classifier, pooled_BC)


def _shell(make: Callable[[], nn.Module]) -> Shell:
    with torch.random.fork_rng(devices=[]):  # the caller's draws do not depend on what is remembered
        module = make()
    buffers = {name: each.detach().clone() for name, each in module.named_buffers()}
    module.to("meta")
    return Shell(module, slots(module), {name: each.shape for name, each in module.named_parameters()}, buffers)


@lru_cache(REMEMBERED)
def _embedding(spec: Embedding, width_in: int, place: Place, position: str) -> Shell:
    return _shell(lambda: embedding_of(spec, width_in, place, position=position))


@lru_cache(REMEMBERED)
def _block(block: Block, place: Place, rate: float) -> Shell:
    return _shell(lambda: block_of(block, place, rate))


@lru_cache(REMEMBERED)
def _norm(head: Head, width: int) -> Shell:
    return _shell(lambda: norm_of(head, width))


@lru_cache(REMEMBERED)
def _classifier(head: Head, width: int, num_classes: int) -> Shell:
    return _shell(lambda: classifier_of(head, width, num_classes))
