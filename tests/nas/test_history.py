"""Best value and hypervolume training by training, by hand."""

import pytest
from trials import LEAST, ONE, TWO, accuracies, pairs, trial

from nas.history import History, moved, scale_of
from nas.objectives import limits_from
from nas.trial import Source, State


def test_with_one_objective_the_curve_is_the_best_so_far():
    history = History(accuracies(None, 0.5, 0.4, None, 0.7), ONE)

    assert history.trainings == 5
    assert history.curve == [None, 0.5, 0.5, 0.5, 0.7]
    assert (history.value(0), history.value(), history.measure) == (None, 0.7, "acc")
    assert (history.newest.trial.number, history.newest.ago) == (4, 0)


def test_what_is_to_be_small_is_compared_the_other_way():
    history = History([trial(0, loss=2.0), trial(1, loss=1.0), trial(2, loss=1.5)], LEAST)

    assert history.curve == [2.0, 1.0, 1.0]
    assert (history.reached(1.2), history.reached(1.0), history.reached(0.5)) == (2, 2, None)
    assert history.gained(2) == -1.0
    assert (history.newest.trial.number, history.newest.ago) == (1, 1)


def test_an_equal_value_is_no_new_best():
    assert History(accuracies(0.5, 0.5, 0.5), ONE).newest.ago == 2


def test_it_is_told_after_how_many_trainings_a_value_was_reached():
    history = History(accuracies(0.1, None, 0.3, 0.2, 0.9), ONE)

    assert [history.reached(value) for value in (0.05, 0.3, 0.31, 0.9, 0.95)] == [1, 3, 5, 5, None]


def test_pruned_and_failed_trials_are_trainings_that_found_nothing():
    history = History([trial(0, acc=0.5), trial(1, State.PRUNED), trial(2, State.FAIL)], ONE)

    assert (history.trainings, history.value(), history.newest.ago) == (3, 0.5, 2)


def test_reused_trials_are_no_trainings_but_what_they_found_counts():
    reused = [trial(0, source=Source.REUSED, acc=0.6), trial(1, source=Source.REUSED, acc=0.8)]
    history = History([*reused, trial(2, acc=0.7), trial(3, acc=0.9)], ONE)

    assert history.trainings == 2
    assert (history.value(0), history.value(1), history.value(2)) == (0.8, 0.8, 0.9)
    assert history.reached(0.8) == 0


def test_a_trial_over_a_limit_is_a_training_that_found_nothing():
    trials = [trial(0, acc=0.5, ms=3.0), trial(1, acc=0.9, ms=9.0), trial(2, acc=0.8), trial(3, acc=0.6, ms=5.0)]

    history = History(trials, ONE, limits=limits_from(["ms<=5"]))

    assert history.curve == [0.5, 0.5, 0.5, 0.6]
    assert History(trials, ONE).curve == [0.5, 0.9, 0.9, 0.9]


def test_the_hypervolume_by_hand():
    # losses: (-0.5, 100), (-0.7, 200), (-0.6, 100); ranges 0.2 and 100; reference (-0.48, 210)
    history = History(pairs((0.5, 100), (0.7, 200), (0.6, 100)), TWO)

    assert history.scale == [pytest.approx((-0.48, 0.2)), pytest.approx((210, 100))]
    first = (0.02 / 0.2) * (110 / 100)
    assert history.value(1) == pytest.approx(first)
    assert history.value(2) == pytest.approx(first + (0.2 / 0.2) * (10 / 100))
    assert history.value(3) == pytest.approx((0.12 / 0.2) * (110 / 100) + (0.1 / 0.2) * (10 / 100))
    assert (history.front, history.newest.trial.number) == (2, 2)


def test_the_past_of_a_growing_study_keeps_its_numbers_once_ten_are_complete():
    early = [(0.5 + 0.01 * index, 100.0 + (index * 37) % 11) for index in range(10)]
    late = [(0.99, 5000.0), (0.2, 1.0), (0.8, 90.0)]

    before, after = History(pairs(*early), TWO), History(pairs(*early, *late), TWO)

    assert after.scale == before.scale
    assert after.curve[:10] == before.curve
    assert after.curve[10] == after.curve[9]  # more MACs than any of the first ten by far: beyond the reference point
    assert after.curve[12] > after.curve[11]


def test_a_range_of_nothing_is_counted_in_whole_units():
    history = History(pairs((0.5, 100), (0.5, 100), (0.7, 100)), TWO)

    assert history.scale == [pytest.approx((-0.48, 0.2)), pytest.approx((100.1, 1.0))]
    assert history.value() == pytest.approx((0.22 / 0.2) * 0.1)


def test_two_studies_are_compared_by_the_beginnings_of_both():
    ours, theirs = History(pairs((0.5, 100), (0.7, 200)), TWO), History(pairs((0.3, 50), (0.6, 500)), TWO)

    assert scale_of([ours, theirs]) == [pytest.approx((-0.3 + 0.04, 0.4)), pytest.approx((545.0, 450.0))]


NOTHING = {
    "trainings": 0,
    "front": 0,
    "measure": "acc",
    "value": None,
    "gained": {"10": None, "5": None},
    "newest": None,
}


def test_how_far_it_moved_as_json():
    assert moved(History([], ONE)) == NOTHING
    told = moved(History(accuracies(0.5, 0.4, None, 0.75, 0.1, 0.2), ONE))
    assert told == {
        "trainings": 6, "front": 1, "measure": "acc", "value": 0.75, "gained": {"10": None, "5": 0.25},
        "newest": {"trial": 3, "ago": 2},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("goals", "trials", "rises"),
    [
        (ONE, accuracies(0.5, 0.4, None, 0.8, 0.8), [1, 4]),
        (LEAST, [trial(0, loss=3.0), trial(1, loss=1.0), trial(2, loss=2.0)], [1, 2]),
        (TWO, pairs((0.5, 5), (0.7, 7), (0.4, 6), (0.8, 4), (0.8, 4)), [1, 2, 4]),
    ],
)
def test_steps_are_where_the_value_became_better_with_the_value_of_that_training(goals, trials, rises):
    history = History(trials, goals)

    assert [after for after, _, _ in history.steps] == rises
    assert [value for _, value, _ in history.steps] == pytest.approx([history.value(after) for after in rises])
    assert [trial.number for _, _, trial in history.steps] == [after - 1 for after in rises]
