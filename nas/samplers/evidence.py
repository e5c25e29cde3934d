"""What a model learns from: results, beginnings of trainings, and how far over limits candidates were."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import theilslopes

from nas.samplers.base import Outcome
from nas.samplers.candidates import Candidate
from nas.samplers.features import Array
from nas.samplers.model import MOST, Data, winsorised

PAIRS = 5  # trainings known at some share and at the end, before beginnings of that share are believed
BEGUN = 60  # beginnings in the model, the latest; and as many ends with a beginning of the same share
LARGE = 1e100  # of a loss or an excess, whose square is still a number; what is beyond counts as this

Row = Callable[[Candidate], Array]


class Evidence:
    """Losses (to be small) and excesses by candidate.

    Attributes:
        results: candidates trained to the end with their losses (k,), oldest first.
        feasible: of each, whether it keeps the limits on what is measured.
    """

    def __init__(self, signs: Array) -> None:
        self.results: list[tuple[Candidate, Array]] = []
        self.feasible: list[bool] = []
        self._signs = signs
        self._early: list[dict[float, Array]] = []  # of each result
        self._begun: dict[int, tuple[Candidate, float, Array]] = {}
        self._over: list[list[tuple[Candidate, float]]] = []

    def see(self, handle: int, candidate: Candidate, outcome: Outcome) -> None:
        """How far a running training has come, or where it was stopped."""
        losses = self._losses(outcome.values)
        if np.isfinite(losses).all():
            self._begun[handle] = candidate, outcome.fidelity, losses

    def end(self, handle: int, candidate: Candidate, outcome: Outcome | None) -> None:
        """What came of a training; what was stopped early stays as a beginning."""
        if outcome is not None and outcome.fidelity < 1:
            self.see(handle, candidate, outcome)
            return
        self._begun.pop(handle, None)
        if outcome is None or not all(map(math.isfinite, outcome.values)):
            return
        self.results.append((candidate, self._losses(outcome.values)))
        self.feasible.append(all(excess <= 0 for excess in outcome.excesses))
        on_the_way = ((share, self._losses(values)) for share, values in outcome.earlier.items())
        self._early.append({share: losses for share, losses in on_the_way if np.isfinite(losses).all()})
        self.measured(candidate, outcome.excesses)

    def measured(self, candidate: Candidate, excesses: Sequence[float]) -> None:
        """How far over the limits on what is measured a candidate is, trained or not."""
        while len(self._over) < len(excesses):
            self._over.append([])
        for known, excess in zip(self._over, excesses, strict=False):
            if math.isfinite(excess):
                known.append((candidate, min(max(excess, -LARGE), LARGE)))

    @property
    def limits(self) -> list[int]:
        """Indices of the limits that something was over: one that all keep teaches nothing."""
        return [index for index, known in enumerate(self._over) if any(excess > 0 for _, excess in known)]

    def losses(self, *, within: bool = False) -> Array:
        """(n, k) of the results, or of those `within` the limits."""
        pairs = zip(self.results, self.feasible, strict=True)
        return np.array([losses for (_, losses), keeps in pairs if keeps or not within]).reshape(-1, len(self._signs))

    def objective(self, column: int, row: Row) -> Data:
        """Results, and beginnings brought to the scale of results."""
        rows = [row(candidate) for candidate, _ in self.results]
        losses = winsorised(self.losses()[:, column])
        begun, expected = self._beginnings(column, row)
        return Data(np.array(rows + begun), np.concatenate([losses, expected]))

    def excess(self, index: int, row: Row) -> Data:
        """Of a limit, no further over it than twice as far as most are within it or over it."""
        known = self._over[index]
        if len(known) > MOST:  # the nearest tell where the limit runs
            known = sorted(known, key=lambda pair: abs(pair[1]))[:MOST]
        excesses = np.array([excess for _, excess in known])
        far = 2 * float(np.median(np.abs(excesses))) or float(np.abs(excesses).max())
        return Data(np.array([row(candidate) for candidate, _ in known]), np.clip(excesses, -far, far))

    def _losses(self, values: Sequence[float]) -> Array:
        losses = self._signs * np.array(values, dtype=float)
        return np.asarray(np.where(np.isfinite(losses), np.clip(losses, -LARGE, LARGE), losses))

    def _beginnings(self, column: int, row: Row) -> tuple[list[Array], list[float]]:
        """A share of the budget is believed when trainings that went on from there tell what it is worth."""
        rows: list[Array] = []
        losses: list[float] = []
        latest = list(self._begun.values())[-BEGUN:]
        for share in sorted({share for _, share, _ in latest}):
            ends = [
                (candidate, early[share][column], final[column])
                for (candidate, final), early in zip(self.results, self._early, strict=True)
                if share in early
            ][-BEGUN:]
            if len(ends) < PAIRS or len({early for _, early, _ in ends}) == 1:
                continue
            slope, start, *_ = theilslopes([final for *_, final in ends], [early for _, early, _ in ends])
            if not (math.isfinite(slope) and slope > 0):
                continue
            here = [(candidate, losses_[column]) for candidate, other, losses_ in latest if other == share]
            for candidate, loss in [*here, *((candidate, early) for candidate, early, _ in ends)]:
                partial = row(candidate).copy()
                partial[-1] = share
                rows.append(partial)
                losses.append(float(start + slope * loss))
        return rows, losses
