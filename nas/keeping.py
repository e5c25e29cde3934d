"""Which checkpoints stay: those of running trials, of the front and of the best few; the rest is deleted."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from nas.objectives import Objective
from nas.study import pareto, ranked
from nas.trial import State, Trial

BEST = 5


def keep_best(root: Path, trials: Sequence[Trial], objectives: Sequence[Objective]) -> None:
    """Delete the checkpoint directories below `root` that nobody will ask for."""
    kept = {trial.number for trial in (*ranked(trials, objectives)[:BEST], *pareto(trials, objectives))}
    for trial in trials:
        if trial.state is not State.RUNNING and trial.number not in kept:
            shutil.rmtree(root / str(trial.number), ignore_errors=True)
