"""How fast a network trains here: an estimate before anything is trained."""

from __future__ import annotations

import dataclasses
import itertools
import time

import torch

from nas.architecture import Architecture
from nas.data import ImageData
from nas.jobs import Budget
from nas.recipe import Recipe
from nas.training import Trainer

TIMED_STEPS = 3


@dataclasses.dataclass(frozen=True)
class Pace:
    """How fast a network trains on this machine, as it is loaded now.

    Attributes:
        step: seconds of a step of the optimizer. steps: of an epoch.
        forward: how many steps take as long as a look at the validation images.
    """

    step: float
    steps: float
    forward: float

    @property
    def training(self) -> float:
        """Seconds of the steps of an epoch."""
        return self.step * self.steps

    @property
    def measuring(self) -> float:
        """Seconds of a look at the validation images."""
        return self.step * self.forward

    @property
    def epoch(self) -> float:
        """Seconds of an epoch of training and validation."""
        return self.training + self.measuring


def pace(candidate: Architecture, data: ImageData, recipe: Recipe, device: str) -> Pace:
    """An estimate from a few timed steps."""
    trainer = Trainer(candidate, data, recipe, Budget(0, recipe.epochs, 0, device, ""))
    batches = itertools.cycle(itertools.islice(trainer.images.shuffled(trainer.batch), 1 + TIMED_STEPS))
    timed = 0.0
    for step in range(1 + TIMED_STEPS):
        started = time.monotonic()
        trainer.step(*next(batches), recipe.lr)
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        timed += time.monotonic() - started if step else 0.0
    forward = data.counts["validation"] / (3 * trainer.batch)  # a forward pass costs about a third of a training step
    return Pace(timed / TIMED_STEPS, len(trainer.images) / trainer.batch, forward)
