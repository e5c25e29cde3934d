"""Which checkpoints stay: those of running trials, of the front and of the best few; the rest is deleted.

What another trial is about to begin with is deleted once that has begun.
While no trial keeps the limits, those that are least over them are the best.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from nas.objectives import Limit, Objective, covers
from nas.ranking import violation
from nas.trial import Source, State, Trial

BEST = 5


class Keeper:
    """Takes trials as they end and deletes the checkpoint directories that nobody will ask for.

    Each trial costs time in the size of the front, not in the number of trials.
    """

    def __init__(
        self,
        root: Path,
        objectives: Sequence[Objective],
        limits: Sequence[Limit] = (),
        *,
        needed: Callable[[], Collection[int]] = tuple,
    ) -> None:
        """`root` holds one directory a trial, called by its number; those that are `needed` now wait for `sweep`."""
        self._root, self._objectives, self._limits = root, tuple(objectives), tuple(limits)
        self._best: list[tuple[list[float], int]] = []  # the first number is how far over the limits it is
        self._front: dict[int, list[float]] = {}
        self._needed, self._spared = needed, set[int]()

    def take(self, trial: Trial) -> None:
        """A trial that has ended."""
        if trial.state is not State.COMPLETE:
            self._delete(trial.number)
            return
        if trial.source is not Source.TRAINED:
            return  # its weights are another study's, or nobody's
        losses = [objective.loss(trial.metrics) for objective in self._objectives]
        over = violation(trial, self._limits)
        before = {number for _, number in self._best} | self._front.keys() | {trial.number}
        self._best = sorted([*self._best, ([over, *losses], trial.number)])[:BEST]
        if self._best[0][0][0] == 0:
            self._best = [(each, number) for each, number in self._best if each[0] == 0]
        row = (losses, trial.number)
        if over == 0 and not any(_covers((other, number), row) for number, other in self._front.items()):
            stays = {number: other for number, other in self._front.items() if not _covers(row, (other, number))}
            self._front = {**stays, trial.number: losses}
        for number in before - {number for _, number in self._best} - self._front.keys():
            self._delete(number)

    def sweep(self) -> None:
        """Delete what was needed when its time had come, and is no more."""
        if self._spared:
            for number in self._spared - set(self._needed()):
                self._delete(number)

    def _delete(self, number: int) -> None:
        if number in self._needed():
            self._spared.add(number)
            return
        self._spared.discard(number)
        shutil.rmtree(self._root / str(number), ignore_errors=True)


def _covers(ours: tuple[list[float], int], theirs: tuple[list[float], int]) -> bool:
    """Nowhere worse; of equal ones the first trial covers the others, as in `nas.objectives.front`."""
    return covers(ours[0], theirs[0]) and (ours[0] != theirs[0] or ours[1] < theirs[1])
