"""The volume that a set of points dominates, exact in any number of dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nas.objectives import front

Point = Sequence[float]

MARGIN = 0.1  # by which a reference point is worse than the worst, in units of the range


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume of what lies between `points` and `reference`, all values to be small.

    Points that are not below the reference everywhere add nothing. One dimension gives the distance of the best, two a
    sweep; from three on it is WFG (While, Bradstreet & Barone, "A fast way of calculating exact hypervolumes", IEEE
    TEVC 16(1), 2012), exponential in the worst case and quick for the fronts of a search.
    """
    inside = [tuple(point) for point in points if all(x < r for x, r in zip(point, reference, strict=True))]
    return _volume(_front(inside), tuple(reference))


def scaled(points: Sequence[Point], everybody: Sequence[Point]) -> list[list[float]]:
    """Every value in units of its range over `everybody`, from the least there: 0 to 1 for points among them."""
    columns = list(zip(*everybody, strict=True))
    lows, units = [min(column) for column in columns], [max(column) - min(column) or 1.0 for column in columns]
    return [[(x - low) / unit for x, low, unit in zip(point, lows, units, strict=True)] for point in points]


def covering(points: Sequence[Point], reference: Point, count: int, begun: Sequence[int] = ()) -> list[int]:
    """Indices of up to `count` points, each adding the most volume to those before it; none that adds nothing.

    Those `begun` with come first, whatever they add. Without such the greedy choice has at least 63 % of the volume of
    the best choice of as many (Nemhauser, Wolsey & Fisher, "An analysis of approximations for maximizing submodular set
    functions", 1978).
    """
    chosen = [*begun][:count]
    while len(chosen) < count:
        before = [points[index] for index in chosen]
        gains = [hypervolume([*before, point], reference) - hypervolume(before, reference) for point in points]
        best = max(range(len(points)), key=gains.__getitem__, default=None)
        if best is None or gains[best] <= 0:
            break
        chosen.append(best)
    return chosen


def _front(points: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Without the dominated and the equal ones, in rising order of the first value."""
    return sorted(points[index] for index in front(points))


def _volume(inside: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - inside[0][0]
    if len(reference) == 2:
        return _area(inside, reference)
    return sum(_exclusive(point, inside[index + 1 :], reference) for index, point in enumerate(inside))


def _area(inside: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    """Strips from left to right: along a front the second value falls as the first rises."""
    total, above = 0.0, reference[1]
    for x, y in inside:
        total += (reference[0] - x) * (above - y)
        above = y
    return total


def _exclusive(point: tuple[float, ...], rest: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    """What `point` dominates and none of `rest` does."""
    box = math.prod(r - x for x, r in zip(point, reference, strict=True))
    worse = [tuple(max(a, b) for a, b in zip(point, other, strict=True)) for other in rest]
    return box - _volume(_front(worse), reference)
