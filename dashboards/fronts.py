"""Networks by what they cost and how good they are, and which of them no other dominates."""

from __future__ import annotations

import dataclasses

from dashboards.evidence import costs_of, judge_of
from nas.companions import BASELINE, PUBLISHED
from nas.objectives import Limit, Objective
from nas.ranking import pareto, violation
from nas.store.accounts import Account
from nas.store.reading import StudyRecord
from nas.trial import State
from nas.wording import short_network


@dataclasses.dataclass(frozen=True)
class Point:
    """A complete trial. x, y: its cost and the judged metric. within: the limits. front: whether none dominates it."""

    trial: int
    x: float
    y: float
    within: bool
    front: bool


@dataclasses.dataclass(frozen=True)
class OnFront:
    """A network of the front, with its metrics and in a few words."""

    trial: int
    metrics: dict[str, float]
    network: str


@dataclasses.dataclass(frozen=True)
class Front:
    """Accuracy against a cost.

    Attributes:
        cost, metric: what is drawn. objectives: that decide who is on the front; with one objective of the study, it
            and the cost. bound: the limit on the cost, where there is one.
        points: the complete trials of the study. published, random: those of the studies beside it.
        members: the front, best metric first.
    """

    cost: str
    metric: str
    objectives: tuple[str, ...]
    bound: float | None
    points: tuple[Point, ...]
    published: tuple[Point, ...]
    random: tuple[Point, ...]
    members: tuple[OnFront, ...]


def front_of(account: Account) -> Front | None:
    """None where no cost of the networks is known."""
    record = account.record
    names, judge = costs_of(record), judge_of(record)
    if not names:
        return None
    second = [goal for goal in record.objectives if goal.name != judge.name]
    cost = second[0].name if second else names[0]
    goals = record.objectives if second else (judge, Objective(cost, maximize=False))
    points = _points(record, judge, cost, goals, record.limits)
    beside = {
        ending: _points(account.companions[ending], judge, cost, goals, record.limits)
        if ending in account.companions
        else ()
        for ending in (PUBLISHED, BASELINE)
    }
    by_number = {trial.number: trial for trial in record.trials}
    members = sorted((point for point in points if point.front), key=lambda point: judge.loss({judge.name: point.y}))
    shown = [judge.name, *names]
    rows = tuple(
        OnFront(
            point.trial,
            {name: by_number[point.trial].metrics[name] for name in shown if name in by_number[point.trial].metrics},
            short_network(by_number[point.trial]),
        )
        for point in members
    )
    bound = next((limit.bound for limit in record.limits if limit.name == cost), None)
    said = tuple(map(str, goals))
    return Front(cost, judge.name, said, bound, points, beside[PUBLISHED], beside[BASELINE], rows)


def _points(
    record: StudyRecord, judge: Objective, cost: str, goals: tuple[Objective, ...], limits: tuple[Limit, ...]
) -> tuple[Point, ...]:
    complete = [
        trial
        for trial in record.trials
        if trial.state is State.COMPLETE and all(name in trial.metrics for name in (cost, judge.name))
    ]
    best = {trial.number for trial in pareto(complete, goals, limits)}
    return tuple(
        Point(
            trial.number,
            trial.metrics[cost],
            trial.metrics[judge.name],
            violation(trial, limits) == 0,
            trial.number in best,
        )
        for trial in complete
    )
