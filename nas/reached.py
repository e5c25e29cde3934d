"""Which rungs the trials of a study reached, and how many epochs that took."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nas.fidelity import Rungs
from nas.trial import Source, State, Trial


@dataclasses.dataclass(frozen=True)
class AtRung:
    """A rung: its epochs, how many trials reached it, and of those how many wait there or were pruned there."""

    epochs: int
    reached: int
    paused: int
    pruned: int


def by_rung(trials: Sequence[Trial], rungs: Rungs) -> list[AtRung]:
    """The rungs with the trials that reached them; a trial counts at each rung of its ladder up to where it came."""
    own = [trial for trial in trials if trial.source is Source.TRAINED]
    found = []
    for level in rungs.levels:
        there = [trial for trial in own if rungs.first(trial.number) <= level <= done(trial)]
        last = [trial.state for trial in there if trial.budget.stop == level or done(trial) == level]
        found.append(AtRung(level, len(there), last.count(State.PAUSED), last.count(State.PRUNED)))
    return found


def done(trial: Trial) -> int:
    """Epochs that a trial has come through; whatever its evaluation calls a step, no more than its budget."""
    return min(trial.epochs, trial.budget.stop)


def epochs(trials: Sequence[Trial], rungs: Rungs) -> tuple[int, int]:
    """Epochs of the study's own trials, and what they would be with all of those trained fully."""
    own = [trial for trial in trials if trial.source is Source.TRAINED]
    return sum(done(trial) for trial in own), len(own) * rungs.full
