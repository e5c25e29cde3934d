"""Plots in characters: the marks are where the numbers are, and every mark is told by its shape."""

import pytest
from trials import ONE, TWO, accuracies, pairs, trial

from nas.fidelity import Rungs
from nas.history import History
from nas.objectives import limits_from, objectives_from
from nas.trial import State
from runners.plots import bar, cost_plot, progress_plot, round_values, rungs_table


def body(plot):
    """The lines between the frame's, from the top."""
    return [line.split("┤" if "┤" in line else "│", 1)[1].rstrip("│") for line in plot.splitlines() if "│" in line]


def heights(plot, mark):
    """The columns of a mark by line from the top."""
    return {
        at: [x for x, sign in enumerate(line) if sign in mark]
        for at, line in enumerate(body(plot))
        if set(line) & set(mark)
    }


BRAILLE = "".join(map(chr, range(0x2801, 0x2900)))


def test_progress_begins_low_at_the_left_and_ends_high_at_the_right():
    plot = progress_plot(History(accuracies(0.2, 0.5, 0.4, 0.9), ONE), 60, 12)

    lines = heights(plot, BRAILLE)
    assert plot.splitlines()[0] == "best acc over trainings"
    assert max(lines[min(lines)]) > 50  # the best is reached at the right end
    assert min(lines[max(lines)]) == 0
    assert len(plot.splitlines()) == 12
    assert all(len(line) <= 60 for line in plot.splitlines())


def test_progress_of_what_shall_be_small_falls():
    plot = progress_plot(
        History([trial(n, loss=loss) for n, loss in enumerate((3.0, 2.0, 1.0))], objectives_from(["loss:min"])), 60, 12
    )

    lines = heights(plot, BRAILLE)
    assert min(lines[min(lines)]) == 0
    assert max(lines[max(lines)]) > 50


@pytest.mark.parametrize("values", [(), (None, None), (0.5,)])
def test_before_there_is_progress_nothing_is_drawn(values):
    assert progress_plot(History(accuracies(*values), ONE), 60, 12) == ""


@pytest.mark.parametrize("values", [(0.5, 0.5), (0.0, 0.0), (-1e-9, 1e9), (1e300, 1e300)])
def test_flat_and_wide_ranges_are_drawn(values):
    assert len(progress_plot(History(accuracies(*values), ONE), 60, 12).splitlines()) == 12


def test_the_hypervolume_of_three_objectives_is_sampled():
    many = [trial(n, acc=n / 300, macs=n % 7, ms=-n % 11) for n in range(300)]
    history = History(many, objectives_from(["acc:max", "macs:min", "ms:min"]))

    assert progress_plot(history, 60, 12).startswith("hypervolume of the front over trainings")


def test_the_front_the_others_and_what_is_over_a_limit_have_shapes_of_their_own():
    plot = cost_plot(pairs((0.9, 30), (0.5, 10), (0.4, 20), (0.99, 90)), TWO, limits_from(["macs<=50"]), 60, 14)

    assert plot.splitlines()[0] == "acc against macs: ● front, · others, × over a limit"
    drawn = "\n".join(body(plot))
    assert [drawn.count(mark) for mark in "●·×"] == [2, 1, 1]
    (top,), right = heights(plot, "×"), 58
    assert top < min(heights(plot, "●"))
    assert heights(plot, "×")[top][0] > right * 0.8


def test_with_one_objective_it_is_a_known_cost_the_limited_one_first():
    trials = [trial(n, acc=n / 9, params=n, macs=9 - n) for n in range(9)]

    assert cost_plot(trials, ONE, (), 60, 12).startswith("acc against params")
    assert cost_plot(trials, ONE, limits_from(["macs<=9"]), 60, 12).startswith("acc against macs")
    assert cost_plot(accuracies(0.1, 0.2), ONE, (), 60, 12) == ""
    assert cost_plot([trial(0, State.FAIL, params=3)], ONE, (), 60, 12) == ""


def test_one_trial_alone_is_a_point():
    assert "\n".join(body(cost_plot(pairs((0.9, 30)), TWO, (), 60, 12))).count("●") == 1


def test_bars_are_as_long_as_their_share_and_what_is_not_nothing_shows():
    assert [bar(value, 8, 4) for value in (0, 8, 4, 1, 3)] == ["", "████", "██", "▌", "█▌"]
    assert bar(1, 10_000, 10) == "▏"
    assert bar(0, 0, 10) == ""


def test_rungs_are_a_table_where_there_are_several():
    trials = [trial(n, State.PRUNED) for n in range(3)]

    assert rungs_table(trials, Rungs(9, 9), 80) is None
    assert rungs_table(trials, Rungs(1, 9), 80).row_count == 3
    assert rungs_table([], Rungs(1, 9), 80).row_count == 3


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.8391, 0.8402), (1, 10_000), (-3.2, 7e9), (5, 5.0000001)])
@pytest.mark.parametrize("most", [1, 2, 5, 9])
def test_ticks_are_round_within_the_limits_and_no_more_than_asked_for(low, high, most):
    found = round_values(low, high, most)

    assert 1 <= len(found) <= most
    assert low - 1e-6 * (high - low) <= min(found) <= max(found) <= high + 1e-6 * (high - low)
