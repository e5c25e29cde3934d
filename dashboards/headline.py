"""The best that a study found, and how far it is ahead of the published families and of random search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from dashboards.evidence import (
    Measured,
    costs_of,
    difference,
    images_of,
    judge_of,
    measured,
    metrics_shown,
    repeated,
)
from nas.architecture import Architecture
from nas.companions import BASELINE, CONFIRM, PUBLISHED, beside
from nas.intervals import interval
from nas.objectives import Objective
from nas.ranking import nearest, pareto, ranked, shortfall
from nas.replicates import FIRST_SEED, Confirmed, by_mean, confirmed
from nas.store.accounts import Account
from nas.store.reading import StudyRecord
from nas.trial import Trial
from nas.wording import short_network

FAMILIES = {
    "depthwise_conv": "ConvMixer",
    "token_mlp": "MLP-Mixer",
    "attention": "ViT",
    "pooling": "PoolFormer",
    "conv_attention": "CvT",
}  # by the mixer of their last block: the families that `nas search --published` trains

Over = Literal["published", "random"]


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A trained network that is compared.

    Attributes:
        label: what it stands for, in words. study, trial: where it is. network: in a few words.
        value: of the judged metric. in_search: what it was chosen for. metrics: objectives, limits and costs.
        replicates: its trainings with fresh seeds, by seed.
    """

    label: str
    study: str
    trial: int
    network: str
    value: Measured
    in_search: float
    metrics: Mapping[str, float]
    replicates: Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class Gain:
    """By how much the winner is better than a rival; positive is better, whatever the direction.

    Attributes:
        over: the published families, or random search. rival: their best. rests_on: what the interval comes from.
        value, low, high: the difference in the judged metric, with its 95 % interval where there is one.
    """

    over: Over
    rival: Contestant
    value: float
    low: float | None
    high: float | None
    rests_on: str

    @property
    def ahead(self) -> bool | None:
        """Whether the interval is above 0; None without one."""
        return None if self.low is None else self.low > 0


@dataclasses.dataclass(frozen=True)
class Race:
    """The search and random search after as many trainings each.

    Attributes:
        study: of the random search. trainings: of each. measure: the metric, or "hypervolume".
        ours, random: after those. reached: trainings after which the search was as good as random in the end.
    """

    study: str
    trainings: int
    measure: str
    ours: float | None
    random: float | None
    reached: int | None


@dataclasses.dataclass(frozen=True)
class Headline:
    """The first thing that is told.

    Attributes:
        objective: that is judged. limits: the budget. images: of validation, where they can be told.
        winner: best by the mean over fresh seeds where `nas confirm` trained some again, else best in the search.
        first: best in the search. others: the published families and random search. gains: over the best of each.
        race: with the random search of `--baseline`. why_none: why there is no winner; empty otherwise.
    """

    objective: str
    limits: tuple[str, ...]
    images: int | None
    winner: Contestant | None
    first: Contestant | None
    others: tuple[Contestant, ...]
    gains: tuple[Gain, ...]
    race: Race | None
    why_none: str


def headline(account: Account) -> Headline:
    """What a study came to."""
    record = account.record
    judge, images, limits = judge_of(record), images_of(record), tuple(map(str, record.limits))
    best = _best(record, judge)
    if best is None:
        closest = nearest(record.trials, record.objectives, record.limits)
        why = shortfall(closest, record.limits) if closest else f"none of {len(record.trials)} trials is complete"
        return Headline(str(judge), limits, images, None, None, (), (), _race(account), why)
    rows = replicates_of(record, account.companions.get(CONFIRM), judge)
    again = by_mean([row for row in rows if row.intervals], judge)
    top = again[0].trial if again else best
    names = [judge.name, *costs_of(record)]

    def contestant(trial: Trial, label: str, study: str, rows: Sequence[Confirmed] = ()) -> Contestant:
        row = next((row for row in rows if row.trial is trial and row.intervals), None)
        value = repeated(row.intervals[judge.name]) if row else measured(trial.metrics[judge.name], images)
        seeds = {FIRST_SEED + each: metrics[judge.name] for each, metrics in row.values.items()} if row else {}
        metrics = metrics_shown(trial, names)
        network = short_network(trial)
        return Contestant(label, study, trial.number, network, value, trial.metrics[judge.name], metrics, seeds)

    winner = contestant(top, "the winner", record.name, rows)
    first = contestant(best, "best in the search", record.name, rows)
    others: list[Contestant] = []
    gains: list[Gain] = []
    if published := _published(account, judge):
        found = [contestant(trial, f"published: {label}", study) for trial, label, study in published]
        others += found
        gains.append(_gain("published", winner, found[0], judge))
    if (baseline := account.companions.get(BASELINE)) is not None and (trial := _best(baseline, judge)) is not None:
        theirs = replicates_of(baseline, account.companions.get(BASELINE + CONFIRM), judge)
        again = by_mean([row for row in theirs if row.intervals], judge)
        top = again[0].trial if again else trial
        others.append(contestant(top, "random search", baseline.name, theirs))
        gains.append(_gain("random", winner, others[-1], judge))
    elif drawn := [trial for trial in _ranked(record, judge) if trial.origin == "random"]:
        total = sum(trial.origin == "random" for trial in record.trials)
        others.append(contestant(drawn[0], f"best of the {total} random trials of this search", record.name, rows))
        if drawn[0] is not top:
            gains.append(_gain("random", winner, others[-1], judge))
    return Headline(str(judge), limits, images, winner, first, tuple(others), tuple(gains), _race(account), "")


def _ranked(record: StudyRecord, judge: Objective) -> list[Trial]:
    """Complete trials within the limits, best by the judge first."""
    found = ranked(record.trials, record.objectives, record.limits)
    return sorted(found, key=lambda trial: judge.loss(trial.metrics))


def _best(record: StudyRecord, judge: Objective) -> Trial | None:
    """Of the front with several objectives, the best by the judge."""
    if len(record.objectives) == 1:
        return next(iter(_ranked(record, judge)), None)
    found = pareto(record.trials, record.objectives, record.limits)
    return min(found, key=lambda trial: judge.loss(trial.metrics), default=None)


def replicates_of(record: StudyRecord, again: StudyRecord | None, judge: Objective) -> list[Confirmed]:
    """The trials that `nas confirm` trained again; its genomes are those of the networks, then which fresh seed."""
    if again is None or again.settings.get("of") != record.settings:
        return []
    by_genome = {trial.genome: trial for trial in record.trials if trial.state == "complete"}
    found: dict[tuple[str, int], Trial] = {}
    chosen: dict[int, Trial] = {}
    for trial in again.trials:
        origin = by_genome.get(trial.genome[:-1])
        if origin is not None:
            found[origin.digest, trial.genome[-1]] = trial
            chosen[origin.number] = origin
    replicates = sorted({replicate for _, replicate in found})
    return confirmed(list(chosen.values()), found, replicates, [judge.name])


def _published(account: Account, judge: Objective) -> list[tuple[Trial, str, str]]:
    """Best first, with the family and the study: of the study of `--published`, else what the search began with."""
    record = account.record
    beside_it = account.companions.get(PUBLISHED)
    if beside_it is not None and (found := _ranked(beside_it, judge)):
        return [(trial, _family(trial), beside_it.name) for trial in found]
    starts = [trial for trial in _ranked(record, judge) if trial.origin == "start"]
    return [(trial, "where this search began", record.name) for trial in starts[:1]]


def _family(trial: Trial) -> str:
    network = trial.candidate
    kind = network.stages[-1].blocks[-1].mixer.kind if isinstance(network, Architecture) else ""
    return FAMILIES.get(kind, short_network(trial))


def _gain(over: Over, ours: Contestant, theirs: Contestant, judge: Objective) -> Gain:
    """Seed by seed where both were trained again, else out of the interval of each."""
    sign = 1 if judge.maximize else -1
    shared = sorted(set(ours.replicates) & set(theirs.replicates))
    if len(shared) > 1:
        found = interval([sign * (ours.replicates[seed] - theirs.replicates[seed]) for seed in shared])
        return Gain(over, theirs, found.mean, found.low, found.high, f"{len(shared)} fresh seeds, seed by seed")
    first, second = (ours, theirs) if judge.maximize else (theirs, ours)
    low, high = difference(first.value, second.value) or (None, None)
    rests_on = "no interval: one training" if low is None else f"{_basis(ours.value)} against {_basis(theirs.value)}"
    return Gain(over, theirs, first.value.value - second.value.value, low, high, rests_on)


def _basis(value: Measured) -> str:
    if value.kind == "replicates":
        return f"{value.count} fresh seeds"
    return f"one training judged by {value.count:,} validation images"


def _race(account: Account) -> Race | None:
    baseline = account.companions.get(BASELINE)
    if baseline is None:
        return None
    found = beside(account.record, baseline, "the search")
    return Race(found.study, found.trainings, found.measure, found.ours, found.random, found.reached)
