"""Which trials of a study are shown, and in what order."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from nas.errors import InputError, unknown
from nas.objectives import Limit
from nas.store.genes import Genes, read_genes
from nas.store.reading import StudyRecord
from nas.template import Scalar
from nas.trial import State, Trial
from nas.wording import short_network

NUMBERS: Mapping[str, Callable[[Trial], float | None]] = {
    "number": lambda trial: trial.number,
    "epochs": lambda trial: trial.epochs,
    "seconds": lambda trial: trial.seconds,
    "attempt": lambda trial: trial.attempt,
    "parent": lambda trial: trial.parent,
}
TEXTS: Mapping[str, Callable[[Trial], str]] = {
    "state": lambda trial: trial.state.value,
    "origin": lambda trial: trial.origin,
    "source": lambda trial: trial.source.value,
    "host": lambda trial: trial.host,
    "device": lambda trial: trial.budget.device,
    "digest": lambda trial: trial.digest,
    "reason": lambda trial: trial.reason,
    "network": short_network,
}
WAYS = ("asc", "desc")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the options of `nas trials` ask for; lists may stand in one word, with commas."""

    states: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    genes: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    sort: str | None = None
    count: int | None = None


class Columns:
    """Everything that is known of the trials of a study, by name: numbers, texts, metrics, genes."""

    def __init__(self, record: StudyRecord, url: str) -> None:
        """`url` is asked for the genes, once they are wanted."""
        self._record, self._url = record, url
        self.objectives = {objective.name: objective for objective in record.objectives}
        limited = (limit.name for limit in record.limits)
        self.metrics = dict.fromkeys((*self.objectives, *limited, *(n for t in record.trials for n in t.metrics)))

    @cached_property
    def genes(self) -> Genes:
        """Of the trials, as the database holds them."""
        return read_genes(self._url, self._record.name)

    def check(self, name: str, what: str, *, only_numbers: bool = False) -> str:
        """The name, blanks apart. Raises: InputError naming the nearest ones."""
        name = name.strip()
        known = [*NUMBERS, *(() if only_numbers else TEXTS), *self.metrics]
        if name in known or (not only_numbers and name in self.genes.options):
            return name
        if only_numbers and not self._record.trials:
            return name  # nothing tells yet what its metrics are called
        raise unknown(what, name, known if only_numbers else [*known, *self.genes.options])

    def value(self, trial: Trial, name: str) -> Scalar | None:
        """None for what the trial has not; metrics are those of its end and the costs known before."""
        if name in NUMBERS:
            return NUMBERS[name](trial)
        if name in TEXTS:
            return TEXTS[name](trial)
        if name in self.metrics:
            return trial.metrics.get(name)
        found: Scalar | None = self.genes.taken.get(trial.number, {}).get(name)
        return found


def split(words: Sequence[str]) -> list[str]:
    """What stands between commas."""
    return [part.strip() for word in words for part in word.split(",") if part.strip()]


def chosen(record: StudyRecord, wanted: Wanted, columns: Columns) -> list[Trial]:
    """The trials asked for, in their order. Raises: InputError for words that name nothing."""
    keeps = [*_by_state(wanted), *_by_origin(record, wanted), *_by_limit(wanted, columns), *_by_gene(wanted, columns)]
    found = [trial for trial in record.trials if all(keep(trial) for keep in keeps)]
    if wanted.sort is not None:
        found = _sorted(found, wanted.sort, columns)
    return found[: wanted.count]


Keep = Callable[[Trial], bool]


def _by_state(wanted: Wanted) -> Iterator[Keep]:
    states = split(wanted.states)
    for state in states:
        if state not in set(State):
            raise unknown("state", state, [each.value for each in State])
    if states:
        yield lambda trial: trial.state.value in states


def _by_origin(record: StudyRecord, wanted: Wanted) -> Iterator[Keep]:
    origins = split(wanted.origins)
    known = list(dict.fromkeys(trial.origin for trial in record.trials))
    for origin in origins:
        if known and origin not in known:
            raise unknown("origin", origin, known)
    if origins:
        yield lambda trial: trial.origin in origins


def _by_limit(wanted: Wanted, columns: Columns) -> Iterator[Keep]:
    """A trial that lacks the metric does not keep the limit."""
    for limit in map(Limit.parse, wanted.limits):
        name = columns.check(limit.name, "metric", only_numbers=True)

        def keep(trial: Trial, limit: Limit = limit, name: str = name) -> bool:
            value = columns.value(trial, name)
            return isinstance(value, int | float) and limit.excess({limit.name: value}) <= 0

        yield keep


def _by_gene(wanted: Wanted, columns: Columns) -> Iterator[Keep]:
    for text in wanted.genes:
        path, sign, given = (part.strip() for part in text.partition("="))
        if not (path and sign and given):
            raise InputError(f"gene {text!r}: PATH=VALUE is expected, as in stages.0.mixer=pooling, or PATH=*")
        options = columns.genes.options
        if options and path not in options:
            raise unknown("gene", path, list(options))
        matching = [option for option in options.get(path, ()) if given == "*" or _same(option, given)]
        if options.get(path) and not matching:
            raise unknown(f"option of {path}", given, [str(option) for option in options[path]])

        def keep(trial: Trial, path: str = path, given: str = given) -> bool:
            found = columns.genes.taken.get(trial.number, {})
            return path in found and (given == "*" or _same(found[path], given))

        yield keep


def _same(option: Scalar, given: str) -> bool:
    """As it is written, or the same number."""
    if str(option).lower() == given.lower():
        return True
    try:
        return isinstance(option, int | float) and not isinstance(option, bool) and math.isclose(option, float(given))
    except ValueError:
        return False


def _sorted(trials: list[Trial], sort: str, columns: Columns) -> list[Trial]:
    """By value, then number; those that have none come last, whichever way."""
    name, colon, way = sort.partition(":")
    name = columns.check(name, "column")
    if colon and way not in WAYS:
        raise InputError(f"sort {sort!r}: NAME, NAME:asc or NAME:desc is expected, as in params:desc")
    goal = columns.objectives.get(name)
    down = way == "desc" if colon else goal is not None and goal.maximize

    def key(trial: Trial) -> Any:
        value = columns.value(trial, name)
        number = isinstance(value, int | float)
        return (not number, value if number else 0, str(value))

    lacking = [trial for trial in trials if columns.value(trial, name) is None]
    having = [trial for trial in trials if columns.value(trial, name) is not None]
    return [*sorted(having, key=key, reverse=down), *lacking]
