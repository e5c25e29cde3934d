"""The best that a study found, and how far it is ahead of the published families and of random search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from dashboards.evidence import (
    Measured,
    built_in,
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

DRAWN = "best of the"  # so the label of a search's own best random trial begins
BEGUN = "the best that the search began with"
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
        race: with the random search of `--baseline`. drawn: whether the search is itself a random one.
            why_none: why there is no winner; empty otherwise.
    """

    objective: str
    limits: tuple[str, ...]
    images: int | None
    winner: Contestant | None
    first: Contestant | None
    others: tuple[Contestant, ...]
    gains: tuple[Gain, ...]
    race: Race | None
    drawn: bool
    why_none: str


def headline(account: Account) -> Headline:
    """What a study came to."""
    record = account.record
    judge, images = judge_of(record), images_of(record)
    told = _Told(judge, images, [judge.name, *costs_of(record)])
    rows = replicates_of(record, account.companions.get(CONFIRM), judge)
    best = _best(record, judge)
    top = _top(rows, judge) or best
    closest = nearest(record.trials, record.objectives, record.limits)
    why = shortfall(closest, record.limits) if closest else f"none of {len(record.trials)} trials is complete"
    winner = told.contestant(top, "the winner", record.name, rows) if top else None
    others = _others(account, told, rows) if top else {}
    return Headline(
        objective=str(judge),
        limits=tuple(map(str, record.limits)),
        images=images,
        winner=winner,
        first=told.contestant(best, "best in the search", record.name, rows) if best else None,
        others=tuple(each for rivals in others.values() for each in rivals),
        gains=_gains(winner, others, judge),
        race=_race(account),
        drawn=_drawn(record),
        why_none="" if winner else why,
    )


@dataclasses.dataclass(frozen=True)
class _Told:
    """What contestants are told by: the judged metric, validation images, and the metrics that are shown."""

    judge: Objective
    images: int | None
    names: Sequence[str]

    def contestant(self, trial: Trial, label: str, study: str, rows: Sequence[Confirmed] = ()) -> Contestant:
        """A trial with its replicates among `rows`, where it has some."""
        name = self.judge.name
        row = next((row for row in rows if row.trial is trial and row.intervals), None)
        value = repeated(row.intervals[name]) if row else measured(trial.metrics[name], self.images)
        seeds = {FIRST_SEED + each: metrics[name] for each, metrics in row.values.items()} if row else {}
        metrics = metrics_shown(trial, self.names)
        return Contestant(label, study, trial.number, short_network(trial), value, trial.metrics[name], metrics, seeds)


def _others(account: Account, told: _Told, rows: Sequence[Confirmed]) -> dict[Over, list[Contestant]]:
    """The published families and random search, the best of each first; without those that there are none of."""
    record, judge = account.record, told.judge
    found: dict[Over, list[Contestant]] = {}
    if published := account.companions.get(PUBLISHED):
        found["published"] = [
            told.contestant(trial, f"published: {_family(trial)}", published.name)
            for trial in _ranked(published, judge)
        ]
    elif built_in(record) and (starts := [each for each in _ranked(record, judge) if each.origin == "start"]):
        found["published"] = [told.contestant(starts[0], BEGUN, record.name, rows)]
    baseline = account.companions.get(BASELINE)
    if baseline is not None and (trial := _best(baseline, judge)) is not None:
        theirs = replicates_of(baseline, account.companions.get(BASELINE + CONFIRM), judge)
        found["random"] = [told.contestant(_top(theirs, judge) or trial, "random search", baseline.name, theirs)]
    elif not _drawn(record) and (drawn := [each for each in _ranked(record, judge) if each.origin == "random"]):
        total = sum(trial.origin == "random" for trial in record.trials)
        label = f"{DRAWN} {total:,} random trials of this search"
        found["random"] = [told.contestant(drawn[0], label, record.name, rows)]
    return {over: rivals for over, rivals in found.items() if rivals}


def _top(rows: Sequence[Confirmed], judge: Objective) -> Trial | None:
    """The best by the mean over fresh seeds."""
    return next((row.trial for row in by_mean(rows, judge) if row.intervals), None)


def _drawn(record: StudyRecord) -> bool:
    """Whether the whole study was drawn at random."""
    return bool(record.trials) and all(trial.origin == "random" for trial in record.trials)


def _gains(
    winner: Contestant | None, others: Mapping[Over, Sequence[Contestant]], judge: Objective
) -> tuple[Gain, ...]:
    """Over the best of each kind, but not over itself."""
    if winner is None:
        return ()
    pairs = [(over, rivals[0]) for over, rivals in others.items()]
    return tuple(
        _gain(over, winner, rival, judge)
        for over, rival in pairs
        if (rival.study, rival.trial) != (winner.study, winner.trial)
    )


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
