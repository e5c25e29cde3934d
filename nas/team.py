"""Processes that train one network together: each takes its part of every batch. torch's process group joins them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclasses.dataclass(frozen=True)
class Team:
    """Who this process is among those that train together; alone without arguments.

    With a `size` above 1 the default process group must be there.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints and reports."""
        return self.rank == 0

    def part(self, whole: Tensor) -> Tensor:
        """Its part of a batch; parts differ by one at most."""
        return whole if self.size == 1 else whole.tensor_split(self.size)[self.rank]

    def joined(self, model: nn.Module) -> nn.Module:
        """The model to train with: its gradients are the mean over the team's."""
        return model if self.size == 1 else DistributedDataParallel(model)

    def total(self, part: Tensor) -> Tensor:
        """The sum over the team, for all of it."""
        if self.size > 1:
            part = part.clone()
            dist.all_reduce(part)
        return part

    def wait(self, device: torch.device | str) -> None:
        """Until all of the team are here."""
        self.total(torch.zeros(1, device=device))

    def agree(self, number: int, device: torch.device) -> bool:
        """Whether all of the team have the same whole number."""
        mine = torch.tensor([number, number**2], dtype=torch.float64, device=device)
        first, second = self.total(mine).tolist()
        return bool(first * first == second * self.size)

    def align(self, module: nn.Module) -> None:
        """Give all the leader's buffers: running statistics differ, since each has seen its own parts."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    @contextmanager
    def apart(self, device: torch.device, step: int) -> Iterator[None]:
        """Inside, random draws are of this process and step; the shared generator is as before afterwards."""
        if self.size == 1:
            yield
            return
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed((cast("int", torch.randint(2**62, ()).item()) + self.rank + step * self.size) % 2**63)
            yield


ALONE = Team()
