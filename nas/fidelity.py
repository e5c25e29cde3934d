"""Rungs: who trains on. Successive halving by promotion, asynchronous, for one objective or several.

A trial trains to a rung, is set aside, and goes on when it is among the best of the trials that reached that rung. This
is ASHA in its promoting form (Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020), in several
brackets as in Hyperband (Li et al., JMLR 2018); of several objectives the non-dominated rank counts and then what one
adds to the hypervolume of those that went on already (in the place of the spread in MO-ASHA, Schmucker et al. 2021).
Nothing here knows who runs the trials.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

from nas.errors import InputError
from nas.hypervolume import MARGIN, hypervolume, scaled
from nas.objectives import nondominated_ranks

GOLDEN = (math.sqrt(5) - 1) / 2


@dataclasses.dataclass(frozen=True)
class Rungs:
    """Budgets from the smallest to the full one.

    Attributes:
        smallest, full: epochs of the first rung and of the last.
        factor: of the trials of a rung one in so many goes on; about the ratio of one rung's epochs to the last one's.
        brackets: how many ladders there are: the first begins at the first rung, the second at the second, ...
        share: of the training images, at the first rung. scale: side of the images there, relative to the full one.
            Both rise from rung to rung by a constant ratio, to 1 at the full budget.
    """

    smallest: int
    full: int
    factor: int = 3
    brackets: int = 1
    share: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Raises: InputError."""
        if not 1 <= self.smallest <= self.full:
            raise InputError(f"epochs {self.smallest}:{self.full}: 1 <= MIN <= MAX must hold")
        if self.factor < 2:
            raise InputError(f"factor {self.factor}: at least 2 is needed (one in so many goes on)")
        if not 1 <= self.brackets <= len(self.levels):
            rungs = ", ".join(map(str, self.levels))
            raise InputError(
                f"brackets {self.brackets}: 1 to {len(self.levels)} are possible with rungs at {rungs} epochs"
            )
        for what, first in (("rung subset", self.share), ("rung scale", self.scale)):
            if not 0 < first <= 1:
                raise InputError(f"{what} {first:g}: a share of the full one, above 0 and up to 1, is possible")
            if first < 1 and len(self.levels) == 1:
                raise InputError(f"{what} {first:g}: there are no rungs to rise on; epochs MIN:MAX make some")

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Epochs of the rungs, evenly spaced in their logarithm: 1, 3, 9 for 1:9 by 3; for 9:9 one alone."""
        ratio = self.full / self.smallest
        steps = max(1, round(math.log(ratio, self.factor))) if ratio > 1 else 0
        found = {round(self.smallest * ratio ** (step / max(1, steps))) for step in range(steps + 1)}
        return tuple(sorted({*found, self.full}))

    @property
    def held(self) -> int:
        """Epochs of the last rung but one, 1 where there is none: so long no training may know of its end."""
        return self.levels[-2] if len(self.levels) > 1 else 1

    def share_at(self, level: int) -> float:
        """Of the training images, on the way to a rung."""
        return self._rising(self.share, level)

    def scale_at(self, level: int) -> float:
        """Side of the images relative to the full one, on the way to a rung."""
        return self._rising(self.scale, level)

    def _rising(self, first: float, level: int) -> float:
        return first ** (1 - self.levels.index(level) / max(1, len(self.levels) - 1)) if first < 1 else 1.0

    def bracket(self, number: int) -> int:
        """Which ladder a trial climbs: a function of its number, in the shares of Hyperband."""
        place = (0.5 + number * GOLDEN) % 1.0
        return min(bisect.bisect_right(self._shares, place), self.brackets - 1)

    @cached_property
    def _shares(self) -> list[float]:
        """Cumulated; so that each ladder spends about as many epochs."""
        rungs = len(self.levels)
        weights = [self.factor ** (rungs - 1 - index) / (rungs - index) for index in range(self.brackets)]
        return [share / sum(weights) for share in itertools.accumulate(weights)]

    def epochs(self, trials: int) -> float:
        """About how many epochs so many trials train for in all; at least one of each rung goes on."""
        total, before = 0.0, 0.0
        for index, upto in enumerate(self._shares):
            there, last = trials * (upto - before), 0
            for level in self.levels[index:]:
                total += there * (level - last)
                there, last = max(min(1.0, there), there / self.factor), level
            before = upto
        return total

    def first(self, number: int) -> int:
        """The first rung of a trial, in epochs."""
        return self.levels[self.bracket(number)]

    def before(self, number: int, level: int) -> int:
        """The rung from which a trial comes to another, in epochs; 0 for its first."""
        below = [each for each in self.levels[self.bracket(number) :] if each < level]
        return below[-1] if below else 0

    def after(self, level: int) -> int:
        """The rung above. Raises: ValueError for the last."""
        if level >= self.full:
            raise ValueError(f"{level} epochs are the full budget")
        return next(each for each in self.levels if each > level)


@dataclasses.dataclass(frozen=True, order=True)
class Standing:
    """How a trial did at a rung: how far over the limits, its losses (to be small), and its number."""

    excess: float
    losses: tuple[float, ...]
    number: int


class Ladder:
    """Where the trials of a study stand, and who goes on."""

    def __init__(self, rungs: Rungs) -> None:
        self.rungs = rungs
        self._standings: dict[tuple[int, int], list[Standing]] = {}  # sorted, by bracket and rung
        self._grouped: dict[tuple[int, int], list[list[Standing]]] = {}  # of several objectives; until one more stands
        self._towards: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        self._stood: dict[tuple[int, int], Standing] = {}  # by number and rung
        self._idle: dict[tuple[int, int], list[Standing]] = {}  # of those that wait; sorted, by bracket and rung

    @property
    def waiting(self) -> Mapping[int, int]:
        """Trials that are set aside: number to the rung that they reached."""
        return self._waiting

    @property
    def climbing(self) -> Mapping[int, int]:
        """Trials that train, or will again: number to the rung that they train to."""
        return self._towards

    @property
    def leader(self) -> tuple[int, int] | None:
        """The best of the highest rung that somebody has reached: epochs and number; the full budget is none."""
        for level in reversed(self.rungs.levels[:-1]):
            rows = [self._standings.get((bracket, level), ()) for bracket in range(self.rungs.brackets)]
            if best := min((row[0] for row in rows if row), default=None):
                return level, best.number
        return None

    def enter(self, number: int, level: int) -> None:
        """A trial trains towards a rung."""
        self._stir(number)
        self._towards[number] = level

    def reach(self, number: int, level: int, excess: float, losses: Sequence[float]) -> None:
        """A trial has trained to a rung and is set aside."""
        self.stand(number, level, excess, losses)
        self.wait(number, level)

    def wait(self, number: int, level: int) -> None:
        """A trial is set aside at a rung where it stands already."""
        self._towards.pop(number, None)
        self._stir(number)
        self._waiting[number] = level
        if (standing := self._stood.get((number, level))) is not None:
            bisect.insort(self._idle.setdefault((self.rungs.bracket(number), level), []), standing)

    def _stir(self, number: int) -> None:
        """It waits no more."""
        level = self._waiting.pop(number, None)
        if level is not None and (standing := self._stood.get((number, level))) is not None:
            idle = self._idle[self.rungs.bracket(number), level]
            del idle[bisect.bisect_left(idle, standing)]

    def stand(self, number: int, level: int, excess: float, losses: Sequence[float]) -> None:
        """What a trial came to at a rung, wherever it is now; said once."""
        row = self._standings.setdefault((self.rungs.bracket(number), level), [])
        standing = self._stood[number, level] = Standing(excess, tuple(losses), number)
        bisect.insort(row, standing)
        self._grouped.pop((self.rungs.bracket(number), level), None)

    def leave(self, number: int, *, failed: bool = False) -> None:
        """A trial has ended; one that failed leaves its place at the rungs to the next."""
        self._towards.pop(number, None)
        self._stir(number)
        for level in self.rungs.levels if failed else ():
            standing = self._stood.pop((number, level), None)
            if standing is not None:
                row = self._standings[self.rungs.bracket(number), level]
                del row[bisect.bisect_left(row, standing)]
                self._grouped.pop((self.rungs.bracket(number), level), None)

    def promotable(self, *, closing: bool) -> int | None:
        """The number of a trial that goes on now, of the highest rung that has one.

        Of the trials that have reached a rung, one in `factor` goes on, as soon as there are enough. `closing`: no new
        trials will come; then at least one of each rung goes on once nobody else can reach it, and of several
        objectives its front.
        """
        if not self._waiting:
            return None
        for level in reversed(self.rungs.levels[:-1]):
            for bracket in range(self.rungs.brackets):
                found = self._pick(bracket, level, len(self._standings.get((bracket, level), ())) // self.rungs.factor)
                if found is not None:
                    return found
        return self._last(closing=closing)

    def _last(self, *, closing: bool) -> int | None:
        for bracket in range(self.rungs.brackets if closing else 0):
            climbing = [level for number, level in self._towards.items() if self.rungs.bracket(number) == bracket]
            for level in self.rungs.levels[bracket:-1]:
                if any(target <= level for target in climbing):
                    break
                if (found := self._pick(bracket, level, self._at_the_end(bracket, level))) is not None:
                    return found
        return None

    def _at_the_end(self, bracket: int, level: int) -> int:
        """How many of a rung go on in all once nobody else can reach it.

        Of several objectives the answer is a front, and one in `factor` is often less than that: then the whole front
        of the rung does, up to twice as many as otherwise.
        """
        row = self._standings.get((bracket, level), [])
        if not row or len(row[0].losses) == 1:
            return 1
        return max(1, min(len(self._groups(bracket, level)[0]), 2 * len(row) // self.rungs.factor))

    def hopeless(self, coming: int) -> list[int]:
        """Trials set aside that cannot go on whatever `coming` more trials and those in training come to.

        The best of them stays in reserve: who goes on may fail.
        With several objectives none is ever said to be: a better trial may push others behind it too.
        """
        found: list[int] = []
        for bracket in range(self.rungs.brackets):
            here = (level for number, level in self._towards.items() if self.rungs.bracket(number) == bracket)
            climbing = Counter(here)
            most = coming
            for level in self.rungs.levels[bracket:-1]:
                most += climbing[level]
                row = self._standings.get((bracket, level), [])
                if row and len(row[0].losses) > 1:
                    return []
                quota = max(1, (len(row) + most) // self.rungs.factor) + 1
                idle = self._idle.get((bracket, level), [])
                ahead = bisect.bisect_left(idle, row[quota]) if quota < len(row) else len(idle)
                most += ahead  # all of them may go on in turn
                found += [each.number for each in idle[ahead:]]
        return found

    def _pick(self, bracket: int, level: int, quota: int) -> int | None:
        """Of the best `quota` of a rung one that waits there."""
        row, idle = self._standings.get((bracket, level), []), self._idle.get((bracket, level))
        if not quota or not idle:
            return None
        if len(idle[0].losses) == 1:
            return idle[0].number if bisect.bisect_left(row, idle[0]) < quota else None
        for group in self._groups(bracket, level):
            here = [each for each in group if self._waiting.get(each.number) == level]
            if len(group) <= quota:
                quota -= len(group)
            else:
                gone = [each for each in group if each not in here]
                return None if len(gone) >= quota else _adding_most(here, gone, [one for one in row if one.excess <= 0])
            if here:
                return here[0].number
        return None

    def _groups(self, bracket: int, level: int) -> list[list[Standing]]:
        """Those within the limits by non-dominated rank, then the others by how far they are over them."""
        if (bracket, level) not in self._grouped:
            row = self._standings[bracket, level]
            inside = [each for each in row if each.excess <= 0]
            fronts: dict[int, list[Standing]] = {}
            for each, rank in zip(inside, nondominated_ranks([each.losses for each in inside]), strict=True):
                fronts.setdefault(rank, []).append(each)
            over = [[each] for each in row if each.excess > 0]
            self._grouped[bracket, level] = [*(fronts[rank] for rank in sorted(fronts)), *over]
        return self._grouped[bracket, level]


def _adding_most(here: Sequence[Standing], gone: Sequence[Standing], everybody: Sequence[Standing]) -> int:
    """Of `here` the one that adds most hypervolume to `gone`, each objective in units of its range over `everybody`.

    The first is so a good compromise, not the best by the first objective or the cheapest of all.
    """
    rows = [each.losses for each in everybody]
    before, reference = scaled([each.losses for each in gone], rows), [1 + MARGIN] * len(here[0].losses)
    gains = [hypervolume([*before, point], reference) for point in scaled([each.losses for each in here], rows)]
    return max(zip(here, gains, strict=True), key=lambda pair: (pair[1], -pair[0].number))[0].number
