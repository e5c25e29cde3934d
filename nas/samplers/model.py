"""What is expected of candidates: a process over some hundreds of results, on top of boosted trees beyond them."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from nas.samplers.features import Array
from nas.samplers.gaussian import Columns, GaussianProcess

MOST = 300  # results in the process
REFIT = 1.1  # growth of the results after which scales and trees are fitted again
FOLDS = 3  # of the results, each with trees fitted to the others
FAR = 2.0


@dataclasses.dataclass(frozen=True)
class Data:
    """Rows (n, d) of what was evaluated, and a loss (n,), to be small, of each."""

    rows: Array
    losses: Array


class Model:
    """Of one loss. What is costly to fit is kept until the results have grown by a tenth."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._fitted = 0
        self._scales: Array | None = None
        self._trees: list[HistGradientBoostingRegressor] = []

    def predict(self, data: Data, running: Array, asked: Array) -> tuple[Array, Array]:
        """Mean and deviation of the loss of `asked` (m, d); what runs (r, d) is believed to give what is expected."""
        losses = data.losses
        due = len(losses) >= REFIT * self._fitted
        kept = subset(losses)
        rows = data.rows[kept]
        trend, expected = np.zeros(len(kept)), np.zeros(len(asked))
        if len(losses) > MOST:
            with threadpool_limits(1, user_api="openmp"):  # threads that wait for others spin, and starve the machine
                trend, expected = self._trend(data, kept, asked, due=due)
        left = losses[kept] - trend
        process = GaussianProcess(self._columns, rows, left, None if due else self._scales)
        self._scales = process.scales
        self._fitted = len(losses) if due else self._fitted
        if len(running):
            believed, _ = process.predict(running)
            rows, left = np.vstack([rows, running]), np.concatenate([left, believed])
            process = GaussianProcess(self._columns, rows, left, self._scales)
        mean, std = process.predict(asked)
        return mean + expected, std

    def _trend(self, data: Data, kept: NDArray[np.intp], asked: Array, *, due: bool) -> tuple[Array, Array]:
        """Of the results `kept`, by trees that have not seen them: what those leave is what the process learns from."""
        fold = np.arange(len(data.losses)) % FOLDS
        if due or not self._trees:
            self._trees = [
                HistGradientBoostingRegressor(max_iter=100, min_samples_leaf=5, random_state=0).fit(
                    data.rows[fold != own], data.losses[fold != own]
                )
                for own in range(FOLDS)
            ]
        trend = np.zeros(len(kept))
        for own, trees in enumerate(self._trees):
            if (mine := fold[kept] == own).any():
                trend[mine] = trees.predict(data.rows[kept[mine]])
        return trend, np.mean([trees.predict(asked) for trees in self._trees], axis=0)


def winsorised(losses: Array) -> Array:
    """With far outliers on the bad side drawn in: a network that does not learn at all says little about the others."""
    low, middle, high = np.quantile(losses, [0.1, 0.5, 0.75])
    return np.asarray(np.minimum(losses, max(high, middle + FAR * (middle - low)) + 1e-12))


def subset(losses: Array) -> NDArray[np.intp]:
    """Indices of at most MOST results: the best half, and every so-many-th of the others."""
    if len(losses) <= MOST:
        return np.arange(len(losses))
    order = np.argsort(losses, kind="stable")
    best, rest = order[: MOST // 2], order[MOST // 2 :]
    return np.sort(np.concatenate([best, rest[:: -(-len(rest) // (MOST - len(best)))]]))
