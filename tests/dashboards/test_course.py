"""Progress, rungs and their cost, and the front."""

import pytest
from accounts import account, record, trial

from dashboards.course import MOST_CURVES, Rung, climb, courses
from dashboards.fronts import front_of
from nas.companions import BASELINE, PUBLISHED
from nas.trial import Source, State


def test_steps_are_where_the_best_rose_with_the_hours_paid_by_then():
    trials = [
        trial(0, accuracy=0.5, seconds=3600), trial(1, accuracy=0.4, seconds=1800), trial(2, State.FAIL, seconds=1800),
        trial(3, accuracy=0.8, seconds=900, source=Source.REUSED), trial(4, accuracy=0.9, seconds=None),
    ]  # fmt: skip

    (found,) = courses(account(trials))

    assert [(step.trainings, step.hours, step.value, step.trial) for step in found.steps] == [
        (1, 1.0, 0.5, 0), (3, 2.0, 0.8, 3), (4, 2.0, 0.9, 4),
    ]  # fmt: skip
    assert (found.trainings, found.hours) == (4, 2.0)


def test_the_hypervolume_of_two_objectives_is_in_the_scale_that_both_studies_share():
    ours = [trial(0, accuracy=1.0, macs=10.0), trial(1, accuracy=0.0, macs=0.0)]
    theirs = record([trial(0, accuracy=1.0, macs=0.0)], objectives=["accuracy:max", "macs:min"])

    mine, random = courses(account(ours, companions={BASELINE: theirs}, objectives=["accuracy:max", "macs:min"]))

    assert [step.value for step in mine.steps] == pytest.approx([0.11, 0.11 + 0.11 - 0.01])
    assert [step.value for step in random.steps] == pytest.approx([1.1 * 1.1])


def test_epochs_are_counted_at_the_rung_that_they_lead_to():
    trials = [
        trial(0, accuracy=0.9, stop=9, curve={1: {"accuracy": 0.1}, 9: {"accuracy": 0.9}}),
        trial(1, State.PRUNED, stop=3, curve={1: {"accuracy": 0.1}, 3: {"accuracy": 0.2}}),
        trial(2, State.PAUSED, stop=1, curve={1: {"accuracy": 0.1}}),
        trial(3, State.FAIL, stop=3, curve={1: {"accuracy": 0.1}, 2: {"accuracy": 0.1}}),
    ]

    found = climb(record(trials, epochs=[1, 9], rungs={"factor": 3, "brackets": 1}))

    assert found.rungs == (Rung(1, 4, 1, 0, 4, 4 / 15), Rung(3, 2, 0, 1, 5, 5 / 15), Rung(9, 1, 0, 0, 6, 6 / 15))
    assert (found.epochs, found.epochs_full) == (15, 36)
    assert [(curve.trial, curve.state) for curve in found.curves] == [
        (0, "complete"), (1, "pruned"), (2, "paused"), (3, "fail"),
    ]  # fmt: skip


def test_of_many_curves_some_are_drawn_half_of_them_complete():
    curve = {1: {"accuracy": 0.1}, 2: {"accuracy": 0.2}}
    trials = [
        trial(number, State.COMPLETE if number % 4 else State.PRUNED, stop=2, curve=curve, accuracy=0.2)
        for number in range(1000)
    ]

    found = climb(record(trials, epochs=[2, 2]))

    assert (len(found.curves), found.drawn_from) == (MOST_CURVES, 1000)
    assert sum(curve.state == "complete" for curve in found.curves) == MOST_CURVES // 2
    assert len({curve.trial for curve in found.curves}) == MOST_CURVES


def test_with_one_objective_the_front_is_against_the_cost_that_is_limited():
    trials = [
        trial(0, accuracy=0.9, params=8.0, macs=1.0), trial(1, accuracy=0.7, params=4.0, macs=9.0),
        trial(2, accuracy=0.6, params=5.0, macs=1.0), trial(3, accuracy=0.99, params=11.0, macs=1.0),
        trial(4, State.FAIL, params=1.0),
    ]  # fmt: skip
    families = record([trial(0, accuracy=0.8, params=3.0)])

    found = front_of(account(trials, companions={PUBLISHED: families}, limits=["params<=10"]))

    assert (found.cost, found.bound, found.objectives) == ("params", 10.0, ("accuracy:max", "params:min"))
    assert [member.trial for member in found.members] == [0, 1]
    assert [(point.trial, point.within, point.front) for point in found.points] == [
        (0, True, True), (1, True, True), (2, True, False), (3, False, False),
    ]  # fmt: skip
    assert [point.y for point in found.published] == [0.8]


def test_a_study_without_a_known_cost_has_no_front():
    assert front_of(account([trial(0, accuracy=0.9)])) is None
