"""What a few repetitions say: a mean with its interval, by Student's t. No numpy."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean of some values.

    Attributes:
        count: how many values. mean, low, high: of the interval that holds the true mean with 95 % confidence if the
            values are independent and near normal; of one value, low and high are None.
        smallest, largest: of the values.
    """

    count: int
    mean: float
    low: float | None
    high: float | None
    smallest: float
    largest: float

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is above or below 0; 0 where it is not, or there is none."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def interval(values: Sequence[float]) -> Interval:
    """The mean of at least one value: mean +- t s / sqrt(n), with n - 1 degrees of freedom. Raises: ValueError."""
    if not values:
        raise ValueError("an interval of no values")
    mean, count = statistics.fmean(values), len(values)
    low = high = None
    if count > 1:
        half = t_quantile(1 - (1 - LEVEL) / 2, count - 1) * statistics.stdev(values) / math.sqrt(count)
        low, high = mean - half, mean + half
    return Interval(count, mean, low, high, min(values), max(values))


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `right` of `total` were seen (Wilson 1927).

    About chance in which images were drawn, for one network; not about another training of it.
    Raises: ValueError for no total.
    """
    if total < 1:
        raise ValueError("an interval of no images")
    z = statistics.NormalDist().inv_cdf(1 - (1 - LEVEL) / 2)
    share, weight = right / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def t_quantile(share: float, freedom: int) -> float:
    """The value below which a `share` in [0.5, 1) of Student's t with so many degrees of freedom lies."""
    low, high = 0.0, 1.0
    while t_share(high, freedom) < share:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_share(middle, freedom) < share else (low, middle)
    return high


def t_share(value: float, freedom: int) -> float:
    """The share of Student's t at or below a value, as the finite sums for whole degrees of freedom.

    Abramowitz & Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.
    """
    angle = math.atan(value / math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term, total = cosine if odd else 1.0, 0.0
    for step in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (step - 1) / step
    within = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return 0.5 + within / 2
