"""What each choice did: the networks that took an option, and how good they were."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from nas.objectives import Objective
from nas.store.accounts import Choice
from nas.template import Scalar
from nas.wording import quantity

MOST_OPTIONS = 12  # of numbers; more are put together in ranges
RANGES = 6


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a gene, or a range of options.

    Attributes:
        label: what it is called. count: networks that took it. mean, low, high: of the judged metric, with the 95 %
            interval by Student's t (None with one network). median, best: of the metric. trial: the best.
    """

    label: str
    count: int
    mean: float
    low: float | None
    high: float | None
    median: float
    best: float
    trial: int


@dataclasses.dataclass(frozen=True)
class Effect:
    """A gene: its path, networks that use it, and its options with at least one network, in their order."""

    gene: str
    count: int
    options: tuple[Option, ...]


def effects(
    choices: Sequence[Choice],
    taken: Mapping[int, Mapping[str, Scalar]],
    values: Mapping[int, float],
    objective: Objective,
) -> tuple[Effect, ...]:
    """One for each gene that some network with a value uses, in the order of the genes."""
    found = []
    for choice in choices:
        rows = [(taken[number][choice.path], number) for number in values if choice.path in taken.get(number, {})]
        if not rows:
            continue
        groups: dict[str, list[int]] = {}
        for label, options in _labels(choice, {option for option, _ in rows}).items():
            members = [number for option, number in rows if option in options]
            if members:
                groups[label] = members
        options_ = tuple(_option(label, members, values, objective) for label, members in groups.items())
        found.append(Effect(choice.path, len(rows), options_))
    return tuple(found)


def _labels(choice: Choice, seen: set[Scalar]) -> dict[str, set[Scalar]]:
    """What is told apart, in order; many numbers in ranges with as many options each."""
    options = [option for option in choice.options if option in seen]
    if not choice.ordered or len(options) <= MOST_OPTIONS:
        return {str(option): {option} for option in options}
    parts = np.array_split(np.arange(len(options)), RANGES)
    rows = [[options[index] for index in part] for part in parts]
    return {f"{_number(row[0])} to {_number(row[-1])}": set(row) for row in rows}


def _number(option: Scalar) -> str:
    return quantity(option) if isinstance(option, int | float) else str(option)


def _option(label: str, members: Sequence[int], values: Mapping[int, float], objective: Objective) -> Option:
    row = np.array([values[number] for number in members])
    best = min(members, key=lambda number: (objective.loss({objective.name: values[number]}), number))
    mean, low, high = float(row.mean()), None, None
    if len(row) > 1:
        half = float(stats.t.ppf(0.975, len(row) - 1)) * float(row.std(ddof=1)) / math.sqrt(len(row))
        low, high = mean - half, mean + half
    return Option(label, len(row), mean, low, high, float(np.median(row)), values[best], best)
