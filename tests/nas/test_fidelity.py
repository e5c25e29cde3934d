"""Rungs: their budgets, who climbs which ladder, and who goes on."""

import itertools
import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InputError
from nas.fidelity import Ladder, Rungs
from nas.objectives import covers


@pytest.mark.parametrize(
    ("rungs", "levels"),
    [
        (Rungs(1, 9), (1, 3, 9)),
        (Rungs(1, 10), (1, 3, 10)),
        (Rungs(1, 20), (1, 3, 7, 20)),
        (Rungs(2, 50), (2, 6, 17, 50)),
        (Rungs(1, 8, 2), (1, 2, 4, 8)),
        (Rungs(1, 2), (1, 2)),
        (Rungs(9, 9), (9,)),
        (Rungs(9, 10, 4), (9, 10)),
    ],
)
def test_rungs_are_evenly_spaced_in_their_logarithm_from_the_smallest_budget_to_the_full_one(rungs, levels):
    assert rungs.levels == levels


@given(st.integers(1, 300), st.integers(0, 300), st.integers(2, 8))
def test_rungs_rise_from_the_smallest_to_the_full_budget_whatever_they_are(smallest, more, factor):
    rungs = Rungs(smallest, smallest + more, factor)

    assert rungs.levels[0] == smallest
    assert rungs.levels[-1] == smallest + more
    assert all(low < high for low, high in itertools.pairwise(rungs.levels))
    assert rungs.held == (rungs.levels[-2] if more else 1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((0, 9), "epochs 0:9: 1 <= MIN <= MAX must hold"),
        ((10, 9), "epochs 10:9: 1 <= MIN <= MAX must hold"),
        ((1, 9, 1), "factor 1: at least 2 is needed"),
        ((1, 9, 3, 0), "brackets 0: 1 to 3 are possible with rungs at 1, 3, 9 epochs"),
        ((1, 9, 3, 4), "brackets 4: 1 to 3 are possible"),
        ((9, 9, 3, 2), "brackets 2: 1 to 1 are possible with rungs at 9 epochs"),
    ],
)
def test_rungs_that_cannot_be_are_refused_with_what_would_be_right(given, told):
    with pytest.raises(InputError, match=re.escape(told)):
        Rungs(*given)


def test_brackets_begin_one_rung_higher_each_and_share_the_epochs_about_evenly():
    rungs = Rungs(1, 27, brackets=3)
    begun = Counter(rungs.first(number) for number in range(2000))

    assert set(begun) == {1, 3, 9}
    spent = []
    for first, trials in begun.items():
        alone = Rungs(first, 27)
        spent.append(alone.epochs(trials))
    assert max(spent) < 2 * min(spent)
    assert rungs.epochs(2000) == pytest.approx(sum(spent), rel=0.02)


def test_the_ladder_of_a_trial_depends_on_its_number_alone():
    one, other = Rungs(1, 27, brackets=3), Rungs(1, 27, brackets=3)

    assert [one.bracket(number) for number in range(100)] == [other.bracket(number) for number in range(100)]
    assert [Rungs(1, 27).bracket(number) for number in range(20)] == [0] * 20


def test_a_budget_lies_between_the_rungs_of_its_own_ladder():
    rungs = Rungs(1, 9, brackets=2)
    low = next(number for number in range(50) if rungs.bracket(number) == 0)
    high = next(number for number in range(50) if rungs.bracket(number) == 1)

    assert [rungs.before(low, level) for level in (1, 3, 9)] == [0, 1, 3]
    assert [rungs.before(high, level) for level in (3, 9)] == [0, 3]
    assert [rungs.after(1), rungs.after(3)] == [3, 9]
    with pytest.raises(ValueError, match="full budget"):
        rungs.after(9)


def test_the_share_and_the_side_rise_by_a_constant_ratio_from_rung_to_rung_to_the_full_ones():
    rungs = Rungs(1, 9, brackets=2, share=0.25, scale=16 / 28)

    assert [rungs.share_at(level) for level in (1, 3, 9)] == [0.25, 0.5, 1.0]
    assert [round(28 * rungs.scale_at(level)) for level in (1, 3, 9)] == [16, 21, 28]
    assert [Rungs(1, 9).share_at(level) for level in (1, 3, 9)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"share": 0.0}, "rung subset 0: a share of the full one, above 0 and up to 1, is possible"),
        ({"share": 1.5}, "rung subset 1.5: a share"),
        ({"scale": -0.5}, "rung scale -0.5: a share"),
        ({"scale": float("nan")}, "rung scale nan: a share"),
        ({"smallest": 9, "share": 0.5}, "rung subset 0.5: there are no rungs to rise on; epochs MIN:MAX make some"),
    ],
)
def test_shares_that_cannot_be_are_refused(given, told):
    with pytest.raises(InputError, match=re.escape(told)):
        Rungs(**{"smallest": 1, "full": 9, **given})


def climb(ladder, losses, order, workers, *, trials):
    """Everybody trains as the ladder says, `workers` at a time in the order of a seed; the epochs of each trial."""
    rng, begun, running, reached = random.Random(order), iter(range(trials)), [], {}
    left = trials
    while True:
        while len(running) < workers:
            number = ladder.promotable(closing=left == 0)
            if number is not None:
                level = ladder.rungs.after(reached[number])
            elif left:
                number = next(begun)
                left -= 1
                level = ladder.rungs.first(number)
            else:
                break
            ladder.enter(number, level)
            running.append((number, level))
        if not running:
            return reached
        number, level = running.pop(rng.randrange(len(running)))
        reached[number] = level
        if level == ladder.rungs.full:
            ladder.leave(number)
        else:
            ladder.reach(number, level, 0.0, losses(number, level))


def test_with_one_worker_at_the_end_a_third_of_each_rung_has_gone_on_and_the_best_of_all_is_among_them():
    reached = climb(Ladder(Rungs(1, 9)), lambda number, _: [float(number % 27)], 0, 1, trials=27)

    counts = Counter(reached.values())
    assert counts[9] + counts[3] + counts[1] == 27
    assert counts[9] >= 3
    assert counts[9] + counts[3] <= 15  # who was the best of few went on early
    assert reached[0] == 9


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 40), st.integers(1, 3))
def test_whatever_the_order_one_trial_of_every_ladder_ends_and_nobody_waits_for_ever(
    order, workers, trials, objectives
):
    rungs = Rungs(1, 9, brackets=2)
    ladder = Ladder(rungs)
    rng = random.Random(order)
    table = {number: [rng.random() for _ in range(objectives)] for number in range(trials)}

    reached = climb(ladder, lambda number, _: table[number], order, workers, trials=trials)

    assert set(reached) == set(range(trials))
    for bracket in {rungs.bracket(number) for number in range(trials)}:
        assert any(level == 9 for number, level in reached.items() if rungs.bracket(number) == bracket)
    assert all(level < 9 for level in ladder.waiting.values())
    assert ladder.promotable(closing=True) is None


def test_nobody_goes_on_before_there_are_enough_and_then_the_best_does():
    ladder = Ladder(Rungs(1, 9))
    for number, loss in enumerate([0.5, 0.2]):
        ladder.reach(number, 1, 0.0, [loss])
        assert ladder.promotable(closing=False) is None

    ladder.reach(2, 1, 0.0, [0.9])

    assert ladder.promotable(closing=False) == 1


def test_who_goes_on_does_not_make_room_for_another():
    ladder = Ladder(Rungs(1, 9))
    for number in range(3):
        ladder.reach(number, 1, 0.0, [float(number)])

    ladder.enter(0, 3)

    assert ladder.promotable(closing=False) is None
    assert dict(ladder.waiting) == {1: 1, 2: 1}


def test_the_higher_rung_comes_first():
    ladder = Ladder(Rungs(1, 9))
    for number in range(6):
        ladder.reach(number, 1, 0.0, [float(number)])
    for number in range(3):
        ladder.reach(number + 10, 3, 0.0, [float(number)])

    assert ladder.promotable(closing=False) == 10


def test_at_the_end_the_best_goes_on_only_when_nobody_can_come_from_below():
    ladder = Ladder(Rungs(1, 9))
    ladder.enter(0, 1)
    ladder.reach(1, 3, 0.0, [0.5])
    assert ladder.promotable(closing=True) is None

    ladder.reach(0, 1, 0.0, [0.1])
    assert ladder.promotable(closing=True) == 0
    ladder.enter(0, 3)
    assert ladder.promotable(closing=True) is None

    ladder.reach(0, 3, 0.0, [0.1])
    assert ladder.promotable(closing=True) == 0


def test_what_keeps_the_limits_comes_before_what_does_not_and_the_nearest_before_the_others():
    ladder = Ladder(Rungs(1, 9))
    ladder.reach(0, 1, 2.0, [0.1])
    ladder.reach(1, 1, 1.0, [0.2])
    ladder.reach(2, 1, 0.0, [0.9])

    assert ladder.promotable(closing=False) == 2
    ladder.leave(2)
    assert ladder.promotable(closing=False) is None
    for number in (3, 4, 5):
        ladder.reach(number, 1, 5.0, [0.0])
    assert ladder.promotable(closing=False) == 1


def test_of_several_objectives_the_front_goes_on_and_the_dominated_wait():
    ladder = Ladder(Rungs(1, 9))
    rows = [(1.0, 5.0), (5.0, 1.0), (6.0, 6.0), (7.0, 7.0), (8.0, 8.0), (9.0, 9.0)]
    for number, row in enumerate(rows):
        ladder.reach(number, 1, 0.0, row)

    gone = []
    while (number := ladder.promotable(closing=False)) is not None:
        gone.append(number)
        ladder.enter(number, 3)

    assert sorted(gone) == [0, 1]


def test_of_a_front_that_is_too_large_those_go_on_that_add_most_to_it_a_compromise_first():
    ladder = Ladder(Rungs(1, 9))
    for number in range(9):
        ladder.reach(number, 1, 0.0, (float(number), float(8 - number)))

    gone = []
    while (number := ladder.promotable(closing=False)) is not None:
        gone.append(number)
        ladder.enter(number, 3)

    assert gone == [4, 2, 6]


def test_at_the_end_the_front_goes_on_up_to_twice_as_many_as_otherwise():
    ladder = Ladder(Rungs(1, 9))
    for number in range(6):
        ladder.reach(number, 1, 0.0, (float(number), float(5 - number)))
    for number in range(6, 9):
        ladder.reach(number, 1, 0.0, (9.0, 9.0))

    gone = {False: 0, True: 0}
    for closing in (False, True):
        while (number := ladder.promotable(closing=closing)) is not None:
            assert number < 6
            gone[closing] += 1
            ladder.enter(number, 3)
            ladder.leave(number)

    assert gone == {False: 3, True: 3}


def test_at_the_end_what_is_dominated_or_over_a_limit_does_not_go_on_with_the_front():
    ladder = Ladder(Rungs(1, 9))
    ladder.reach(0, 1, 0.0, (1.0, 1.0))
    ladder.reach(1, 1, 0.0, (2.0, 2.0))
    ladder.reach(2, 1, 1.0, (0.0, 0.0))

    assert ladder.promotable(closing=True) == 0
    ladder.leave(0)
    assert ladder.promotable(closing=True) is None


def test_hopeless_is_who_can_no_longer_be_among_those_that_go_on():
    ladder = Ladder(Rungs(1, 9))
    for number in range(9):
        ladder.reach(number, 1, 0.0, [float(number)])

    assert ladder.hopeless(18) == []
    assert ladder.hopeless(3) == [5, 6, 7, 8]  # of twelve four go on, and the next waits in reserve
    assert ladder.hopeless(0) == [4, 5, 6, 7, 8]


@given(st.integers(0, 500), st.integers(1, 4), st.integers(1, 30))
def test_who_was_called_hopeless_would_never_have_gone_on(order, workers, trials):
    rng = random.Random(order)
    table = {(number, level): [rng.random()] for number in range(trials) for level in (1, 3, 9)}
    called = set()

    class Watched(Ladder):
        def reach(self, number, level, excess, losses):
            super().reach(number, level, excess, losses)
            begun = {*self._towards, *(each.number for row in self._standings.values() for each in row)}
            called.update(
                (each, level) for each in self.hopeless(trials - len(begun)) for level in [self.waiting[each]]
            )

    reached = climb(Watched(Rungs(1, 9)), lambda number, level: table[number, level], order, workers, trials=trials)

    assert all(reached[number] == level for number, level in called)


def test_of_several_objectives_nobody_is_called_hopeless():
    ladder = Ladder(Rungs(1, 9))
    for number in range(9):
        ladder.reach(number, 1, 0.0, (float(number), float(number)))

    assert ladder.hopeless(0) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=25), st.integers(1, 3))
def test_ranks_are_those_of_peeling_front_after_front(rows, width):
    from nas.objectives import nondominated_ranks

    rows = [row[:width] for row in rows]
    left, expected, rank = set(range(len(rows))), {}, 0
    while left:
        free = {
            index
            for index in left
            if not any(covers(rows[other], rows[index]) and rows[other] != rows[index] for other in left)
        }
        expected.update(dict.fromkeys(free, rank))
        left -= free
        rank += 1

    assert nondominated_ranks(rows) == [expected[index] for index in range(len(rows))]
