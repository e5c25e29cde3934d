"""What counts as known: results, beginnings, and how far over limits something was."""

import random

import numpy as np
import pytest

from nas import Space, int_range, one_of
from nas.feasible import Pricing
from nas.samplers import Outcome
from nas.samplers.candidates import Candidates
from nas.samplers.evidence import BEGUN, PAIRS, Evidence
from nas.samplers.model import MOST

SPACE = Space({"depth": int_range(1, 20), "kind": one_of("a", "b", "c")})
MAKER = Candidates(Pricing(SPACE, None, ()), random.Random(0))


def candidate(depth, kind=0):
    return MAKER.of([(depth, kind)])[0]


def row(each):
    return each.row


def with_pairs(count, early=lambda final: 0.5 * final, signs=(-1.0,)):
    """Trainings that ended at 0.50, 0.51, ... and what they had shown at a quarter of the budget."""
    evidence = Evidence(np.array(signs))
    for index in range(count):
        final = 0.5 + 0.01 * index
        evidence.end(index, candidate(index), Outcome([final], earlier={0.25: [early(final)]}))
    return evidence


def begun(evidence):
    """Fidelities and losses of what is no end of a training."""
    data = evidence.objective(0, row)
    partial = data.rows[:, -1] < 1
    return data.rows[partial, -1], data.losses[partial]


def test_beginnings_say_nothing_until_enough_trainings_are_known_at_both_ends():
    for count, expected in ((PAIRS - 1, 0), (PAIRS, PAIRS + 1)):
        evidence = with_pairs(count)
        evidence.see(99, candidate(19), Outcome([0.3], fidelity=0.25, settled=False))
        assert len(begun(evidence)[0]) == expected


def test_beginnings_come_with_their_fidelity_and_on_the_scale_of_the_ends():
    evidence = with_pairs(8, early=lambda final: 0.5 * final - 0.1)
    evidence.see(99, candidate(19), Outcome([0.2], fidelity=0.25, settled=False))

    shares, losses = begun(evidence)

    assert set(shares) == {0.25}
    assert losses[0] == pytest.approx(-0.6), "0.2 at a quarter is 0.6 at the end"
    assert sorted(losses[1:]) == pytest.approx(sorted(-(0.5 + 0.01 * index) for index in range(8)))


@pytest.mark.parametrize("early", [lambda final: 1 - final, lambda final: 0.3], ids=["against", "constant"])
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::sklearn.exceptions.ConvergenceWarning")
def test_a_share_that_says_nothing_of_the_end_or_the_contrary_is_not_believed(early):
    evidence = with_pairs(8, early=early)
    evidence.see(99, candidate(19), Outcome([0.3], fidelity=0.25, settled=False))

    assert len(begun(evidence)[0]) == 0


def test_beginnings_at_another_share_than_those_of_the_ends_are_not_believed():
    evidence = with_pairs(8)
    evidence.see(99, candidate(19), Outcome([0.3], fidelity=0.5, settled=False))

    assert len(begun(evidence)[0]) == 0


def test_the_end_takes_the_place_of_the_beginning_and_a_failure_takes_it_away():
    for outcome in (Outcome([0.7]), None):
        evidence = with_pairs(8)
        evidence.see(99, candidate(19), Outcome([0.3], fidelity=0.25, settled=False))
        evidence.end(99, candidate(19), outcome)
        assert len(begun(evidence)[0]) == 0
        assert len(evidence.results) == 8 + (outcome is not None)


def test_what_was_stopped_early_stays_a_beginning_and_is_no_result():
    evidence = with_pairs(8)
    evidence.end(99, candidate(19), Outcome([0.3], [5.0], fidelity=0.25))

    assert len(evidence.results) == 8
    assert begun(evidence)[1][0] == pytest.approx(-0.6)


def test_of_many_beginnings_the_latest_count():
    evidence = with_pairs(8)
    for handle in range(3 * BEGUN):
        evidence.see(100 + handle, candidate(handle % 20), Outcome([handle / 1000], fidelity=0.25, settled=False))

    losses = begun(evidence)[1]

    assert len(losses) == BEGUN + 8
    assert -losses[:BEGUN].max() / 2 == pytest.approx(2 * BEGUN / 1000)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_number_is_no_result_and_no_beginning(bad):
    evidence = with_pairs(8)
    evidence.end(50, candidate(15), Outcome([bad], [1.0]))
    evidence.see(51, candidate(16), Outcome([bad], fidelity=0.25, settled=False))

    assert len(evidence.results) == 8
    assert begun(evidence)[0].size == 0
    assert np.isfinite(evidence.objective(0, row).losses).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_reported_value_that_is_no_number_spoils_nothing(bad):
    evidence = with_pairs(8)
    evidence.end(50, candidate(15), Outcome([0.6], earlier={0.25: [bad]}))
    evidence.see(51, candidate(16), Outcome([0.3], fidelity=0.25, settled=False))

    data = evidence.objective(0, row)

    assert np.isfinite(data.losses).all()
    assert begun(evidence)[1][0] == pytest.approx(-0.6)


def test_feasibility_is_that_of_all_limits_and_what_all_keep_is_no_limit():
    evidence = Evidence(np.array([1.0]))
    for index, excesses in enumerate([(-1.0, 0.0, -5.0), (2.0, -1.0, -6.0), (-1.0, 0.1, -7.0)]):
        evidence.end(index, candidate(index), Outcome([1.0 * index], excesses))

    assert evidence.feasible == [True, False, False]
    assert evidence.limits == [0, 1]
    assert evidence.losses(within=True).tolist() == [[0.0]]


def test_excesses_far_from_the_limit_are_drawn_in_and_keep_their_signs():
    evidence = Evidence(np.array([1.0]))
    given = [-1.0, 1.0, -2.0, 2.0, 1e12, -1e12, 0.5, -0.5, 1.5]
    for index, excess in enumerate(given):
        evidence.measured(candidate(index), [excess])

    found = evidence.excess(0, row).losses

    assert (np.sign(found) == np.sign(given)).all()
    assert np.abs(found).max() == pytest.approx(3.0)
    assert found[:4].tolist() == given[:4]


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::sklearn.exceptions.ConvergenceWarning")
def test_excesses_near_the_largest_float_stay_numbers_whose_squares_are():
    evidence = Evidence(np.array([1.0]))
    for index, excess in enumerate([1.7e308, -1.7e308, 1.7e308]):
        evidence.end(index, candidate(index), Outcome([1.0], [excess]))

    assert np.isfinite(evidence.excess(0, row).losses ** 2).all()
    assert evidence.feasible == [False, True, False]


def test_an_excess_that_is_no_number_is_not_learnt_from_but_the_result_is_over_the_limit():
    evidence = Evidence(np.array([1.0]))
    evidence.end(0, candidate(0), Outcome([1.0], [float("inf")]))
    evidence.end(1, candidate(1), Outcome([1.0], [float("nan")]))

    assert evidence.limits == []
    assert evidence.feasible == [False, False]


def test_an_outlier_on_the_bad_side_is_drawn_in_and_the_best_stay_as_they_are():
    evidence = Evidence(np.array([1.0]))
    losses = [0.1 * index for index in range(12)] + [1e30]
    for index, loss in enumerate(losses):
        evidence.end(index, candidate(index), Outcome([loss]))

    found = evidence.objective(0, row).losses

    assert found[:8].tolist() == losses[:8]
    assert found[-1] < 3
    assert evidence.losses()[-1, 0] == 1e30


def test_of_many_excesses_those_nearest_to_the_limit_stay():
    evidence = Evidence(np.array([-1.0]))
    for index in range(MOST + 50):
        evidence.measured(candidate(index % 20, index % 3), [float(index - 20)])

    found = evidence.excess(0, row).losses

    assert len(found) == MOST
    assert sorted(found)[:21] == [float(index - 20) for index in range(21)]
    assert (found == MOST + 29).sum() == 0


# -- rungs -------------------------------------------------------------------------------------------------------------


def climbed(counts, early=lambda number: number / 20):
    """Evidence of 20 candidates of which `counts[share]` were set aside at a share or ended there."""
    evidence, handle = Evidence(np.array([1.0])), 0
    for share, count in counts.items():
        for _ in range(count):
            way = {lower: [early(handle) * lower] for lower in (1 / 9, 1 / 3) if lower < share}
            outcome = Outcome([early(handle) * share], fidelity=share, earlier=way)
            evidence.end(handle, candidate(handle), outcome)
            handle += 1
    return evidence


@pytest.mark.parametrize(
    ("counts", "share", "results"),
    [
        ({1 / 9: 9}, 1.0, 0),
        ({1 / 9: 10}, 1 / 9, 10),
        ({1 / 9: 8, 1 / 3: 5, 1.0: 2}, 1 / 9, 15),
        ({1 / 9: 5, 1 / 3: 8, 1.0: 2}, 1 / 3, 10),
        ({1 / 9: 5, 1 / 3: 4, 1.0: 10}, 1.0, 10),
    ],
)
def test_results_are_those_of_the_highest_rung_that_enough_have_reached(counts, share, results):
    evidence = climbed(counts)

    assert evidence.share == share
    assert len(evidence.results) == results
    assert len(evidence.losses()) == results == len(evidence.feasible)


def test_a_step_that_nobody_stops_at_is_no_rung():
    evidence = Evidence(np.array([1.0]))
    for handle in range(15):
        evidence.see(handle, candidate(handle), Outcome([0.5], fidelity=0.1, settled=False))

    assert evidence.share == 1.0
    assert evidence.results == []


def test_who_is_set_aside_is_a_result_of_its_rung_and_not_open_any_more():
    evidence = climbed({1 / 9: 10})
    evidence.see(50, candidate(15), Outcome([0.4], fidelity=1 / 9))
    running = {50: candidate(15), 51: candidate(16)}

    assert len(evidence.results) == 11
    assert [each.genome for each in evidence.open(running)] == [candidate(16).genome]


def test_below_the_rung_that_is_learnt_from_values_are_brought_to_its_scale_with_their_share_of_it():
    evidence = climbed({1 / 9: 6, 1 / 3: 10})

    data = evidence.objective(0, row)

    below = data.rows[:, -1] < 1
    assert data.rows[below][:, -1] == pytest.approx(1 / 3)
    assert below.sum() == 6 + 10
    assert data.losses[below][:6] == pytest.approx([number / 20 / 3 for number in range(6)])


def test_a_failure_at_a_later_rung_takes_the_earlier_values_away():
    evidence = climbed({1 / 9: 11})

    evidence.end(0, candidate(0), None)

    assert len(evidence.results) == 10
