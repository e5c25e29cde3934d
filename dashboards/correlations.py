"""How far a short training, or a score without one, ranks networks as the full training does."""

from __future__ import annotations

import dataclasses

import numpy as np

from dashboards.evidence import values_at
from nas.architecture import Architecture
from nas.objectives import Objective
from nas.proxies import BASELINES, PROXIES
from nas.proxies.correlation import Agreement, agreements, mixer_type, spearman, spearman_interval
from nas.store.reading import StudyRecord
from nas.trial import State

MOST_SCORED = 1000  # networks whose scores are correlated; of more, the first
PAIRS = 1_000_000  # resampled in all; of many networks fewer draws suffice
FEWEST_DRAWS = 200


@dataclasses.dataclass(frozen=True)
class Short:
    """After so many epochs against the full budget: networks that have both, and Spearman's correlation.

    `low` and `high` are its 95 % interval by resampling; None where there are too few networks or no differences.
    """

    epochs: int
    full: int
    networks: int
    spearman: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Scores:
    """What scores without training were worth on the complete networks that carry them."""

    networks: int
    of: int
    agreements: tuple[Agreement, ...]


def short_trainings(record: StudyRecord, name: str, *, seed: int = 0) -> tuple[Short, ...]:
    """One for each rung below the full budget; without rungs, for a third and a ninth of it."""
    full = record.rungs.full
    levels = record.rungs.levels[:-1] or tuple(sorted({full // 9, full // 3} - {0, full}))
    ends = values_at(record.trials, name, full)
    found = []
    for level in levels:
        begun = values_at(record.trials, name, level)
        both = sorted(set(begun) & set(ends))
        first, second = (np.array([row[number] for number in both], np.float64) for row in (begun, ends))
        draws = min(2000, max(FEWEST_DRAWS, PAIRS // max(1, len(both))))
        interval = spearman_interval(first, second, seed=seed, resamples=draws) or (None, None)
        found.append(Short(level, full, len(both), spearman(first, second), *interval))
    return tuple(found)


def scores(record: StudyRecord, objective: Objective, *, seed: int = 0) -> Scores | None:
    """None where no complete trial carries a score among its metrics."""
    names = [name for name in PROXIES if name not in BASELINES]
    complete = [trial for trial in record.trials if trial.state is State.COMPLETE and objective.name in trial.metrics]
    having = [trial for trial in complete if any(name in trial.metrics for name in names)]
    chosen = having[:MOST_SCORED]
    if not chosen:
        return None
    rows = [{name: trial.metrics[name] for name in (*BASELINES, *names) if name in trial.metrics} for trial in chosen]
    kinds = [mixer_type(each.candidate) if isinstance(each.candidate, Architecture) else "own" for each in chosen]
    goodness = [-objective.loss(trial.metrics) for trial in chosen]
    return Scores(len(chosen), len(having), tuple(agreements(rows, goodness, kinds, seed=seed)))
