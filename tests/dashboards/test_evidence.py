"""Which metric is judged, at which budget, and how far it is to be trusted."""

import pytest
from accounts import TRAINED, record, trial
from scipy.stats import binomtest

from dashboards.evidence import (
    Measured,
    common_parts,
    costs_of,
    difference,
    images_of,
    judge_of,
    telling_level,
    values_at,
)
from nas.intervals import wilson
from nas.trial import State

TWO = ["macs:min", "accuracy:max"]


def test_the_judge_is_the_first_objective_that_training_changes():
    trials = [trial(0, accuracy=0.5, macs=3.0, joules=2.0), trial(1, State.FAIL, macs=2.0, joules=1.0)]

    assert judge_of(record(trials, objectives=TWO)).name == "accuracy"
    assert judge_of(record(trials, objectives=["joules:min", "accuracy:max"])).name == "accuracy"
    assert judge_of(record(trials, objectives=["macs:min"])).name == "macs"


def test_what_is_limited_comes_first_among_the_costs_and_the_judge_is_none():
    trials = [trial(0, accuracy=0.5, macs=3.0, params=4.0)]

    assert costs_of(record(trials, limits=["params<=9", "accuracy>=0.1"])) == ["params", "macs"]


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (20, 20), (342, 359), (1, 3)])
def test_wilsons_interval_is_the_one_of_scipy(hits, count):
    theirs = binomtest(hits, count).proportion_ci(method="wilson")

    assert wilson(hits, count) == pytest.approx((theirs.low, theirs.high))


def test_the_difference_of_two_shares_is_newcombes_published_example():
    """Newcombe 1998, table II, (a): 56/70 - 48/80, method 10: 0.0524 to 0.3339."""
    first = Measured(56 / 70, *wilson(56, 70), "images", 70)
    second = Measured(48 / 80, *wilson(48, 80), "images", 80)

    assert difference(first, second) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference(first, Measured(0.6, None, None, "none", 1)) is None


def test_the_number_of_images_is_the_least_that_all_accuracies_are_multiples_of():
    assert common_parts([342 / 359, 340 / 359, 100 / 359]) == 359
    assert common_parts([0.5, 1 / 3]) == 6
    assert common_parts([0.1234567891234]) is None
    assert common_parts([1.5, 0.5]) is None
    assert common_parts([1.0]) is None
    assert common_parts([]) is None


def test_images_are_inferred_from_curves_too_but_only_of_our_own_training():
    trials = [trial(0, accuracy=0.5, curve={1: {"accuracy": 2 / 7}})]

    assert images_of(record(trials, **TRAINED)) == 14
    assert images_of(record(trials, evaluate="mine:evaluate")) is None


def test_values_at_a_rung_are_of_those_that_came_there():
    trials = [
        trial(0, accuracy=0.9, stop=3, curve={1: {"accuracy": 0.4}, 3: {"accuracy": 0.8}}),
        trial(1, State.PRUNED, stop=1, curve={1: {"accuracy": 0.3}}),
        trial(2, State.FAIL, stop=3, curve={1: {"accuracy": 0.2}}),
    ]

    assert values_at(trials, "accuracy", 1) == {0: 0.4, 1: 0.3}
    assert values_at(trials, "accuracy", 3) == {0: 0.9}


def test_choices_are_judged_at_the_highest_rung_with_enough_networks():
    half = [trial(n, State.PRUNED, curve={1: {"accuracy": 0.1}}) for n in range(3)]
    whole = [trial(n, accuracy=0.9, stop=3, curve={1: {"accuracy": 0.4}}) for n in range(3, 5)]
    study = record([*half, *whole], epochs=[1, 3], rungs={"factor": 3, "brackets": 1})

    assert telling_level(study, "accuracy", fewest=2) == 3
    assert telling_level(study, "accuracy", fewest=4) == 1
    assert telling_level(study, "accuracy", fewest=20) == 1
