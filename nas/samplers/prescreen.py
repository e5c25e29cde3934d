"""A second look at the most promising candidates, by scores that are too slow to ask for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from nas.feasible import Scores
from nas.objectives import Objective
from nas.samplers.candidates import Candidate
from nas.samplers.evidence import Evidence
from nas.samplers.features import Array
from nas.samplers.gaussian import Columns
from nas.samplers.rating import Rating
from nas.space import Genome, Space

LATEST = 300  # results that are scored; a study that goes on may have thousands
LARGE = 1e100  # of a score; what is beyond counts as this


class Prescreen:
    """Scores join the known costs as features of the model; what they are worth, the results tell."""

    def __init__(
        self,
        space: Space,
        scores: Scores,
        columns: Columns,
        objectives: Sequence[Objective],
        known: Collection[str],
    ) -> None:
        self._space, self._scores, self._columns = space, scores, columns
        self._objectives, self._known = objectives, known
        self._found: dict[Genome, Mapping[str, float]] = {}
        self._rating: Rating | None = None
        self._width = 0

    def best(self, short: Sequence[Candidate], evidence: Evidence, running: Sequence[Candidate]) -> Candidate:
        """The one of `short` that is expected to add most."""
        trained = [candidate for candidate, _ in evidence.results[-LATEST:]]
        rows = self._rows([*short, *running, *trained])
        width = len(next(iter(rows.values()))) - len(short[0].row)
        if self._rating is None or self._width != width:
            columns = Columns(self._columns.genes, self._columns.counts, self._columns.costs + width)
            self._rating, self._width = Rating(columns, self._objectives, self._known, evidence), width
        gains = self._rating.gains(short, running, lambda candidate: self._row(rows, candidate, width))
        return short[int(np.argmax(gains))]

    def _rows(self, candidates: Sequence[Candidate]) -> dict[Genome, Array]:
        """With the scores, standardised, behind the known costs; one that is missing or no number is the mean."""
        found = {candidate.genome: (candidate, self._scored(candidate.genome)) for candidate in candidates}
        names = sorted({name for _, scores in found.values() for name in scores})
        table = np.array([[scores.get(name, np.nan) for name in names] for _, scores in found.values()])
        here = np.isfinite(table)
        counts = np.maximum(1, here.sum(0))
        table = np.where(here, np.clip(table, -LARGE, LARGE), 0.0)
        table = np.where(here, table - table.sum(0) / counts, 0.0)
        spread = np.sqrt((table * table).sum(0) / counts)
        table = np.clip(table / np.where(spread > 0, spread, 1.0), -3.0, 3.0) / np.sqrt(max(1, len(names)))
        return {
            genome: np.insert(candidate.row, self._columns.costs, row)
            for (genome, (candidate, _)), row in zip(found.items(), table, strict=True)
        }

    def _row(self, rows: Mapping[Genome, Array], candidate: Candidate, width: int) -> Array:
        if candidate.genome in rows:
            return rows[candidate.genome]
        return np.insert(candidate.row, self._columns.costs, np.zeros(width))  # measured only, begun, or long ago

    def _scored(self, genome: Genome) -> Mapping[str, float]:
        if genome not in self._found:
            self._found[genome] = self._scores(self._space.decode(genome))
        return self._found[genome]
