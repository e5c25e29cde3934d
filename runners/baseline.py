"""`nas search --baseline`: the same budget spent by random search, and how the two compare."""

from __future__ import annotations

import dataclasses
from typing import Any

from nas.config import SearchConfig
from nas.errors import InputError
from nas.history import History, scale_of
from nas.ranking import ranked
from nas.store.reading import read_study
from nas.trial import Trial
from runners.job_setup import Setup
from runners.tables import quantity

BASELINE = ".baseline"  # the study of random search is called so after the search's name


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A search beside random search, both after the same number of trainings.

    Attributes:
        study: of the random search. sampler: of the other one.
        trainings: how many of each are compared: as many as the one with fewer has.
        measure: the metric, or "hypervolume", both in the units of one scale (see `nas.history`).
        ours, random: the values after so many trainings; None where nothing was complete.
        reached: after how many trainings the search was as good as random search in the end; None for never.
        best: the best trial of random search by the first objective.
    """

    study: str
    sampler: str
    trainings: int
    measure: str
    ours: float | None
    random: float | None
    reached: int | None
    best: Trial | None


def random_search(setup: Setup) -> Setup:
    """The same search by the random sampler, with a seed of its own and nothing told beforehand."""
    changes = {"sampler": "random", "seed": setup.config.seed + 1, "reuse": False, "proxies": []}
    config = setup.config.model_copy(update=changes)
    return dataclasses.replace(setup, study=setup.study + BASELINE, config=config, scores=None)


def check(config: SearchConfig) -> None:
    """Raises: InputError for a search that is random itself."""
    if config.sampler == "random":
        raise InputError("--baseline compares with random search, and --sampler random is that already: leave one out")


def compare(setup: Setup, url: str) -> Comparison:
    """A search and its baseline as they stand in the database. Raises: StoreError."""
    mine, theirs = read_study(url, setup.study), read_study(url, setup.study + BASELINE)
    both = [History(record.finished, record.objectives, limits=record.limits) for record in (mine, theirs)]
    scale = scale_of(both)
    ours, random = (
        History(record.finished, record.objectives, scale, limits=record.limits) for record in (mine, theirs)
    )
    trainings = min(ours.trainings, random.trainings)
    final = random.value(trainings)
    return Comparison(
        study=theirs.name,
        sampler=setup.config.sampler,
        trainings=trainings,
        measure=ours.measure,
        ours=ours.value(trainings),
        random=final,
        reached=None if final is None else ours.reached(final),
        best=next(iter(ranked(theirs.trials, theirs.objectives, theirs.limits)), None),
    )


def comparison_line(found: Comparison) -> str:
    """Who was better after the same number of trainings, and how soon."""

    def shown(value: float | None) -> str:
        return "nothing" if value is None else quantity(value)

    measure = f"best {found.measure}" if found.measure != "hypervolume" else "hypervolume of the front"
    text = (
        f"after {found.trainings} trainings each: {measure} {shown(found.ours)} by {found.sampler}, "
        f"{shown(found.random)} by random search"
    )
    if found.random is None:
        return text
    if found.reached is None:
        return f"{text}; {found.sampler} has not reached what random search found"
    return f"{text}; {found.sampler} was as good as random's final best after {found.reached} trainings"


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The same as JSON types, without the trial."""
    body = dataclasses.asdict(dataclasses.replace(found, best=None))
    del body["best"]
    return body
