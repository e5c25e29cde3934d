"""The best few trained again: which, with which seeds, and the statistics of it by hand."""

import dataclasses
import pickle

import pytest
from evaluations import macs, share_of_conv3
from trials import LEAST, ONE, TWO, accuracies, pairs, trial

from nas import Architecture, Space, one_of
from nas.errors import InputError
from nas.jobs import Budget
from nas.objectives import objectives_from
from nas.replicates import (
    FIRST_SEED,
    REPLICATES,
    Again,
    KnownCosts,
    best_few,
    by_mean,
    confirmed,
    fresh,
    lead,
    measured_of,
    optimism,
    replicated,
)
from nas.trial import State
from search_spaces import get


def test_the_space_of_replicates_holds_networks_and_tells_them_and_their_seeds_apart():
    inner = get("metaformer", 8)
    space = replicated(inner)
    genome = inner.canonical((1,) * len(inner))
    network = inner.decode(genome)
    first, second = {"network": network, "replicate": 0}, {"network": network, "replicate": 7}

    assert isinstance(network, Architecture)
    assert space.decode(space.encode(second)) == second
    assert space.encode(second) == (*genome, 7)
    assert len({space.identity(each) for each in (first, second)}) == 2
    assert space.digest == replicated(get("metaformer", 8)).digest


def test_an_evaluation_again_gets_the_network_the_fresh_seed_and_all_else_as_it_was(layers):
    asked = []

    def evaluate(candidate, budget, report):
        asked.append((candidate, budget, report))
        return {"accuracy": 0.5}

    budget = Budget(0, 3, 17, "cuda:1", "folder")
    found = Again(evaluate)({"network": {"layer0": "skip"}, "replicate": 4}, budget, print)

    assert asked == [({"layer0": "skip"}, dataclasses.replace(budget, seed=FIRST_SEED + 4), print)]
    assert found == {"accuracy": 0.5, "seed": FIRST_SEED + 4}


def test_known_costs_are_those_of_the_network():
    assert KnownCosts(macs)({"network": {"a": "conv3", "b": "conv5"}, "replicate": 4}) == {"macs": 8.0}


def test_both_can_be_sent_to_a_worker():
    assert pickle.loads(pickle.dumps((Again(share_of_conv3), KnownCosts(macs)))) == (
        Again(share_of_conv3),
        KnownCosts(macs),
    )


def test_fresh_seeds_are_never_those_of_the_search_and_more_of_them_begin_with_the_same():
    assert fresh({0, 1, 2, 23}, 3) == [0, 1, 2]
    assert fresh({0, 1}, 5)[:3] == fresh({0, 1}, 3)
    assert fresh({FIRST_SEED, FIRST_SEED + 2}, 3) == [1, 3, 4]


def test_a_search_that_used_all_of_them_is_refused():
    with pytest.raises(
        InputError, match=f"2 fresh seeds: the search used so many from {FIRST_SEED} on that 1 are left"
    ):
        fresh(range(FIRST_SEED, FIRST_SEED + REPLICATES - 1), 2)


def test_objectives_that_no_seed_can_change_are_left_out():
    goals = objectives_from(["macs:min", "acc:max", "loss:min"])

    assert [goal.name for goal in measured_of(goals, {"macs"})] == ["acc", "loss"]
    assert measured_of(goals, ()) == goals
    with pytest.raises(InputError, match="macs:min: known before training"):
        measured_of(goals[:1], {"macs"})


def test_the_best_few_are_the_best_or_with_several_objectives_of_the_front():
    one = best_few(accuracies(0.3, None, 0.9, 0.5, 0.9), ONE, ONE[0], 3)
    two = best_few(pairs((0.9, 10), (0.8, 20), (0.7, 5), (0.2, 1)), TWO, TWO[0], 2)
    least = best_few([trial(0, loss=3.0), trial(1, loss=1.0)], LEAST, LEAST[0], 5)

    assert [each.number for each in one] == [2, 4, 3]
    assert [each.number for each in two] == [0, 2]
    assert [each.number for each in least] == [1, 0]


def named(number, digest, acc):
    return dataclasses.replace(trial(number, acc=acc), digest=digest)


@pytest.fixture
def rows():
    """a: 0.6, 0.8, 0.7; b: 0.5, 0.8 and one that failed; c: nothing."""
    chosen = [named(0, "a", 0.95), named(1, "b", 0.9), named(2, "c", 0.85)]
    again = {("a", 0): trial(0, acc=0.6), ("a", 1): trial(1, acc=0.8), ("a", 2): trial(2, acc=0.7)}
    again |= {("b", 0): trial(3, acc=0.5), ("b", 1): trial(4, acc=0.8), ("b", 2): trial(5, State.FAIL)}
    again |= {("c", 0): trial(6, State.FAIL), ("a", 9): trial(7, acc=0.0)}
    return confirmed(chosen, again, [0, 1, 2], ["acc"])


def test_each_is_summed_up_over_the_replicates_that_were_asked_for(rows):
    a, b, c = rows

    assert (a.intervals["acc"].count, a.intervals["acc"].mean, a.failed) == (3, pytest.approx(0.7), 0)
    assert (b.intervals["acc"].count, b.intervals["acc"].mean, b.failed) == (2, pytest.approx(0.65), 1)
    assert (c.intervals, c.values, c.failed) == ({}, {}, 1)


def test_they_are_ranked_by_mean_and_those_without_a_result_come_last(rows):
    assert [row.trial.digest for row in by_mean(rows[::-1], ONE[0])] == ["a", "b", "c"]


def test_the_lead_is_the_difference_over_the_seeds_that_both_have(rows):
    a, b, c = rows

    found = lead(a, b, ONE[0])

    assert (found.count, found.mean) == (2, pytest.approx(0.05))
    assert (found.smallest, found.largest) == (pytest.approx(0.0), pytest.approx(0.1))
    assert found.sign == 0
    assert lead(b, a, ONE[0]).mean == pytest.approx(-0.05)
    assert lead(a, c, ONE[0]) is None


def test_pairs_by_seed_show_a_lead_that_the_noise_of_the_seeds_would_hide():
    noise = [-0.3, -0.1, 0.0, 0.2, 0.3]
    again = {("a", index): trial(index, acc=0.5 + each + 0.001 * index) for index, each in enumerate(noise)}
    again |= {("b", index): trial(index, acc=0.48 + each) for index, each in enumerate(noise)}

    a, b = confirmed([named(0, "a", 0.9), named(1, "b", 0.9)], again, range(5), ["acc"])

    assert a.intervals["acc"].low < b.intervals["acc"].high
    assert lead(a, b, ONE[0]).sign == 1


def test_optimism_is_what_the_search_promised_beyond_the_means(rows):
    assert optimism(rows, ONE[0]) == pytest.approx(((0.95 - 0.7) + (0.9 - 0.65)) / 2)
    assert optimism(rows[2:], ONE[0]) is None


def test_a_choice_at_the_top_of_a_space_is_a_network_too():
    space = replicated(Space(one_of("small", "large")))

    assert space.decode(space.encode({"network": "large", "replicate": 3})) == {"network": "large", "replicate": 3}
