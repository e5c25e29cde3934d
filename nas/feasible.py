"""Finding candidates within limits on known costs: by drawing, and by moving down from what is over them."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nas.errors import InputError, NasError, SpaceError
from nas.objectives import Limit, excess
from nas.rare import Rare
from nas.space import Genome, Space

Costs = Callable[[Any], Mapping[str, float]]
"""From a candidate to what it is known to cost: exact, and cheap to ask for."""

Scores = Callable[[Any], Mapping[str, float]]
"""From a candidate to scores of it untrained, too slow to ask for all; one that it cannot have is left out."""

DRAWS = 256  # candidates drawn for an estimate or as starting points
STEPS = 400  # mutations tried on the way down
TWICE = 0.25  # share of the steps that mutate twice
TRIES = 300  # draws before a share of the space is believed in, and at most for one candidate
ENOUGH = 0.01  # share within the limits from which on candidates are drawn and rejected


@dataclasses.dataclass(frozen=True)
class Priced:
    """A candidate with its known costs and how far it is over the limits (0: within).

    `over` are the excesses over limits on what is measured before training; empty until it is, see `nas.measuring`.
    """

    genome: Genome
    candidate: Any
    costs: Mapping[str, float]
    excess: float
    over: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Feasibility:
    """What a sample says about a space under limits.

    Attributes:
        share: part of the sampled candidates within the limits.
        estimate: part of the space within them: the same, or what `nas.rare.Rare` says where none was sampled.
        nearest: the candidate that is least over them (within, where one was found).
        ranges: smallest and largest known cost in the sample, by name.
    """

    share: float
    estimate: float
    nearest: Priced
    ranges: Mapping[str, tuple[float, float]]


class Pricing:
    """Known costs and limits over one space."""

    def __init__(self, space: Space, costs: Costs | None, limits: Sequence[Limit]) -> None:
        """Raises: InputError for a limit on what `costs` does not return."""
        self.space, self.limits, self._costs = space, tuple(limits), costs
        self._drawn, self._kept = 0, 0
        self._rare: Rare | None = None
        sample = self.price(space.sample(random.Random(0)), check=False)
        self.known = tuple(sample.costs)
        for limit in self.limits:
            if limit.name not in self.known:
                known = ", ".join(self.known) or "none, since no costs function was given"
                raise InputError(
                    f"limit {str(limit)!r}: {limit.name!r} is no cost known before training; known: {known}"
                )

    def price(self, genome: Sequence[int], *, check: bool = True) -> Priced:
        """Decode and cost a genome. Raises: ArchitectureError for an illegal one."""
        genome = self.space.canonical(genome)
        candidate = self.space.decode(genome)
        costs = self.price_of(candidate)
        return Priced(genome, candidate, costs, excess(self.limits, costs) if check else 0.0)

    def price_of(self, candidate: Any) -> Mapping[str, float]:
        """The known costs of a candidate."""
        return numbers("costs", self._costs, candidate) if self._costs else {}

    def within(self, candidate: Any) -> bool:
        """Whether a candidate is within the limits."""
        return excess(self.limits, self.price_of(candidate)) == 0

    def draw(self, rng: random.Random) -> Priced | None:
        """A candidate within the limits, spread as `Space.sample` spreads them there; None when none is found.

        Where 1 candidate in 100 is within the limits, candidates are drawn until one is. Below that they come from
        `nas.rare.Rare`, which is slow the first time: some thousand candidates are priced then, and some dozen for each
        one drawn later. What was drawn before is remembered, so the same `rng` may lead to other candidates.
        """
        if self._drawn < TRIES or self._kept >= ENOUGH * self._drawn:
            for _ in range(TRIES):
                priced = self._sampled(rng)
                if not priced.excess:
                    return priced
        if self._rare is None:
            self._rare = Rare(self.space, self.price, rng)
        if self._rare.share:
            return self._rare.draw(rng)
        walked = self.walk_down(self.price(self.space.sample(rng)), rng, lambda _: True)
        return None if walked.excess else walked

    def walk_down(self, start: Priced, rng: random.Random, wanted: Callable[[Priced], bool]) -> Priced:
        """Mutate towards the limits until `wanted`; the nearest seen when the steps run out."""
        here = start
        for _ in range(STEPS):
            if here.excess == 0 and wanted(here):
                return here
            try:
                genome = self.space.mutate(here.genome, rng)
                if rng.random() < TWICE:  # out of dead ends between limits against each other
                    genome = self.space.mutate(genome, rng)
            except SpaceError:
                break
            there = self.price(genome)
            if there.excess <= here.excess:
                here = there
        return here

    def _sampled(self, rng: random.Random) -> Priced:
        """A candidate as it comes, remembered in the share within the limits."""
        priced = self.price(self.space.sample(rng))
        self._drawn += 1
        self._kept += priced.excess == 0
        return priced

    def survey(self, seed: int = 0) -> Feasibility:
        """Sample the space; when nothing drawn is within the limits, move down to them.

        What it finds is remembered for `draw`.
        """
        rng = random.Random(seed)
        drawn = sorted((self._sampled(rng) for _ in range(DRAWS)), key=_over)
        share = sum(priced.excess == 0 for priced in drawn) / len(drawn)
        estimate, nearest = share, drawn[0]
        if nearest.excess:
            rare = Rare(self.space, self.price, rng)
            self._rare = self._rare or rare
            estimate, nearest = rare.share, rare.nearest
        if nearest.excess:
            nearest = min((self.walk_down(start, rng, lambda _: True) for start in (nearest, *drawn[:3])), key=_over)
        ranges = {name: _range([priced.costs[name] for priced in drawn]) for name in self.known}
        return Feasibility(share, estimate, nearest, ranges)

    def require_feasible(self, seed: int = 0) -> Feasibility:
        """The survey. Raises: InputError naming the nearest candidate when nothing within the limits was found."""
        survey = self.survey(seed)
        if survey.nearest.excess:
            broken = [limit for limit in self.limits if limit.excess(survey.nearest.costs) > 0]
            found = ", ".join(f"{limit.name}={survey.nearest.costs[limit.name]:,.6g}" for limit in self.limits)
            raise InputError(f"no architecture found within {', '.join(map(str, broken))}; the nearest has {found}")
        return survey


def _over(priced: Priced) -> float:
    return priced.excess


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def numbers(
    what: str, function: Callable[[Any], Mapping[str, float]], candidate: Any, *, finite: bool = True
) -> dict[str, float]:
    """What `function` tells of a candidate, by name.

    Raises: InputError, with `what` the function is called, when it fails or tells of anything but (`finite`) numbers.
    """
    try:
        found = {str(name): float(value) for name, value in function(candidate).items()}
    except NasError:
        raise
    except Exception as error:
        raise InputError(f"{what} failed for {candidate!r}: {type(error).__name__}: {error}") from error
    for name, value in found.items():
        if finite and not math.isfinite(value):
            raise InputError(f"{what} returned {name}={value} for {candidate!r}; finite numbers are expected")
    return found
