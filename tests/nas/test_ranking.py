"""Who is best and on the front: only what keeps every limit; and the nearest where nothing does."""

import math

import pytest

from nas.jobs import Budget
from nas.objectives import limits_from, objectives_from
from nas.ranking import broken, nearest, pareto, ranked, shortfall, violation
from nas.trial import State, Trial

ONE, TWO = objectives_from(["accuracy:max"]), objectives_from(["accuracy:max", "macs:min"])
LIMITS = limits_from(["accuracy>=0.5", "loss<=2"])


def trial(number, state=State.COMPLETE, **metrics):
    return Trial(
        number=number, genome=(0,), candidate={}, digest=str(number), state=state, origin="random", attempt=1,
        metrics=metrics, budget=Budget(0, 1, 0, "cpu", ""),
    )  # fmt: skip


TRIALS = [
    trial(0, accuracy=0.9, macs=9.0, loss=3.0),
    trial(1, accuracy=0.6, macs=5.0, loss=2.0),
    trial(2, accuracy=0.8, macs=7.0, loss=1.0),
    trial(3, accuracy=0.1, macs=1.0, loss=1.0),
    trial(4, accuracy=0.7, macs=8.0, loss=1.0),
    trial(5, State.FAIL, macs=1.0),
    trial(6, accuracy=0.95, macs=2.0),
]


def numbers(trials):
    return [trial.number for trial in trials]


def test_only_complete_trials_within_the_limits_are_ranked():
    assert numbers(ranked(TRIALS, ONE, LIMITS)) == [2, 4, 1]
    assert numbers(ranked(TRIALS, ONE)) == [6, 0, 2, 4, 1, 3]


def test_only_trials_within_the_limits_are_on_the_front_and_none_is_dominated_by_one_over_them():
    assert numbers(pareto(TRIALS, TWO, LIMITS)) == [2, 1]
    assert numbers(pareto(TRIALS, TWO)) == [6, 3]


def test_a_violation_is_relative_to_the_bounds_and_infinite_without_the_metric():
    assert violation(TRIALS[0], LIMITS) == pytest.approx(0.5)
    assert violation(TRIALS[3], LIMITS) == pytest.approx(0.8)
    assert violation(TRIALS[1], LIMITS) == 0
    assert math.isinf(violation(TRIALS[6], LIMITS))
    assert [str(limit) for limit in broken(TRIALS[0], LIMITS)] == ["loss<=2"]


def test_the_nearest_is_least_over_the_limits_and_is_told_with_what_it_has():
    over = [TRIALS[6], TRIALS[3], TRIALS[0], TRIALS[5]]

    found = nearest(over, ONE, LIMITS)

    assert found.number == 0
    assert shortfall(found, LIMITS) == (
        "no trial keeps accuracy>=0.5, loss<=2; the nearest is trial 0 with accuracy=0.9, loss=3"
    )
    assert nearest([TRIALS[5]], ONE, LIMITS) is None
    assert "no loss" in shortfall(nearest([TRIALS[6]], ONE, LIMITS), LIMITS)
