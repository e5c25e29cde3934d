"""What findings about a study rest on: which metric is judged, at which budget, and with what interval."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from nas.costs import COSTS
from nas.intervals import Interval, wilson
from nas.measuring import LATENCY
from nas.objectives import Objective
from nas.store.reading import StudyRecord
from nas.supernet import EVALUATE
from nas.trial import Source, State, Trial

FEWEST = 20  # networks that a statement about choices rests on, where there are so many
MOST_IMAGES = 1_000_000  # validation images beyond which nothing is inferred from accuracies

Kind = Literal["replicates", "images", "none"]


@dataclasses.dataclass(frozen=True)
class Measured:
    """A value and what is known about its luck.

    Attributes:
        value: one training's, or the mean of several. low, high: of its 95 % interval, where there is one.
        kind: "replicates" (Student's t over trainings with fresh seeds), "images" (Wilson's interval of a share of
            validation images; other seeds vary more) or "none": one training.
        count: trainings, or images.
    """

    value: float
    low: float | None
    high: float | None
    kind: Kind
    count: int


def judge_of(record: StudyRecord) -> Objective:
    """The first objective that training changes, as far as trials tell; the first of all where none is."""
    open_ended = (set(trial.metrics) for trial in record.trials if trial.state is not State.COMPLETE)
    known = {*COSTS, LATENCY}.union(*open_ended)
    goals = [goal for goal in record.objectives if goal.name not in known] or [record.objectives[0]]
    reported = {name for trial in record.trials for row in trial.curve.values() for name in row}
    return next((goal for goal in goals if goal.name in reported), goals[0])


def costs_of(record: StudyRecord) -> list[str]:
    """The metrics that are shown as what a network costs: objectives and limits but the judge, then known costs."""
    judge = judge_of(record).name
    seen = {name for trial in record.trials for name in trial.metrics}
    wanted = [
        *(limit.name for limit in record.limits),
        *(goal.name for goal in record.objectives),
        "macs",
        "params",
        LATENCY,
    ]
    return [name for name in dict.fromkeys(wanted) if name != judge and name in seen]


def built_in(record: StudyRecord) -> bool:
    """Whether our own training made it, whose accuracy is a share of validation images."""
    told = record.settings.get("of") or record.settings
    return told.get("evaluate") in ("train and validate", EVALUATE)


def value_at(trial: Trial, name: str, level: int) -> float | None:
    """A metric after so many epochs; None where the trial did not come there, or did not report it."""
    if trial.state is State.COMPLETE and trial.budget.stop == level:
        return trial.metrics.get(name)
    return None if trial.state is State.FAIL else trial.curve.get(level, {}).get(name)


def values_at(trials: Iterable[Trial], name: str, level: int) -> dict[int, float]:
    """The same for all that have it, by number."""
    found = ((trial.number, value_at(trial, name, level)) for trial in trials)
    return {number: value for number, value in found if value is not None and math.isfinite(value)}


def telling_level(record: StudyRecord, name: str, fewest: int = FEWEST) -> int:
    """The highest rung that `fewest` trials came to with a value; where there is none, the one that most came to."""
    counts = {level: len(values_at(record.trials, name, level)) for level in record.rungs.levels}
    enough = [level for level, count in counts.items() if count >= fewest]
    return max(enough) if enough else max(counts, key=lambda level: (counts[level], level))


def images_of(record: StudyRecord) -> int | None:
    """How many validation images there are, as the accuracies tell, all of which are whole multiples of one part.

    It may be a divisor of the true number where few accuracies are known, which makes intervals wider, not narrower.
    None for an evaluation of one's own, or accuracies that are no shares.
    """
    if not built_in(record):
        return None
    own = [trial for trial in record.trials if trial.source is Source.TRAINED]
    rows = [*(trial.metrics for trial in own), *(row for trial in own for row in trial.curve.values())]
    full = [row["accuracy"] for row in rows if "accuracy" in row]
    return common_parts(full[:2000])


def common_parts(shares: Sequence[float]) -> int | None:
    """The least n for which all `shares` are whole multiples of 1 / n; None for none up to a million, or no shares."""
    found = 1
    for share in set(shares):
        part = Fraction(share).limit_denominator(MOST_IMAGES)
        found = math.lcm(found, part.denominator)
        if not 0 <= share <= 1 or abs(float(part) - share) > 1e-12 or found > MOST_IMAGES:
            return None
    return found if shares and found > 1 else None


def difference(first: Measured, second: Measured) -> tuple[float, float] | None:
    """The 95 % interval of first less second out of the interval of each, as if they were independent.

    Zou and Donner, Construction of confidence limits about effect measures, Statistics in Medicine 27 (2008); of two
    Wilson intervals it is method 10 of Newcombe, ibid. 17 (1998). Networks that are judged by the same images err
    alike, so the true interval is narrower. None where one of them has no interval.
    """
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return None
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return value - below, value + above


def measured(value: float, images: int | None) -> Measured:
    """One training's value."""
    if images is None:
        return Measured(value, None, None, "none", 1)
    return Measured(value, *wilson(round(value * images), images), "images", images)


def repeated(found: Interval) -> Measured:
    """The mean over several trainings."""
    kind: Kind = "none" if found.low is None else "replicates"
    return Measured(found.mean, found.low, found.high, kind, found.count)


def metrics_shown(trial: Trial, names: Sequence[str]) -> Mapping[str, float]:
    """Those of its metrics, in that order."""
    return {name: trial.metrics[name] for name in names if name in trial.metrics}
