"""Intervals against tables and samples worked out by hand."""

import math
import random
import statistics

import pytest

from nas.intervals import interval, t_quantile, t_share, wilson

TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 99: 1.984}  # 97.5 %


@pytest.mark.parametrize(("freedom", "quantile"), TABLE.items())
def test_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_quantile(0.975, freedom) == pytest.approx(quantile, abs=5e-4)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 24])
def test_the_share_is_the_integral_of_the_density(freedom):
    constant = math.gamma((freedom + 1) / 2) / math.sqrt(freedom * math.pi) / math.gamma(freedom / 2)
    steps, width = 2000, 1.7 / 2000
    density = [constant * (1 + ((i + 0.5) * width) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps)]

    assert t_share(1.7, freedom) == pytest.approx(0.5 + sum(density) * width, abs=1e-6)
    assert t_share(-1.7, freedom) == pytest.approx(1 - t_share(1.7, freedom))
    assert t_share(0.0, freedom) == 0.5


def test_an_interval_by_hand():
    found = interval([1.0, 2.0, 3.0])

    assert (found.count, found.mean, found.smallest, found.largest) == (3, 2.0, 1.0, 3.0)
    assert found.high - 2 == pytest.approx(2 - found.low) == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert found.sign == 0


def test_the_sign_is_that_of_an_interval_without_0():
    assert interval([1.0, 1.1, 1.2]).sign == 1
    assert interval([-1.0, -1.1, -1.2]).sign == -1
    assert interval([0.5, 0.5]).sign == 1
    assert interval([0.0, 0.0]).sign == 0


def test_one_value_has_no_interval_and_none_is_an_error():
    found = interval([0.7])

    assert (found.mean, found.low, found.high, found.sign) == (0.7, None, None, 0)
    with pytest.raises(ValueError, match="no values"):
        interval([])


def test_intervals_of_normal_samples_hold_the_true_mean_as_often_as_they_say():
    rng, rounds = random.Random(0), 2000

    held = [interval([rng.gauss(3, 2) for _ in range(5)]) for _ in range(rounds)]

    share = statistics.fmean(found.low <= 3 <= found.high for found in held)
    assert abs(share - 0.95) < 4 * math.sqrt(0.95 * 0.05 / rounds)


@pytest.mark.parametrize(("right", "count"), [(0, 10), (1, 10), (5, 10), (81, 263), (357, 359), (10, 10)])
def test_wilsons_ends_are_the_shares_that_lie_just_so_far_from_what_was_seen(right, count):
    share = right / count

    for end in wilson(right, count):
        assert abs(share - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / count), abs=1e-6)
    low, high = wilson(right, count)
    assert 0 <= low <= share <= high <= 1


def test_wilsons_interval_of_newcombes_example():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I


@pytest.mark.parametrize(("right", "count"), [(-1, 3), (4, 3), (0, 0)])
def test_no_interval_of_what_is_no_share(right, count):
    with pytest.raises(ValueError, match="right of"):
        wilson(right, count)
