"""Full-length training of found networks: the evaluation, and what it came to beside what the search had said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas import checkpoint
from nas.architecture import Architecture
from nas.data import ImageData
from nas.errors import InputError, OutOfMemory
from nas.intervals import wilson
from nas.jobs import Budget, Report
from nas.objectives import Objective
from nas.recipe import Recipe
from nas.replicates import FIRST_SEED, Confirmed
from nas.shortage import out_of_memory
from nas.supernet.files import SupernetFile, weights_of
from nas.supernet.judging import calibrated
from nas.team import ALONE, Team
from nas.training import Trainer
from nas.trial import State, Trial

FEWEST = 3  # networks that a rank correlation is given for


@dataclasses.dataclass(frozen=True)
class FullTraining:
    """The evaluation of candidates of `replicated`: train to the budget, then measure the test images, once.

    Attributes:
        weights: of networks that are trained on, the folder of their checkpoint by digest.
        supernet: whose weights all networks begin with; None for others.
    """

    data: ImageData
    recipe: Recipe
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    supernet: SupernetFile | None = None

    def __call__(
        self, candidate: Mapping[str, Any], budget: Budget, report: Report, team: Team = ALONE
    ) -> dict[str, float]:
        """Metrics of the validation images by name as in the search, with `test_accuracy`, `test_loss` and `seed`.

        It goes on from the checkpoint that is there. Raises: Diverged, OutOfMemory, InputError.
        """
        network, seed = candidate["network"], FIRST_SEED + candidate["replicate"]
        budget = dataclasses.replace(budget, seed=seed)
        try:
            trainer = Trainer(
                network, self.data, self.recipe, budget, initial=self._initial(network, budget), team=team
            )
            metrics = trainer.run(report)
            test = trainer.measured("test")
        except (RuntimeError, MemoryError, OSError) as error:
            if reason := out_of_memory(error):
                raise OutOfMemory(reason) from error
            raise
        return {**metrics, "test_accuracy": test["accuracy"], "test_loss": test["loss"], "seed": float(seed)}

    def _initial(self, network: Architecture, budget: Budget) -> dict[str, Any] | None:
        """The weights to begin with; None from scratch, and where a checkpoint of this training goes before them."""
        if checkpoint.latest(Path(budget.checkpoint)) is not None:
            return None
        if self.supernet is not None:
            weights = weights_of(self.supernet.path, self.supernet.digest)
            return calibrated(weights, network, self.data).state_dict()
        folder = self.weights.get(network.digest)
        if folder is None:
            return None
        found = checkpoint.averaged(Path(folder))
        if found is None:
            raise InputError(f"no weights to begin with in {folder}: the checkpoint is gone")
        return found


@dataclasses.dataclass(frozen=True)
class Tested:
    """One training, by its share of right answers on the test images, with its 95 % interval (Wilson)."""

    replicate: int
    trial: Trial
    accuracy: float
    low: float
    high: float


def tested(trial: Trial, replicate: int, images: int) -> Tested:
    """Of a complete trial and the number of test images."""
    accuracy = trial.metrics["test_accuracy"]
    return Tested(replicate, trial, accuracy, *wilson(round(accuracy * images), images))


@dataclasses.dataclass(frozen=True)
class Ranks:
    """How far the order in the search is that after full training, over `count` networks; None for a constant."""

    count: int
    spearman: float | None
    kendall: float | None


def ranks(rows: Sequence[Confirmed], judge: Objective) -> Ranks | None:
    """By the value in the search and the mean after full training; None for fewer than `FEWEST` networks.

    Spearman's rho, and Kendall's tau-b.
    """
    known = [row for row in rows if row.intervals and judge.name in row.trial.metrics]
    known = [row for row in known if row.trial.state is State.COMPLETE]
    if len(known) < FEWEST:
        return None
    before = [judge.loss(row.trial.metrics) for row in known]
    after = [judge.loss({judge.name: row.intervals[judge.name].mean}) for row in known]
    if len(set(before)) == 1 or len(set(after)) == 1:
        return Ranks(len(known), None, None)
    from scipy import stats

    return Ranks(
        len(known),
        float(stats.spearmanr(before, after).statistic),
        float(stats.kendalltau(before, after).statistic),
    )
