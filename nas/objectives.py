"""What a search is for: objectives, limits on costs known before training, and who dominates whom."""

from __future__ import annotations

import bisect
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from nas.errors import InputError

DIRECTIONS = {"max": True, "maximize": True, "min": False, "minimize": False}
LIMIT = re.compile(r"^\s*(?P<name>[A-Za-z_]\w*)?\s*(?P<sign><=|>=)\s*(?P<bound>\S+)\s*$")


@dataclasses.dataclass(frozen=True)
class Objective:
    """A metric and which way is better."""

    name: str
    maximize: bool

    @classmethod
    def parse(cls, text: str) -> Objective:
        """From "accuracy:max". Raises: InputError."""
        name, colon, direction = text.partition(":")
        if not colon or not name.isidentifier() or direction not in DIRECTIONS:
            raise InputError(f"objective {text!r}: NAME:max or NAME:min is expected, as in accuracy:max")
        return cls(name, DIRECTIONS[direction])

    def __str__(self) -> str:
        return f"{self.name}:{'max' if self.maximize else 'min'}"

    def loss(self, metrics: Mapping[str, float]) -> float:
        """The value to make small."""
        return -metrics[self.name] if self.maximize else metrics[self.name]


@dataclasses.dataclass(frozen=True)
class Limit:
    """A bound on a metric: on a cost that is known before training, or on what is measured."""

    name: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str, name: str | None = None) -> Limit:
        """From "params<=2e6", or from "<= 2e6" with `name` given. Raises: InputError."""
        match = LIMIT.match(text)
        try:
            bound = float(match["bound"].replace("_", "")) if match else math.nan
        except ValueError:
            bound = math.nan
        if match is None or not math.isfinite(bound) or (match["name"] is None) == (name is None):
            raise InputError(f"limit {text!r}: NAME<=NUMBER or NAME>=NUMBER is expected, as in params<=2e6")
        return cls(match["name"] or str(name), match["sign"], bound)

    def excess(self, costs: Mapping[str, float]) -> float:
        """How far a candidate is over the limit; 0 or less when it keeps it (Optuna's notation of a constraint)."""
        value = costs[self.name]
        return value - self.bound if self.sign == "<=" else self.bound - value

    def __str__(self) -> str:
        bound = int(self.bound) if self.bound.is_integer() and abs(self.bound) < 1e16 else self.bound
        return f"{self.name}{self.sign}{bound}"


def objectives_from(given: Mapping[str, str] | Sequence[str]) -> tuple[Objective, ...]:
    """From {"accuracy": "maximize"} or ["accuracy:max"]. Raises: InputError for none, or one named twice."""
    texts = [f"{name}:{direction}" for name, direction in given.items()] if isinstance(given, Mapping) else list(given)
    objectives = tuple(Objective.parse(text) for text in texts)
    names = [objective.name for objective in objectives]
    if not names:
        raise InputError("no objective: at least one is needed, as in accuracy:max")
    if len(set(names)) < len(names):
        raise InputError(f"an objective is named twice in {', '.join(map(str, objectives))}")
    return objectives


def limits_from(given: Mapping[str, str] | Sequence[str] | None) -> tuple[Limit, ...]:
    """From {"params": "<= 2e6"} or ["params<=2e6"]. Raises: InputError."""
    if isinstance(given, Mapping):
        return tuple(Limit.parse(text, name) for name, text in given.items())
    return tuple(Limit.parse(text) for text in given or ())


def excess(limits: Sequence[Limit], costs: Mapping[str, float]) -> float:
    """How far over its limits a candidate is, each relative to its bound; 0 when it keeps all."""
    return sum(max(0.0, limit.excess(costs)) / max(1e-12, abs(limit.bound)) for limit in limits)


def covers(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether one row of losses is nowhere worse than another; so equal rows cover each other."""
    return all(a <= b for a, b in zip(ours, theirs, strict=True))


def nondominated_ranks(losses: Sequence[Sequence[float]]) -> list[int]:
    """For each row 0 when no other dominates it, 1 when only rows of rank 0 do, and so on (all values to be small).

    Equal rows have equal ranks. The sequential search of Zhang et al., An Efficient Approach to Nondominated Sorting
    for Evolutionary Multiobjective Optimization, 2015; by bisection where there are two values.
    """
    ranks = [0] * len(losses)
    fronts: list[list[Sequence[float]]] = []
    before: tuple[float, ...] | None = None
    rank = 0
    for index in sorted(range(len(losses)), key=lambda index: tuple(losses[index])):
        row = tuple(losses[index])
        if row != before:
            if len(row) == 2:  # rows come by the first value, so the last of a front has the least of the second
                rank = bisect.bisect_right([members[-1][1] for members in fronts], row[1])
            else:
                found = (at for at, members in enumerate(fronts) if not any(covers(other, row) for other in members))
                rank = next(found, len(fronts))
            if rank == len(fronts):
                fronts.append([])
            fronts[rank].append(row)
        before, ranks[index] = row, rank
    return ranks


def front(losses: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the rows that no other row dominates (all values to be small); of equal rows the first stays."""
    kept: list[int] = []
    best = math.inf  # of the second of two values, so far
    for index in sorted(range(len(losses)), key=lambda index: tuple(losses[index])):
        row = losses[index]
        if len(row) == 2:
            if not kept or row[1] < best:
                kept.append(index)
                best = row[1]
            continue
        if not any(covers(losses[other], row) for other in kept):
            kept.append(index)
    return sorted(kept)
