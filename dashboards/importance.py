"""Which genes tell good networks from bad ones: a forest, and what it loses when a gene is shuffled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dashboards.evidence import FEWEST
from nas.store.accounts import Choice
from nas.template import Scalar

NORMAL = 1.959963984540054  # quantile of the normal distribution, two-sided 95 %
MOST = 1000  # networks that the forest is grown on; of more, so many are drawn
FOLDS, REPEATS, TREES = 5, 3, 50
USEFUL = 0.3  # R2 below which the order is to be taken with care

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Weight:
    """What the forest loses in R2 when the gene, with all that hangs on it, is shuffled among the networks that use it.

    Attributes:
        gene: its path. loss: mean over folds and repetitions. low, high: the smallest and largest mean of a fold.
        count: networks that use it.
    """

    gene: str
    loss: float
    low: float
    high: float
    count: int


@dataclasses.dataclass(frozen=True)
class Importance:
    """A ranking of the genes and how far it is to be trusted.

    Attributes:
        networks: that it rests on. of: with a value. r2: of the forest on networks that it was not grown on, over five
            folds; 0 is guessing the mean. None with fewer than 20 networks, or when all are alike. better: whether
            its squared errors are smaller than those of guessing the mean, by a paired t-test at 95 %. seed: of all
            draws.
        weights: most important first; empty without r2.
    """

    networks: int
    of: int
    r2: float | None
    better: bool
    seed: int
    weights: tuple[Weight, ...]

    @property
    def verdict(self) -> str:
        """What the ranking is worth, in words."""
        if self.r2 is None:
            return f"not ranked: {self.of} networks with a value; at least {FEWEST} that differ are needed"
        if not self.better:
            return "meaningless: of networks it has not seen, the forest is not shown to know more than their mean"
        if self.r2 < USEFUL:
            return "weak: the forest explains little of networks it has not seen; take the order with care"
        return "the forest explains networks it has not seen well enough to rank the genes by it"


def importance(
    choices: Sequence[Choice], taken: Mapping[int, Mapping[str, Scalar]], values: Mapping[int, float], *, seed: int = 0
) -> Importance:
    """Permutation importance (Breiman, Random forests, 2001) of genes, some of which exist only under others.

    A gene is one column, its option by number, -1 where it is not used. It is shuffled together with the genes below
    it, among the networks that use it only: a network stays one that could be, and who has a gene is not told by it.
    """
    numbers = sorted(number for number in values if number in taken)
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.choice(numbers, MOST, replace=False).tolist()) if len(numbers) > MOST else numbers
    goal = np.array([values[number] for number in chosen])
    if len(chosen) < FEWEST or not choices or np.ptp(goal) == 0:
        return Importance(len(chosen), len(numbers), None, better=False, seed=seed, weights=())
    rows = _rows(choices, [taken[number] for number in chosen])
    below = [_below(choices, index) for index in range(len(choices))]
    errors, losses = _errors(rows, goal, below, rng)
    spread = (goal - goal.mean()) ** 2
    variance = float(spread.mean())
    gains = (spread - errors) / variance
    r2, half = float(gains.mean()), NORMAL * float(gains.std(ddof=1)) / math.sqrt(len(gains))
    by_fold = np.array(losses) / variance
    weights = [
        Weight(
            choice.path,
            float(by_fold[:, index].mean()),
            float(by_fold[:, index].min()),
            float(by_fold[:, index].max()),
            int((rows[:, index] >= 0).sum()),
        )
        for index, choice in enumerate(choices)
    ]
    ordered = sorted(weights, key=lambda weight: (-weight.loss, weight.gene))
    return Importance(len(chosen), len(numbers), r2, r2 > half, seed, tuple(ordered))


def _rows(choices: Sequence[Choice], taken: Sequence[Mapping[str, Scalar]]) -> Array:
    """(networks, genes): the number of the option, -1 where the gene is not used."""
    columns = []
    for choice in choices:
        index = {option: place for place, option in enumerate(choice.options)}
        columns.append([index.get(row[choice.path], -1) if choice.path in row else -1 for row in taken])
    return np.array(columns, dtype=np.float64).T


def _below(choices: Sequence[Choice], index: int) -> list[int]:
    """The columns of a gene and of those whose path goes on from it."""
    path = choices[index].path
    return [index, *(other for other, choice in enumerate(choices) if choice.path.startswith(f"{path}."))]


def _errors(
    rows: Array, goal: Array, below: Sequence[Sequence[int]], rng: np.random.Generator
) -> tuple[Array, list[list[float]]]:
    """The squared error of every network when held out, and by how much the mean of a fold rises for each gene."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    errors, losses = np.empty(len(rows)), []
    for number, (seen, held) in enumerate(
        KFold(FOLDS, shuffle=True, random_state=int(rng.integers(2**31))).split(rows)
    ):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=number, n_jobs=1)
        forest.fit(rows[seen], goal[seen])
        before = (forest.predict(rows[held]) - goal[held]) ** 2
        shuffled = np.concatenate([_shuffled(rows[held], columns, rng) for columns in below])
        after = (forest.predict(shuffled).reshape(len(below), REPEATS, len(held)) - goal[held]) ** 2
        errors[held] = before
        losses.append((after.mean(axis=(1, 2)) - before.mean()).tolist())
    return errors, losses


def _shuffled(rows: Array, columns: Sequence[int], rng: np.random.Generator) -> Array:
    """(repeats x networks, genes): the columns together in another order, among those that use the first of them."""
    users = np.flatnonzero(rows[:, columns[0]] >= 0)
    found = np.repeat(rows[None], REPEATS, axis=0)
    for copy in found:
        copy[users[:, None], [columns]] = rows[rng.permutation(users)[:, None], [columns]]
    return found.reshape(-1, rows.shape[1])
