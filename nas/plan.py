"""What a study shall do, and the budget that follows for each of its trials."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nas.fidelity import Rungs
from nas.jobs import Budget


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study shall do.

    Attributes:
        trials: how many trials it shall have in all, those reused from other studies not counted.
        rungs: the budgets, of which a trial has one after the other. seed: of everything random.
        device: for the evaluations. checkpoints: directory that holds one directory a trial.
        inherit: whether a new trial begins with the weights of the nearest one that was trained.
    """

    trials: int
    rungs: Rungs = Rungs(1, 1)
    seed: int = 0
    device: str = "cpu"
    checkpoints: Path = Path("checkpoints")
    inherit: bool = False

    def budget(self, number: int, level: int | None = None) -> Budget:
        """Of a trial, from one rung to the next: the first unless another is named."""
        stop = level or self.rungs.first(number)
        start, folder = self.rungs.before(number, stop), self.checkpoints / str(number)
        shares = (self.rungs.share_at(stop), self.rungs.scale_at(stop))
        return Budget(start, stop, self.seed + number, self.device, str(folder), *shares)
