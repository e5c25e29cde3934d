"""How a study got where it is: the best value, or the hypervolume of the front, training by training."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property

from nas.hypervolume import MARGIN, hypervolume
from nas.objectives import Limit, Objective, covers, front
from nas.ranking import violation
from nas.trial import Source, State, Trial

FIRST = 10  # complete trials that set the scale of the hypervolume
WINDOWS = (10, 5)  # trainings looked back over

Scale = Sequence[tuple[float, float]]
"""For each objective the loss at the reference point, and the range that counts as 1."""


@dataclasses.dataclass(frozen=True)
class Newest:
    """The trial that moved the best, or the front, last; `ago` trainings have ended since."""

    trial: Trial
    ago: int


class History:
    """The trials of a study in the order in which they ended.

    A training is a trial that ended, however it did; those reused from other studies are none, but what they found
    counts. With one objective the value of a study is its best metric. With several it is the hypervolume of its front
    in units of its own beginning: of the first ten complete trials, the reference point is a tenth of their range worse
    than the worst in each objective, and the range from the best to the worst is 1. A study that grows keeps the
    numbers it had, once ten are complete. What lies beyond the reference point adds nothing.
    """

    def __init__(
        self,
        finished: Sequence[Trial],
        objectives: Sequence[Objective],
        scale: Scale | None = None,
        *,
        limits: Sequence[Limit] = (),
    ) -> None:
        """`finished`: trials that ended, in that order. `scale`: of another history, to be compared with.

        A trial over one of the `limits`, or without its metric, is a training that found nothing.
        """
        self.objectives = tuple(objectives)
        self._losses: list[tuple[float, ...]] = []
        self._trials: list[Trial] = []
        self._seen = [0]  # complete trials after so many trainings
        self._after: list[int] = []  # trainings that had ended with each complete trial
        self._values: dict[int, float] = {}  # after so many moves of the best, or the front, once asked for
        for trial in finished:
            if trial.source is not Source.REUSED:
                self._seen.append(self._seen[-1])
            if trial.state is State.COMPLETE and violation(trial, limits) == 0:
                self._losses.append(tuple(objective.loss(trial.metrics) for objective in self.objectives))
                self._trials.append(trial)
                self._after.append(self.trainings)
                self._seen[-1] += 1
        self.scale = scale if scale is not None else scale_of([self])

    @property
    def trainings(self) -> int:
        """How many have ended."""
        return len(self._seen) - 1

    @property
    def measure(self) -> str:
        """What its value is: the name of the one objective, or "hypervolume"."""
        return self.objectives[0].name if len(self.objectives) == 1 else "hypervolume"

    @property
    def beginning(self) -> list[tuple[float, ...]]:
        """The losses of the first complete trials."""
        return self._losses[:FIRST]

    def value(self, trainings: int | None = None) -> float | None:
        """After so many trainings (None: now); None where nothing was complete. Large is good for a hypervolume."""
        complete = self._seen[self.trainings if trainings is None else trainings]
        moves = bisect.bisect_right(self._moves, complete, key=lambda move: move[0])
        if moves and moves not in self._values:
            self._values[moves] = self._value(self._moves[moves - 1][1])
        return self._values.get(moves)

    def _value(self, losses: Sequence[tuple[float, ...]]) -> float:
        """Of a best, or a front."""
        if len(self.objectives) == 1:
            best = losses[0][0]
            return -best if self.objectives[0].maximize else best
        points = [[(x - at) / unit for x, (at, unit) in zip(row, self.scale, strict=True)] for row in losses]
        return hypervolume(points, [0.0] * len(self.objectives))

    @property
    def curve(self) -> list[float | None]:
        """The value after each training, from the first."""
        return [self.value(count) for count in range(1, self.trainings + 1)]

    @cached_property
    def _moves(self) -> list[tuple[int, list[tuple[float, ...]]]]:
        """Each time that the best, or the front, moved: after how many complete trials, and the losses on it then."""
        moves: list[tuple[int, list[tuple[float, ...]]]] = []
        kept: list[tuple[float, ...]] = []
        for count, row in enumerate(self._losses, start=1):
            if not any(covers(other, row) for other in kept):
                kept = [*(other for other in kept if not covers(row, other)), row]
                moves.append((count, kept))
        return moves

    @property
    def steps(self) -> list[tuple[int, float, Trial]]:
        """Where the value rose (or fell, if that is better): trainings that had ended, the value, and the trial."""
        found: list[tuple[int, float, Trial]] = []
        for count, kept in self._moves:
            value = self._value(kept)
            if not found or value != found[-1][1]:
                found.append((self._after[count - 1], value, self._trials[count - 1]))
        return found

    def reached(self, value: float) -> int | None:
        """After how many trainings the value was this good or better; None for not yet."""
        sign = -1.0 if len(self.objectives) == 1 and not self.objectives[0].maximize else 1.0

        def there(count: int) -> bool:
            found = self.value(count)
            return found is not None and sign * found >= sign * value

        count = bisect.bisect_left(range(self.trainings + 1), x=True, key=there)
        return count if count <= self.trainings else None

    def gained(self, window: int) -> float | None:
        """The change of the value over the last so many trainings; None where it had no value then, or fewer ended."""
        now = self.value()
        before = self.value(self.trainings - window) if window <= self.trainings else None
        return None if now is None or before is None else now - before

    @property
    def front(self) -> int:
        """How many networks are on it; of equal ones the first counts."""
        return len(front(self._losses))

    @property
    def newest(self) -> Newest | None:
        """The last trial that was better than all before it (one objective), or that none before it covers."""
        if not self._moves:
            return None
        index = self._moves[-1][0] - 1
        return Newest(self._trials[index], self.trainings - self._after[index])


def scale_of(histories: Sequence[History]) -> Scale:
    """The scale that the beginnings of several studies set together; of a range of nothing, 1 is the unit."""
    rows = [row for history in histories for row in history.beginning]
    scale = []
    for values in zip(*rows, strict=True):
        span = (max(values) - min(values)) or 1.0
        scale.append((max(values) + MARGIN * span, span))
    return scale


def moved(history: History) -> Mapping[str, object]:
    """How far a study moved lately, as JSON types."""
    newest = history.newest
    return {
        "trainings": history.trainings,
        "front": history.front,
        "measure": history.measure,
        "value": history.value(),
        "gained": {str(window): history.gained(window) for window in WINDOWS},
        "newest": None if newest is None else {"trial": newest.trial.number, "ago": newest.ago},
    }
