"""`nas search --baseline`: the same budget spent by random search, and how the two compare."""

from __future__ import annotations

import dataclasses
from typing import Any

from nas.companions import BASELINE, Comparison, beside
from nas.config import SearchConfig
from nas.errors import InputError
from nas.store.reading import read_study
from nas.wording import quantity
from runners.job_setup import Setup


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
    return beside(mine, theirs, setup.config.sampler)


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
