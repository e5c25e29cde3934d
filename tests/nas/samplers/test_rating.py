"""How candidates are rated: by what is measured, what is known, what runs and what is limited."""

import random

import numpy as np
import pytest
from surrogates import LAYERS, accuracy, macs

from nas.feasible import Pricing
from nas.objectives import objectives_from
from nas.samplers import Outcome
from nas.samplers.candidates import Candidates
from nas.samplers.evidence import Evidence
from nas.samplers.rating import Rating

MAKER = Candidates(Pricing(LAYERS, macs, ()), random.Random(0))


def some(count, seed=0):
    rng = random.Random(seed)
    return MAKER.of([LAYERS.sample(rng) for _ in range(count)])


def values(candidate, goals):
    known = {"accuracy": accuracy(LAYERS.decode(candidate.genome)), **candidate.costs}
    known["latency"] = known["macs"] ** 0.5
    return [known[goal.split(":")[0]] for goal in goals]


def rating_of(goals, count=40, limits=lambda candidate: ()):
    objectives = objectives_from(list(goals))
    evidence = Evidence(np.array([-1.0 if objective.maximize else 1.0 for objective in objectives]))
    for handle, candidate in enumerate(some(count)):
        evidence.end(handle, candidate, Outcome(values(candidate, goals), limits(candidate)))
    return Rating(MAKER.columns, objectives, ("macs",), evidence)


GOALS = [
    ("accuracy:max",), ("accuracy:max", "macs:min"), ("macs:max", "accuracy:min"), ("accuracy:max", "latency:min"),
    ("accuracy:max", "latency:min", "macs:min"),
]  # fmt: skip


@pytest.mark.parametrize("goals", GOALS)
def test_gains_are_higher_for_what_adds_more(goals):
    rating, asked = rating_of(goals, 80), some(150, 1)

    gains = rating.gains(asked, [])

    signs = [1 if goal.endswith("max") else -1 for goal in goals]
    true = np.array([values(each, goals) for each in asked]) * signs
    dominated = [sum((other >= row).all() and (other > row).any() for other in true) for row in true]
    order = np.argsort(-gains)
    assert (gains >= 0).all()
    assert np.mean([dominated[index] for index in order[:10]]) < 0.25 * np.mean(dominated)


@pytest.mark.parametrize("goals", GOALS)
def test_what_runs_lowers_the_gain_of_its_neighbours(goals):
    rating, asked = rating_of(goals), some(100, 1)
    before = rating.gains(asked, [])
    top = asked[int(np.argmax(before))]

    after = rating.gains([top, *asked], [top])

    near = [index for index, each in enumerate(asked) if before[index] > 0.3]
    assert after[0] < 0.5 * after.max()
    assert len(near) < 60
    assert np.argmax(after[1:]) != np.argmax(before)


def test_an_objective_that_is_known_is_not_modelled():
    assert list(rating_of(("accuracy:max", "macs:min"))._models) == [0]
    assert list(rating_of(("macs:min", "latency:min"))._models) == [1]
    assert rating_of(("accuracy:max",)).modelled
    assert not rating_of(("macs:min",)).modelled


@pytest.mark.parametrize("count", [0, 30])
def test_where_all_is_known_the_best_is_rated_highest(count):
    cheapest = MAKER.of([LAYERS.encode({**LAYERS.decode((0,) * 12), "norm3": "batch"})])

    gains = rating_of(("macs:min",), count).gains([*some(50, 1), *cheapest, *some(50, 2)], [])

    assert np.argmax(gains) == 50


def over(candidate):
    """A limit that only a training tells about: few genes of attention."""
    return (float(sum(LAYERS.decode(candidate.genome)[f"mixer{index}"] == "attention" for index in range(4))) - 1.5,)


def test_what_is_likely_over_a_limit_is_rated_low():
    free, limited = (rating_of(("accuracy:max",), 60, limits) for limits in (lambda each: (), over))
    asked = some(200, 1)

    broken = []
    for rating in (free, limited):
        top = np.argsort(-rating.gains(asked, []))[:10]
        broken.append(np.mean([over(asked[index])[0] > 0 for index in top]))

    assert broken[0] > 0.4
    assert broken[1] < 0.5 * broken[0]


def test_where_nothing_keeps_the_limits_what_is_likeliest_to_keep_them_is_rated_highest():
    """The limit is a number of channels that no result came near."""
    rating = rating_of(("accuracy:max",), 40, lambda each: (each.costs["macs"] - 5,))
    asked = some(200, 1)

    gains = rating.gains(asked, [])

    top = np.argsort(-gains)[:10]
    assert np.mean([asked[index].costs["macs"] for index in top]) < 0.6 * np.mean(
        [each.costs["macs"] for each in asked]
    )


@pytest.mark.parametrize("excess", [float("nan"), float("inf")])
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::sklearn.exceptions.ConvergenceWarning")
def test_results_that_are_all_over_a_limit_by_no_number_leave_candidates_alike(excess):
    gains = rating_of(("accuracy:max",), 20, lambda each: (excess,)).gains(some(30, 1), [])

    assert (gains == 1).all()


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "latency:min"), ("latency:max", "macs:min")])
def test_the_order_does_not_depend_on_the_unit(goals, scale):
    objectives = objectives_from(list(goals))
    evidence = Evidence(np.array([-1.0 if objective.maximize else 1.0 for objective in objectives]))
    for handle, candidate in enumerate(some(40)):
        first, *rest = values(candidate, goals)
        evidence.end(handle, candidate, Outcome([scale * first, *rest]))
    asked = some(60, 1)

    gains = Rating(MAKER.columns, objectives, ("macs",), evidence).gains(asked, [])

    reference = rating_of(goals).gains(asked, [])
    assert gains == pytest.approx(reference, abs=0.02)
