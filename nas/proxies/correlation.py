"""How far scores rank networks as their training did: overall, within types of mixer, and beyond their size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from nas.architecture import Architecture
from nas.proxies import BASELINES

FEWEST = 5  # networks that a correlation is given for
RESAMPLES = 2000
TYPES: Mapping[str, str] = {
    "identity": "no weights",
    "pooling": "no weights",
    "random_mixing": "no weights",
    "depthwise_conv": "convolution",
    "separable_conv": "convolution",
    "token_mlp": "token MLP",
    "token_linear": "token MLP",
    "gated_mlp": "token MLP",
    "multi_axis_mlp": "token MLP",
    "attention": "attention",
    "conv_attention": "attention",
}  # a mixer of one's own is a type of its own

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How one score ranks the networks that have it, against how well they did; None where nothing can be said.

    Attributes:
        proxy: its name. count: of the networks.
        spearman, kendall: rank correlations over all (Kendall's tau-b).
        interval: of spearman, 95 %, by resampling the networks.
        beyond_params: Spearman's correlation of what is left of both once their ranks are regressed on that of
            params; None for params itself.
        within: spearman for each type of mixer that has `FEWEST` networks.
        within_types: spearman after the mean rank of its type is taken from every network: one figure for all types.
        backwards: the types within which the whole 95 % interval is below 0.
        gain: 95 % interval of spearman less that of the better of params and macs, over the same resamples.
    """

    proxy: str
    count: int
    spearman: float | None
    kendall: float | None
    interval: tuple[float, float] | None
    beyond_params: float | None
    within: Mapping[str, float | None]
    within_types: float | None
    backwards: tuple[str, ...]
    gain: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        """What it is worth in this study, in a few words."""
        if self.spearman is None or self.interval is None:
            return "says nothing: one value for all"
        if self.interval[1] < 0:
            return "lies: ranks backwards"
        if self.interval[0] <= 0:
            return "may be chance"
        return self._worth() + (f"; backwards within {', '.join(self.backwards)}" if self.backwards else "")

    def _worth(self) -> str:
        if self.gain is None:
            return "a baseline"
        if self.gain[0] > 0:
            return "better than params and MACs"
        return "worse than params or MACs" if self.gain[1] < 0 else "no better than params or MACs"


def mixer_type(architecture: Architecture) -> str:
    """The type of mixer (`TYPES`) that most blocks have; "mixed" where two types have as many."""
    counts: dict[str, int] = {}
    for stage in architecture.stages:
        for block in stage.blocks:
            kind = TYPES.get(block.mixer.kind, block.mixer.kind)
            counts[kind] = counts.get(kind, 0) + 1
    most = max(counts.values())
    first = [kind for kind, count in counts.items() if count == most]
    return first[0] if len(first) == 1 else "mixed"


def agreements(
    scores: Sequence[Mapping[str, float]], goodness: Sequence[float], types: Sequence[str], *, seed: int = 0
) -> list[Agreement]:
    """One `Agreement` for each score, in the order in which they appear.

    Args:
        scores: of each network; params and macs among them are the baselines.
        goodness: what training came to, higher for better.
        types: of mixer, as `mixer_type` has them.
        seed: of the resampling.
    """
    names = list(dict.fromkeys(name for row in scores for name in row))
    return [_agreement(name, scores, np.asarray(goodness, np.float64), np.asarray(types), seed) for name in names]


def _agreement(
    name: str, scores: Sequence[Mapping[str, float]], goodness: Floats, types: npt.NDArray[np.str_], seed: int
) -> Agreement:
    rows = [index for index, row in enumerate(scores) if name in row]
    values = np.array([scores[index][name] for index in rows])
    goodness, types = goodness[rows], types[rows]
    bases = {
        base: np.array([scores[index][base] for index in rows])
        for base in BASELINES
        if all(base in scores[index] for index in rows)
    }
    groups = {kind: types == kind for kind in sorted(set(types.tolist()))}
    within = {
        kind: spearman(values[chosen], goodness[chosen]) for kind, chosen in groups.items() if chosen.sum() >= FEWEST
    }
    turned = [
        kind
        for kind, chosen in groups.items()
        if (within.get(kind) or 0) < 0 and _interval(_resampled(values[chosen], goodness[chosen], seed))[1] < 0
    ]
    rho = spearman(values, goodness)
    return Agreement(
        proxy=name,
        count=len(rows),
        spearman=rho,
        kendall=None if rho is None else float(stats.kendalltau(values, goodness).statistic),
        interval=None if rho is None else _interval(_resampled(values, goodness, seed)),
        beyond_params=partial(values, goodness, bases["params"]) if "params" in bases and name != "params" else None,
        within=within,
        within_types=_centred(values, goodness, list(groups.values())),
        backwards=tuple(turned),
        gain=None if rho is None or name in BASELINES else _gain(values, goodness, list(bases.values()), seed),
    )


def spearman(values: Floats, others: Floats) -> float | None:
    """Spearman's rank correlation, equal values sharing their mean rank; None below `FEWEST` or for a constant."""
    if len(values) < FEWEST:
        return None
    return _pearson(stats.rankdata(values), stats.rankdata(others))


def spearman_interval(
    values: Floats, others: Floats, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """The 95 % interval of Spearman's correlation by resampling the pairs; None where there is no correlation."""
    if spearman(values, others) is None:
        return None
    return _interval(_resampled(values, others, seed, resamples))


def partial(values: Floats, others: Floats, given: Floats) -> float | None:
    """Spearman's correlation of two once their ranks are regressed on the ranks of a third."""
    if len(values) < FEWEST:
        return None
    by = stats.rankdata(given)
    by = by - by.mean()
    left = []
    for each in (stats.rankdata(values), stats.rankdata(others)):
        centred = each - each.mean()
        left.append(centred - by * (centred @ by) / (by @ by) if by @ by > 0 else centred)
    return _pearson(*left)


def _centred(values: Floats, others: Floats, groups: Sequence[npt.NDArray[np.bool_]]) -> float | None:
    if len(values) < FEWEST:
        return None
    ranks = [stats.rankdata(values), stats.rankdata(others)]
    for chosen in groups:
        for each in ranks:
            each[chosen] -= each[chosen].mean()
    return _pearson(*ranks)


def _pearson(first: Floats, second: Floats) -> float | None:
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size > 1e-9 * len(first) else None


def _resampled(values: Floats, others: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Spearman over so many draws of as many networks with replacement; the same draws for the same seed."""
    rows = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    first, second = (stats.rankdata(each[rows], axis=1) for each in (values, others))
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    size = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    found: Floats = np.where(size > 0, (first * second).sum(axis=1) / np.where(size > 0, size, 1), 0.0)
    return found


def _gain(values: Floats, others: Floats, bases: Sequence[Floats], seed: int) -> tuple[float, float] | None:
    if not bases:
        return None
    best = max(bases, key=lambda base: spearman(base, others) or 0.0)
    return _interval(_resampled(values, others, seed) - _resampled(best, others, seed))


def _interval(found: Floats) -> tuple[float, float]:
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)
