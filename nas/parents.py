"""Whose weights a new candidate begins with: those of the nearest one that was trained and is still kept."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from nas.space import Genome, Space
from nas.template import Scalar
from nas.trial import Trial

Standing = tuple[float, tuple[float, ...]]
"""How far a trial is over the limits, and its losses: small is good."""


@dataclasses.dataclass(frozen=True)
class _Parent:
    params: Mapping[str, Scalar]
    rank: tuple[int, Standing, int]
    folder: str


class Parents:
    """The trials of a study whose weights others may begin with.

    How far apart two candidates are is the number of genes that differ, of those that are active in either: 1 between a
    mutant and its parent, where the mutated gene wakes no others. Of several as near the one that trained longest is
    taken, then the best, then the first.
    """

    def __init__(self, space: Space, *, wanted: bool) -> None:
        """Unless it is `wanted` there never is a parent."""
        self._space, self._wanted = space, wanted
        self._known: dict[int, _Parent] = {}

    def take(self, trial: Trial, standing: Standing) -> None:
        """A trial that has come to the end of its budget, or of that of a rung."""
        if self._wanted:
            rank = -trial.budget.stop, standing, trial.number
            self._known[trial.number] = _Parent(self._space.params(trial.genome), rank, trial.budget.checkpoint)

    def forget(self, number: int) -> None:
        """A trial that failed, whatever it had reached before."""
        self._known.pop(number, None)

    def nearest(self, genome: Genome) -> int | None:
        """The number of the trial to begin with; None where no checkpoint is left."""
        if not self._known:
            return None
        params = self._space.params(genome)
        order = sorted((differing(params, each.params), each.rank) for each in self._known.values())
        for _, (*_, number) in order:
            if _kept(self._known[number].folder):
                return number
            self.forget(number)  # nobody brings it back
        return None


def differing(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> int:
    """In how many active genes two candidates differ, a gene that only one of them has included."""
    return len({path for path, _ in one.items() ^ other.items()})


def _kept(folder: str) -> bool:
    """Whether a checkpoint directory holds anything."""
    try:
        with os.scandir(folder) as found:
            return any(found)
    except OSError:
        return False
