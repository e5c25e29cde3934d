"""What a model learns from: results, beginnings of trainings, and how far over limits candidates were."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import theilslopes

from nas.samplers.base import Outcome
from nas.samplers.candidates import Candidate
from nas.samplers.features import Array
from nas.samplers.model import MOST, Data, winsorised

PAIRS = 5  # trainings known at some share and at the end, before beginnings of that share are believed
BEGUN = 100  # beginnings in the model, the latest; and as many ends with a beginning of the same share
ENOUGH = 10  # values at a share of the budget, before the model is one of that share
LARGE = 1e100  # of a loss or an excess, whose square is still a number; what is beyond counts as this

Row = Callable[[Candidate], Array]


@dataclasses.dataclass
class _Known:
    """Losses (k,) of a candidate by the share of the full budget; `keeps`: whether it keeps the limits in the end."""

    candidate: Candidate
    losses: dict[float, Array]
    keeps: bool = True


class Evidence:
    """Losses (to be small) and excesses by candidate.

    What is learnt from are values at one share of the full budget: at all of it once ENOUGH trainings came so far, and
    until then at the highest rung that ENOUGH have reached (as in Falkner et al., "BOHB", ICML 2018). Values at lower
    shares are brought to its scale.
    """

    def __init__(self, signs: Array) -> None:
        self._signs = signs
        self._known: dict[int, _Known] = {}
        self._rungs: set[float] = {1.0}
        self._share: float | None = 1.0  # None: to be found out again
        self._over: list[list[tuple[Candidate, float]]] = []

    def see(self, handle: int, candidate: Candidate, outcome: Outcome) -> None:
        """How far a training has come."""
        values = {**outcome.earlier, outcome.fidelity: outcome.values}
        found = {share: self._losses(values[share]) for share in sorted(values)}
        known = self._known.setdefault(handle, _Known(candidate, {}))
        known.losses.update({share: losses for share, losses in found.items() if np.isfinite(losses).all()})
        if not known.losses:
            del self._known[handle]
        elif outcome.settled and outcome.fidelity in known.losses:
            self._rungs.add(outcome.fidelity)
        self._share = None

    def end(self, handle: int, candidate: Candidate, outcome: Outcome | None) -> None:
        """What came of a training; what was stopped early stays as a beginning."""
        if outcome is None or (outcome.fidelity == 1 and not all(map(math.isfinite, outcome.values))):
            self._known.pop(handle, None)
            self._share = None
            return
        self.see(handle, candidate, outcome)
        if outcome.fidelity == 1:
            self._known[handle].keeps = all(excess <= 0 for excess in outcome.excesses)
            self.measured(candidate, outcome.excesses)

    @property
    def share(self) -> float:
        """Of the full budget: where the results are from."""
        if self._share is None:
            counts = Counter(share for known in self._known.values() for share in known.losses if share in self._rungs)
            self._share = max((share for share, count in counts.items() if count >= ENOUGH), default=1.0)
        return self._share

    @property
    def _results(self) -> list[_Known]:
        return [known for known in self._known.values() if self.share in known.losses]

    @property
    def results(self) -> list[tuple[Candidate, Array]]:
        """Candidates trained so far with their losses (k,), oldest first."""
        return [(known.candidate, known.losses[self.share]) for known in self._results]

    @property
    def feasible(self) -> list[bool]:
        """Of each result, whether it keeps the limits on what is measured, which shows at the end."""
        return [known.keeps for known in self._results]

    def open(self, running: Mapping[int, Candidate]) -> list[Candidate]:
        """Of candidates that are in training or set aside, by handle, those that are no results yet."""
        known = {handle for handle, known in self._known.items() if self.share in known.losses}
        return [candidate for handle, candidate in running.items() if handle not in known]

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
        results = self._results
        begun = [(known, max(known.losses)) for known in self._known.values() if self.share not in known.losses]
        latest = [(known, share) for known, share in begun if share < self.share][-BEGUN:]
        for share in sorted({share for _, share in latest}):
            ends = [
                (known.candidate, known.losses[share][column], known.losses[self.share][column])
                for known in results
                if share in known.losses
            ][-BEGUN:]
            if len(ends) < PAIRS or len({early for _, early, _ in ends}) == 1:
                continue
            slope, start, *_ = theilslopes([final for *_, final in ends], [early for _, early, _ in ends])
            if not (math.isfinite(slope) and slope > 0):
                continue
            here = [(known.candidate, known.losses[share][column]) for known, other in latest if other == share]
            for candidate, loss in [*here, *((candidate, early) for candidate, early, _ in ends)]:
                partial = row(candidate).copy()
                partial[-1] = share / self.share
                rows.append(partial)
                losses.append(float(start + slope * loss))
        return rows, losses
