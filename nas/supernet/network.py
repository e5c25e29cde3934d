"""One network that holds the weights of all networks of a space."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.errors import InputError, SpaceError
from nas.model import LARGEST, Backbone, build
from nas.space import Space
from nas.supernet.envelope import covering, extreme
from nas.supernet.parts import Part, flow, parts
from nas.supernet.slots import Slot, part_of, window

DRAWN = 64  # networks, so that the weights of most sizes begin as theirs do


class Supernet(nn.Module):
    """Weights that the networks of a space share: any of them is run by its part of them.

    Attributes:
        weights: by slot, as large as any network of the space takes them. largest, smallest: of the space.
    """

    def __init__(
        self, space: Space, *, in_channels: int = 3, num_classes: int = 1000, resolution: int, seed: int = 0
    ) -> None:
        """With weights as `build` makes them, drawn by `seed`; each as in the smallest network that takes it.

        So narrow networks do not begin with the small numbers that suit the fan-in of wide ones.

        Raises: SpaceError for a space that holds no architectures, for images of another size, or networks of
        different numbers of stages; InputError where the weights are over 4e9 numbers.
        """
        super().__init__()
        self.space, self.in_channels, self.num_classes, self.resolution = space, in_channels, num_classes, resolution
        networks = [_held(space.decode(genome), resolution) for genome in covering(space)]
        depths = sorted({len(network.stages) for network in networks})
        if len(depths) > 1:
            raise SpaceError(
                f"a supernet holds networks of one number of stages; this space has some of {depths[0]} and some of "
                f"{depths[-1]}"
            )
        self.largest, self.smallest = networks[0], space.decode(extreme(space, largest=False))
        self.weights = nn.ParameterDict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._make(networks, [self.smallest, *self._drawn(seed)])

    def forward(self, x_BCHW: Tensor, candidate: Architecture, *, drop_path: float = 0.0) -> Tensor:
        """Images through a network of the space, by its part of the weights, to logits.

        Batch norms take the statistics of the batch in training; else those of a new network, as `extract` leaves them:
        `nas.supernet.judging.calibrated` gives a network its own. Raises: SpaceError for a network that is not of the
        space.
        """
        row = parts(candidate, self.in_channels, self.num_classes, drop_path)
        return flow(candidate, row, self._taken, x_BCHW, training=self.training)

    def extract(self, candidate: Architecture) -> Backbone:
        """The network by itself, with a copy of its part of the weights. Raises: SpaceError as `forward`."""
        model = extracted(
            self.weights, candidate, in_channels=self.in_channels, num_classes=self.num_classes,
            resolution=self.resolution,
        )  # fmt: skip
        return model.to(next(self.parameters()).device).train(self.training)

    def _taken(self, part: Part) -> Mapping[str, Tensor]:
        return taken(self.weights, part)

    def _drawn(self, seed: int) -> Iterator[Architecture]:
        rng = random.Random(seed)
        for _ in range(DRAWN):
            yield self.space.decode(self.space.sample(rng))

    def _make(self, large: list[Architecture], others: list[Architecture]) -> None:
        """Weights of the shapes that the networks have together, with values of new networks of all sizes.

        Of the large ones only those are built that have something larger than all before them.
        """
        shapes: dict[str, torch.Size] = {}
        grew: list[Architecture] = []
        for network in (*large, *others):
            before = dict(shapes)
            for _, slot, shape in self._named(network):
                shapes[slot.key] = torch.Size(map(max, shapes.get(slot.key, shape), shape))
                self.weights[slot.key] = nn.Parameter(torch.empty(0))
            grew += [network] if shapes != before else []
        if (numbers := sum(shape.numel() for shape in shapes.values())) > LARGEST:
            raise InputError(f"a supernet of {numbers:,} weights: more than {LARGEST:,} are not built")
        seen: set[tuple[str, torch.Size]] = set()
        holders: dict[str, Tensor] = {}
        for network in (*grew, *others):
            new = {(slot.key, shape) for _, slot, shape in self._named(network)} - seen
            if new:
                self._fill(network, shapes, holders)
            seen |= new

    @torch.no_grad()
    def _fill(self, network: Architecture, shapes: Mapping[str, torch.Size], holders: dict[str, Tensor]) -> None:
        """Give the weights that no smaller network holds those of a new one.

        `holders` says of every weight how large the tensor was that it is from.
        """
        model = build(network, in_channels=self.in_channels, num_classes=self.num_classes, resolution=self.resolution)
        own = dict(model.named_parameters())
        for name, slot, shape in self._named(network):
            given, whole = own[name], shapes[slot.key]
            if slot.key not in holders:
                self.weights[slot.key] = nn.Parameter(_spread(given, whole), given.requires_grad)
                holders[slot.key] = torch.full(whole, float("inf"))
            holder = window(holders[slot.key], shape, slot.fused)
            mine = holder > shape.numel()
            window(self.weights[slot.key], shape, slot.fused)[mine] = window(given, shape, slot.fused)[mine]
            holder[mine] = shape.numel()

    def _named(self, network: Architecture) -> Iterator[tuple[str, Slot, torch.Size]]:
        for part in parts(network, self.in_channels, self.num_classes):
            yield from part.named()


def extracted(
    weights: Mapping[str, Tensor] | nn.ParameterDict,
    candidate: Architecture,
    *,
    in_channels: int,
    num_classes: int,
    resolution: int,
) -> Backbone:
    """A network with a copy of its part of the weights of a supernet, by slot.

    Raises: SpaceError for a network that they do not hold.
    """
    with torch.random.fork_rng(devices=[]):
        model = build(candidate, in_channels=in_channels, num_classes=num_classes, resolution=resolution, init="torch")
    own = dict(model.named_parameters())
    with torch.no_grad():
        for part in parts(candidate, in_channels, num_classes):
            for name, tensor in taken(weights, part).items():
                own[f"{part.path}.{name}"].copy_(tensor)
    return model


def taken(weights: Mapping[str, Tensor] | nn.ParameterDict, part: Part) -> Mapping[str, Tensor]:
    """What a part of a network takes of the weights of a supernet, by the names of its parameters.

    Raises: SpaceError for more than there is.
    """
    found = {}
    for name, slot, shape in part.named():
        shared = weights.get(slot.key)
        if shared is None or any(mine > whole for mine, whole in zip(shape, shared.shape, strict=True)):
            have = "none" if shared is None else f"some of {_text(shared.shape)}"
            raise SpaceError(f"not a network of this supernet: {name} is {_text(shape)}, and there are {have}")
        found[name.removeprefix(f"{part.path}.")] = part_of(shared, shape, slot.fused)
    return found


def _held(candidate: Any, resolution: int) -> Architecture:
    if candidate.resolution != resolution:
        raise SpaceError(
            f"a supernet holds networks for images of one size: {resolution} px are wanted, and the space has networks "
            f"for {candidate.resolution}"
        )
    network: Architecture = candidate
    return network


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _spread(given: Tensor, shape: torch.Size) -> Tensor:
    """Values like those of `given` in another shape: the same number, or normal with the same mean and deviation."""
    flat = given.float().flatten()
    if len(flat) < 2 or flat.std() == 0:
        return torch.full(shape, float(flat[0]))
    return torch.normal(float(flat.mean()), float(flat.std()), shape)
