"""How a study went: its value training by training and hour by hour, its rungs, and what it cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from dashboards.evidence import judge_of
from nas.companions import BASELINE
from nas.fidelity import Rungs
from nas.history import History, scale_of
from nas.reached import by_rung, done
from nas.store.accounts import Account
from nas.store.reading import StudyRecord
from nas.trial import Source, State, Trial

MOST_CURVES = 150  # of trials, in a picture and in the JSON


@dataclasses.dataclass(frozen=True)
class Step:
    """The value became better: after so many trainings, and hours of their evaluation; by which trial."""

    trainings: int
    hours: float
    value: float
    trial: int


@dataclasses.dataclass(frozen=True)
class Course:
    """How one study went.

    Attributes:
        study: its name. measure: the metric of the one objective, or "hypervolume", in the scale that all courses of a
            report share. steps: where it became better. trainings, hours: in all; hours are those that evaluations
            took on their workers, added up.
    """

    study: str
    measure: str
    steps: tuple[Step, ...]
    trainings: int
    hours: float


@dataclasses.dataclass(frozen=True)
class Rung:
    """A rung of a study.

    Attributes:
        epochs: of the rung. reached: trials that came there. paused, pruned: of those, how many wait there or ended
            there. spent: epochs trained on the way from the rung below. share: of all epochs.
    """

    epochs: int
    reached: int
    paused: int
    pruned: int
    spent: int
    share: float


@dataclasses.dataclass(frozen=True)
class Curve:
    """The judged metric of a trial by epoch, and where it ended."""

    trial: int
    state: str
    values: Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class Climb:
    """Who was promoted.

    Attributes:
        rungs: from the first. epochs, epochs_full: that were trained, and that full training of all would have taken.
        metric: of the curves. curves: of some trials, evenly drawn over all, and of all that came to the end first.
        drawn_from: trials with a curve.
    """

    rungs: tuple[Rung, ...]
    epochs: int
    epochs_full: int
    metric: str
    curves: tuple[Curve, ...]
    drawn_from: int


def courses(account: Account) -> tuple[Course, ...]:
    """Of the study, and of its random search where there is one."""
    records = [account.record, *([account.companions[BASELINE]] if BASELINE in account.companions else [])]
    plain = [History(each.finished, each.objectives, limits=each.limits) for each in records]
    scale = scale_of(plain)
    return tuple(_course(record, scale_) for record, scale_ in ((each, scale) for each in records))


def _course(record: StudyRecord, scale: Sequence[tuple[float, float]]) -> Course:
    history = History(record.finished, record.objectives, scale, limits=record.limits)
    hours = [0.0]
    for trial in record.finished:
        if trial.source is not Source.REUSED:
            hours.append(hours[-1] + (trial.seconds or 0.0) / 3600)
    steps = tuple(Step(after, hours[after], value, trial.number) for after, value, trial in history.steps)
    return Course(record.name, history.measure, steps, history.trainings, hours[-1])


def climb(record: StudyRecord) -> Climb:
    """The rungs of a study; one alone where all were trained fully at once."""
    rungs, own = record.rungs, [trial for trial in record.trials if trial.source is Source.TRAINED]
    spent = {level: sum(_within(trial, rungs, level) for trial in own) for level in rungs.levels}
    total = sum(spent.values())
    rows = tuple(
        Rung(each.epochs, each.reached, each.paused, each.pruned, spent[each.epochs], spent[each.epochs] / (total or 1))
        for each in by_rung(record.trials, rungs)
    )
    metric = judge_of(record).name
    fewest = 2 if len(rungs.levels) == 1 else 1
    having = [
        trial for trial in own if len(trial.curve) >= fewest and any(metric in row for row in trial.curve.values())
    ]
    chosen = _drawn(having)
    curves = tuple(
        Curve(
            trial.number,
            trial.state.value,
            {step: trial.curve[step][metric] for step in sorted(trial.curve) if metric in trial.curve[step]},
        )
        for trial in chosen
    )
    return Climb(rows, total, len(own) * rungs.full, metric, curves, len(having))


def _within(trial: Trial, rungs: Rungs, level: int) -> int:
    """Epochs of a trial between a rung and the one below."""
    below = rungs.before(trial.number, level)
    return max(0, min(done(trial), level) - below) if rungs.first(trial.number) <= level else 0


def _drawn(trials: Sequence[Trial]) -> list[Trial]:
    """At most `MOST_CURVES`: half of them complete ones, where there are so many."""
    if len(trials) <= MOST_CURVES:
        return list(trials)
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    others = [trial for trial in trials if trial.state is not State.COMPLETE]
    few = max(MOST_CURVES // 2, MOST_CURVES - len(others))
    kept = [*_evenly(complete, few), *_evenly(others, MOST_CURVES - min(few, len(complete)))]
    return sorted(kept, key=lambda trial: trial.number)


def _evenly(trials: Sequence[Trial], most: int) -> list[Trial]:
    count = min(most, len(trials))
    return [trials[index * len(trials) // count] for index in range(count)]
