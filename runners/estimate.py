"""How long a search takes on this machine: an estimate from a few timed steps, before anything is trained."""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.config import SearchConfig
from nas.feasible import Priced, Pricing
from nas.supernet import BY_SUPERNET
from nas.supernet.shrinking import class_schedule
from runners.job_setup import Setup, Training

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.pace import Pace
    from nas.supernet.making import Making

SHORT = 90  # seconds that are not told in minutes
TIMED = 3  # feasible networks whose training is timed


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Seconds.

    Attributes:
        trial: of one on one worker: its training, or its judging by a supernet. search: of all.
        workers: trials at a time.
        supernet: of its training, 0 where it is there; None for a search without one.
        training: of each network that is trained after it. trained: how many these are.
    """

    trial: float
    search: float
    workers: int
    supernet: float | None = None
    training: float | None = None
    trained: int = 0

    def as_dict(self) -> dict[str, float]:
        """By name, as `--json` says it."""
        told = {f"{name}_seconds": getattr(self, name) for name in ("trial", "search", "supernet", "training")}
        return {name: value for name, value in told.items() if value is not None} | {"workers": self.workers}

    def line(self, config: SearchConfig) -> str:
        """In words."""
        measured = f"median of {TIMED} networks within the limits"
        if self.supernet is None or self.training is None:
            climbing = " by rungs" if len(config.rungs.levels) > 1 else ""
            return (
                f"a trial of {config.epoch_range[1]} epochs: about {self.trial:.0f} s on one worker here ({measured}); "
                f"{config.trials} trials{climbing} on {self.workers} workers: about {_long(self.search)}"
            )
        first = f"the supernet about {_long(self.supernet)}" if self.supernet else "the supernet is there"
        return (
            f"{first}, a trial judged by it {self.trial:.2g} s, {self.trained} networks trained for "
            f"{config.epoch_range[1]} epochs after it {self.training:.0f} s each on one worker here ({measured}); "
            f"{config.trials} trials on {self.workers} workers: about {_long(self.search)} in all"
        )


def _long(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < SHORT else f"{seconds / 60:.0f} min"


def estimated(setup: Setup, training: Training, pricing: Pricing, instead: Priced) -> Estimate:
    """For the search as it is configured; `instead` is timed where drawing finds nothing within the limits.

    Raises: InputError for a supernet that this search would refuse.
    """
    import torch

    from runners.local import cores
    from runners.oneshot import judge_images, making_of, read_supernet

    config = setup.config
    if config.supernet is not None:
        read_supernet(setup, training)
    workers = config.workers or cores()
    rng = random.Random(config.seed)
    drawn = [(pricing.draw(rng) or instead).candidate for _ in range(TIMED)]
    torch.set_num_threads(max(1, cores() // workers))  # as a worker has them
    pace = _typical(drawn, training)
    trained = pace.epoch * training.recipe.epochs
    if config.weights != BY_SUPERNET:
        share = config.rungs.epochs(config.trials) / training.recipe.epochs
        return Estimate(trained, trained * share / workers, workers)

    judging, supernet = _judging(pace, training, judge_images(config, training)), 0.0
    if config.supernet is None:
        torch.set_num_threads(cores())  # it is trained before there are workers
        supernet = _making(making_of(setup, training), training, drawn) / config.supernet_workers
    count = min(config.trials, config.retrain + config.spread)
    trained *= (config.retrain_epochs or training.recipe.epochs) / training.recipe.epochs
    search = supernet + (config.trials * judging + count * trained) / workers
    return Estimate(judging, search, workers, supernet, trained, count)


def _typical(networks: Sequence[Architecture], training: Training) -> Pace:
    """The median of theirs."""
    import torch

    from nas.pace import pace

    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = [pace(each, training.data, training.recipe, device) for each in networks]
    return dataclasses.replace(found[0], step=statistics.median(each.step for each in found))


def _making(making: Making, training: Training, drawn: Sequence[Architecture]) -> float:
    """Seconds of making a supernet."""
    from nas.supernet.making import ends_of

    data, plan = training.data, making.plan
    pace = _typical(drawn, training)
    step = pace.step * plan.at_once
    if plan.sampling == "sandwich":
        step += sum(_typical([each], training).step - pace.step for each in ends_of(making.pricing))
    epochs, judged = float(plan.recipe.epochs), 0.0
    if (shrinking := making.shrinking) is not None:
        phases = class_schedule(range(len(data.classes)), shrinking.shares)
        shares = [len(classes) / len(data.classes) for classes in phases]
        epochs -= shrinking.epochs * sum(1 - share for share in shares)
        judged = shrinking.candidates * sum(shares)
    return step * pace.steps * epochs + _judging(pace, training) * judged


def _judging(pace: Pace, training: Training, images: int = 0) -> float:
    """Seconds of judging a network by inherited weights on so many images, 0: all; its statistics are taken anew."""
    from nas.supernet.judging import CALIBRATED_BY

    every = training.data.counts["validation"]
    return pace.measuring * ((images or every) + CALIBRATED_BY) / every
