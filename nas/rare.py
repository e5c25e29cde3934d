"""Candidates within limits that drawing almost never meets.

Subset simulation (Au and Beck, "Estimation of small failure probabilities in high dimensions by subset simulation",
Probabilistic Engineering Mechanics 16, 2001): of many drawn candidates those least over the limits are kept, multiplied
and moved at random no further over the limits than they are, again and again until they are within. The moves are
Metropolis steps that leave `Space.sample`'s distribution as it is, so that what comes out is spread as drawing and
rejecting would spread it, and the shares kept multiply to the share of the space within the limits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nas.errors import ArchitectureError
from nas.space import Genome, Space

if TYPE_CHECKING:
    from nas.feasible import Priced

POINTS = 64  # candidates on their way at once
KEPT = 16  # of them that are multiplied at each level
LEVELS = 60  # more are not tried; 20 are enough for 1 in 10^12
STALLED = 4  # levels without progress after which no more are tried
MOVES = 24  # between two candidates drawn from one point, at least; a third of them at each level
STEP = 0.5  # share of the moves in an ordered gene that go to the next option
PAIRS = 0.5  # share of the moves in two genes: limits against each other leave no way for one


class _Point(NamedTuple):
    """A candidate on its way. `options` is its genome with an option in unused genes too, `used` tells them apart."""

    options: Genome
    used: list[bool]
    priced: Priced


class Rare:
    """Candidates within the limits, each drawn one a little away from another.

    Attributes:
        share: estimated part of the space within the limits, as `Space.sample` draws it, within a factor of two or
            three; 0 when nothing was found.
        nearest: the candidate that is least over the limits.
    """

    def __init__(self, space: Space, price: Callable[[Sequence[int]], Priced], rng: random.Random) -> None:
        self._space, self._price = space, price
        self._free = [index for index, gene in enumerate(space.genes) if len(gene.options) > 1]
        self._points = [self._drawn(rng) for _ in range(POINTS)]
        self.share = self._descend(rng)
        self.nearest = min((point.priced for point in self._points), key=lambda priced: priced.excess)

    def draw(self, rng: random.Random) -> Priced | None:
        """A candidate within the limits; None when nothing was found."""
        if not self.share:
            return None
        index = rng.randrange(len(self._points))
        self._points[index] = self._moved(self._points[index], rng, 0.0, max(MOVES, len(self._space)))
        return self._points[index].priced

    def _drawn(self, rng: random.Random) -> _Point:
        options = self._space.fill(self._space.sample(rng), rng)
        return _Point(options, self._space.active(options), self._price(options))

    def _descend(self, rng: random.Random) -> float:
        """Bring the points within the limits; returns the share of the space that is."""
        share, last, stalled = 1.0, float("inf"), 0
        for _ in range(LEVELS):
            level = self._level()
            kept = [point for point in self._points if point.priced.excess <= level]
            share *= len(kept) / len(self._points)
            moves = max(MOVES, len(self._space)) // 3
            self._points = [self._moved(kept[index % len(kept)], rng, level, moves) for index in range(POINTS)]
            if level == 0:
                return share
            stalled = 0 if level < last else stalled + 1
            last = level
            if stalled == STALLED:
                break
        return 0.0

    def _level(self) -> float:
        """The excess that the best keep; below that of the others, where there are others."""
        excesses = sorted(point.priced.excess for point in self._points)
        level = excesses[KEPT - 1]
        below = [excess for excess in excesses if excess < excesses[-1]]
        return below[-1] if level == excesses[-1] and below else level

    def _moved(self, point: _Point, rng: random.Random, level: float, moves: int) -> _Point:
        for _ in range(moves):
            change = self._change(point.options, rng)
            if change is None:
                continue
            options = tuple(change.get(index, option) for index, option in enumerate(point.options))
            if not any(point.used[index] for index in change):
                point = point._replace(options=options)
                continue
            try:
                priced = self._price(options)
            except ArchitectureError:
                continue
            if priced.excess <= level:
                point = _Point(options, self._space.active(options), priced)
        return point

    def _change(self, options: Genome, rng: random.Random) -> dict[int, int] | None:
        """Other options for some genes, used or not, as likely as the way back; None for a step that leads nowhere."""
        change = {}
        several = len(self._free) > 1 and rng.random() < PAIRS
        for index in rng.sample(self._free, min(len(self._free), 1 + several)):
            gene, option = self._space.genes[index], options[index]
            if gene.ordered and rng.random() < STEP:
                change[index] = option + rng.choice((-1, 1))
                if change[index] not in gene.near(option):
                    return None
            else:
                change[index] = rng.choice(gene.others(option))
        return change
