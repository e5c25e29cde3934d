"""What each option of a space is worth, from candidates that were judged.

The plain mean over the candidates that use an option carries what else these candidates happen to have: with n of them
it errs by the spread of whole candidates over the square root of n, and a spread that comes from a few large genes is
many times that of the rest. So the other genes are taken out first: a ridge regression on one-hot genes (Hoerl and
Kennard, Technometrics 12, 1970), whose penalty is chosen by generalised cross-validation (Golub, Heath and Wahba,
Technometrics 21, 1979), says what each option of each gene brings, and every candidate is brought to average company
before the mean is taken. It needs no more candidates than options; with few of them the penalty grows and the means
are nearly the plain ones. Least squares alone could not tell a gene's options from those under them.

An option with genes of its own, such as a mixer with its kernel, is worth what it is worth with the best of their
options: by its mean a mixer that is good with one kernel and bad with three would die of the three.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.errors import InputError
from nas.space import Genome, Space
from nas.supernet.course import OptionScore
from nas.template import Scalar

Array = NDArray[np.float64]
Users = NDArray[np.bool_]
CAUTION = 1.4  # by which a fitted parameter counts: plain cross-validation fits noise now and then (Kim and Gu, 2004)
ENOUGH = 5  # judged candidates of a setting, to be believed the best
PENALTIES = np.logspace(-3, 4, 29)  # of the ridge, in units of the mean square of a column


class Judged(NamedTuple):
    """A candidate, the accuracy it had with inherited weights, and what it costs (in any unit, above 0)."""

    genome: Genome
    accuracy: float
    cost: float


@dataclasses.dataclass(frozen=True)
class _Fit:
    """Effects (p,) of the columns, and by what residuals (n,) of as many values are too small: sqrt(n / freedom)."""

    effects: Array
    inflation: float


def scored(space: Space, judged: Sequence[Judged], cost_weight: float = 0.0) -> tuple[OptionScore, ...]:
    """A score for every option of every gene, all of them kept.

    score = accuracy - cost_weight * ln(cost / cost of all that use the gene): means over the candidates that use the
    option, in average company. The logarithm makes a cost that is e times as high worth cost_weight of accuracy
    whatever its unit. A gene is compared among its users only. For each gene that hangs on the option, what the best of
    its options is above their mean is added; accuracy and cost stay means.

    Args:
        space: of the genomes.
        judged: candidates drawn at random.
        cost_weight: in units of accuracy, 0 or more.

    Raises: InputError for an accuracy or a cost that is no usable number, SpaceError for a foreign genome.
    """
    if not (math.isfinite(cost_weight) and cost_weight >= 0):
        raise InputError(f"cost weight {cost_weight:g}: 0 or more is expected")
    for index, each in enumerate(judged):
        if not math.isfinite(each.accuracy):
            raise InputError(f"judged candidate {index}: its accuracy is {each.accuracy}, and a number is expected")
        if not (math.isfinite(each.cost) and each.cost > 0):
            raise InputError(f"judged candidate {index}: its cost is {each.cost:g}, and more than 0 is expected")
    columns, users = _columns(space, [each.genome for each in judged])
    accuracy = np.array([each.accuracy for each in judged], dtype=np.float64)
    cost = np.log(np.array([each.cost for each in judged], dtype=np.float64))
    fits = (_ridge(users, accuracy), _ridge(users, cost))
    found: list[list[OptionScore]] = []
    for index, gene in enumerate(space.genes):
        own = np.array([owner == index or _below(space, owner, index) for owner, _ in columns])
        mine: Users = users[:, [column for column, (owner, _) in enumerate(columns) if owner == index]] > 0
        using: Users = np.asarray(mine.any(axis=1))
        rests = [
            _alone(values, users[:, ~own] @ fit.effects[~own], using)
            for values, fit in zip((accuracy, cost), fits, strict=True)
        ]
        found.append(_options(gene.path, gene.options, mine, rests, cost_weight, fits[0].inflation))
    _count_best_settings(space, found)
    return tuple(each for options in found for each in options)


def _columns(space: Space, genomes: Sequence[Genome]) -> tuple[list[tuple[int, int]], Array]:
    """(gene, option) of each column, and (n, p) whether a candidate uses it."""
    columns = [(index, option) for index, gene in enumerate(space.genes) for option in range(len(gene.options))]
    place = {column: number for number, column in enumerate(columns)}
    users = np.zeros((len(genomes), len(columns)))
    for row, genome in enumerate(genomes):
        canonical = space.canonical(genome)
        for index, used in enumerate(space.active(canonical)):
            if used:
                users[row, place[index, canonical[index]]] = 1.0
    return columns, users


def _ridge(users: Array, values: Array) -> _Fit:
    """Ridge on centred columns: beta = (X'X + penalty)^-1 X'y, the penalty with the least GCV error."""
    rows, wide = users.shape
    if rows < 3:
        return _Fit(np.zeros(wide), 1.0)
    centred, y = users - users.mean(0), values - values.mean()
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    inside = left.T @ y
    outside = max(0.0, float(y @ y - inside @ inside))
    scale = float((sizes**2).sum()) / max(1, wide)
    tried = []
    for penalty in PENALTIES * (scale or 1.0):
        left_over = penalty / (sizes**2 + penalty)
        used = float((1 - left_over).sum())  # parameters that are really fitted
        counted = max(1e-9, rows - 1 - CAUTION * used)
        error = (float(((left_over * inside) ** 2).sum()) + outside) / counted**2
        tried.append((error if counted >= 1 else math.inf, float(penalty), used))
    _, penalty, used = min(tried, key=lambda each: each[0])
    effects = right.T @ (sizes / (sizes**2 + penalty) * inside)
    return _Fit(effects, math.sqrt((rows - 1) / max(1.0, rows - 1 - used)))


def _alone(values: Array, others: Array, using: Users) -> Array:
    """The values in the average company of those that use the gene."""
    return values - others + others[using].mean() if using.any() else values


def _options(
    path: str, labels: Sequence[Scalar], mine: Users, rests: Sequence[Array], weight: float, inflation: float
) -> list[OptionScore]:
    """The options of one gene; `mine` (n, options) says who uses which, `rests` are accuracy and ln cost (n,)."""
    accuracy, cost = rests
    using: Users = np.asarray(mine.any(axis=1))
    middle = float(cost[using].mean()) if using.any() else 0.0
    worth = accuracy - weight * (cost - middle)
    counts = mine.sum(0)
    spread = sum(float(((worth[each] - worth[each].mean()) ** 2).sum()) for each in mine.T if each.any())
    freedom = int(using.sum()) - int((counts > 0).sum())
    sigma = inflation * math.sqrt(spread / freedom) if freedom > 0 else None
    return [
        OptionScore(
            gene=path,
            label=label,
            score=float(worth[each].mean()) if count else None,
            error=sigma / math.sqrt(count) if count and sigma is not None else None,
            accuracy=float(accuracy[each].mean()) if count else None,
            cost=float(np.exp(cost[each].mean())) if count else None,
            judged=int(count),
        )
        for label, each, count in zip(labels, mine.T, counts, strict=True)
    ]


def _count_best_settings(space: Space, found: list[list[OptionScore]]) -> None:
    """Add to every option what the best settings of the genes that hang on it bring, from the leaves up."""
    for index in reversed(range(len(space.genes))):
        gene = space.genes[index]
        known = [(each.score, each) for each in found[index] if each.score is not None and each.judged >= ENOUGH]
        if gene.parent is None or gene.when is None or not known:
            continue
        mean = sum(score * each.judged for score, each in known) / sum(each.judged for _, each in known)
        top, best = max(known, key=lambda pair: pair[0])
        above = found[gene.parent][gene.when]
        if above.score is None:
            continue
        error = None if above.error is None or best.error is None else math.hypot(above.error, best.error)
        found[gene.parent][gene.when] = dataclasses.replace(above, score=above.score + top - mean, error=error)


def _below(space: Space, gene: int, above: int) -> bool:
    """Whether a gene hangs on an option of another one."""
    parent = space.genes[gene].parent
    return parent is not None and (parent == above or _below(space, parent, above))
