"""Optuna's samplers over our genome, and the two that take a name of its: quasi-random and brute force."""

import importlib.util
import inspect
import random
import sys

import optuna
import pytest

from nas import Space, int_range, of, one_of
from nas.errors import InputError
from nas.feasible import Pricing
from nas.mixers import ConvAttention, Pooling
from nas.objectives import Limit, limits_from, objectives_from
from nas.samplers import Outcome, make_sampler

ONE = objectives_from(["accuracy:max"])


@pytest.fixture
def space():
    mixer = one_of(of(Pooling, size=one_of(3, 5, 7)), of(ConvAttention, kv_kernel=one_of(1, 3), kv_stride=one_of(1, 2)))
    return Space({"mixer": mixer, "depth": int_range(1, 6), "width": one_of(16, 32, 64)})


@pytest.fixture
def numbers():
    return Space({f"depth{index}": int_range(1, 8) for index in range(4)})


def taken(space, sampler, outcome=None):
    """The genome of a proposal, evaluated."""
    proposal = sampler.ask()
    genome = space.canonical(proposal.genome)
    sampler.tell(sampler.accept(proposal, genome), outcome(genome) if outcome else None)
    return genome


@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "macs:min")])
@pytest.mark.parametrize("name", ["tpe", "nsga2", "nsga3"])
def test_rejected_proposals_change_nothing_and_leave_nothing_behind(space, name, goals):
    rng = random.Random(0)
    ended = [(space.sample(rng), Outcome([rng.random()] * len(goals))) for _ in range(40)]
    samplers = [make_sampler(name, space, objectives_from(list(goals)), 0) for _ in range(2)]
    for sampler in samplers:
        sampler.load(ended)

    for _ in range(100):
        samplers[0].reject(samplers[0].ask())
    count = len(samplers[0]._study.trials)
    means = [sum(sum(taken(space, sampler)) for _ in range(150)) / 150 for sampler in samplers]

    assert means[0] == pytest.approx(means[1], rel=0.15)
    assert count <= 41


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_nsga_takes_any_number_of_foreign_candidates(space, name):
    rng = random.Random(0)
    sampler = make_sampler(name, space, objectives_from(["accuracy:max"]), 0)

    for _ in range(20 * 60):
        sampler.tell(sampler.add(space.sample(rng)), Outcome([rng.random()]))

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 60)  # one frame a generation would be too many
    try:
        assert sampler.ask().origin == name
    finally:
        sys.setrecursionlimit(before)


def test_a_sampler_that_only_repeats_itself_is_asked_a_few_times_and_then_relatives_are_tried(space):
    sampler = make_sampler("tpe", space, ONE, 0)
    sampler.load((genome, Outcome([sum(genome)])) for genome in space)

    proposals = []
    for _ in range(40):
        proposals.append(sampler.ask())
        sampler.reject(proposals[-1])

    assert [proposal.ticket is None for proposal in proposals] == [False] * 4 + [True] * 36
    assert {proposal.origin for proposal in proposals} == {"tpe"}
    assert len({space.canonical(proposal.genome) for proposal in proposals}) > 20
    assert space.contains(taken(space, sampler))
    assert sampler.ask().ticket is not None


def test_a_sampler_that_only_proposes_what_is_new_but_refused_is_asked_on_unless_asking_is_dear(space):
    rng = random.Random(0)
    for name, dear in (("tpe", False), ("gp", True)):
        sampler = make_sampler(name, space, ONE, 0)
        known = [space.sample(rng) for _ in range(12)]
        sampler.load((genome, Outcome([rng.random()])) for genome in known)
        asked = []
        for _ in range(15):
            proposal = sampler.ask()
            if dear or space.canonical(proposal.genome) not in known:
                asked.append(proposal.ticket is not None)
                sampler.reject(proposal)
            else:
                sampler.tell(sampler.accept(proposal, space.canonical(proposal.genome)), None)

        assert asked == ([True] + [False] * 14 if dear else [True] * len(asked))


def test_a_sampler_that_has_no_relatives_to_offer_still_proposes():
    space = Space({"one": of(ConvAttention, kv_kernel=one_of(1, 2), kv_stride=one_of(1))})
    legal = next(iter(space))
    sampler = make_sampler("tpe", space, ONE, 0)
    sampler.load([(legal, Outcome([1.0]))] * 12)

    for _ in range(12):
        proposal = sampler.ask()
        sampler.reject(proposal)

    assert len(proposal.genome) == 1


def test_the_gaussian_process_leaves_large_studies_to_tpe(space):
    rng = random.Random(0)
    sampler = make_sampler("gp", space, ONE, 0)
    sampler.load((space.sample(rng), Outcome([rng.random()], [-1.0])) for _ in range(500))

    assert sampler.ask().origin == "tpe"


def test_nothing_is_warned_of_or_logged(space, recwarn, capfd):
    before = optuna.logging.get_verbosity()
    for name in ("tpe", "nsga2", "nsga3", "gp"):
        sampler = make_sampler(name, space, ONE, 0)
        for _ in range(12):
            taken(space, sampler, lambda _: Outcome([0.5], [1.0]))

    assert optuna.logging.get_verbosity() == before
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


@pytest.mark.soak_when("gp-goals1")
@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "macs:min")])
@pytest.mark.parametrize("name", ["tpe", "nsga2", "nsga3", "gp"])
def test_limits_on_what_is_measured_are_learnt_whether_loaded_or_told(space, name, goals):
    def share_within(limited):
        def outcome(genome):
            depth = space.decode(genome)["depth"]
            return Outcome([depth, depth][: len(goals)], [depth - 3.0, -1.0] if limited else [])

        rng = random.Random(0)
        sampler = make_sampler(name, space, objectives_from(list(goals)), 0)
        sampler.load((genome, outcome(genome)) for genome in (space.sample(rng) for _ in range(20)))
        found = [taken(space, sampler, outcome) for _ in range(5 if name == "gp" else 60)]
        return sum(space.decode(genome)["depth"] <= 3 for genome in found[-30:]) / len(found[-30:])

    assert share_within(limited=True) >= max(0.6, share_within(limited=False) + 0.2)


# -- quasi-random and brute force ---------------------------------------------------------------------------------------


def test_quasi_random_points_cover_categories_more_evenly_than_random_ones():
    space = Space({f"kind{index}": one_of(*"abcd") for index in range(5)}, legal=True)

    def unevenness(name):
        sampler = make_sampler(name, space, ONE, 0)
        genomes = [sampler.ask().genome for _ in range(64)]
        pairs = [(one, two) for one in range(5) for two in range(one)]
        counts = [
            sum(genome[one] == a and genome[two] == b for genome in genomes)
            for one, two in pairs for a in range(4) for b in range(4)
        ]  # fmt: skip
        return sum((count - 4) ** 2 for count in counts)

    assert unevenness("qmc") < 0.5 * unevenness("random")


def test_quasi_random_search_goes_on_where_it_was_left(space):
    whole, rest = (make_sampler("qmc", space, ONE, 3) for _ in range(2))
    genomes = [whole.ask().genome for _ in range(20)]

    rest.load((genome, Outcome([0.0])) for genome in genomes[:12])

    assert [rest.ask().genome for _ in range(8)] == genomes[12:]


def test_brute_force_proposes_every_candidate_within_the_limits_once_in_an_order_of_the_seeds(space):
    pricing = Pricing(space, lambda value: {"depth": value["depth"]}, limits_from(["depth<=4"]))
    wanted = {genome for genome in space if pricing.price(genome).excess == 0}
    orders = []
    for seed in (0, 0, 1):
        sampler = make_sampler("brute-force", space, ONE, seed, pricing=pricing)
        orders.append([taken(space, sampler) for _ in range(len(wanted))])

    assert set(orders[0]) == wanted
    assert len(wanted) == 84
    assert orders[0] == orders[1] != orders[2]


def test_brute_force_that_goes_on_leaves_out_what_was_seen_and_repeats_itself_only_at_the_end(space):
    everything = list(space)
    sampler = make_sampler("brute-force", space, ONE, 0)
    sampler.load([*((genome, Outcome([0.0])) for genome in everything[:50]), (everything[50], None)])
    sampler.add(everything[51])

    rest = [taken(space, sampler) for _ in range(len(everything) - 52)]

    assert set(rest) == set(everything[52:])
    assert space.contains(sampler.ask().genome)


def test_brute_force_refuses_a_space_that_is_too_large_and_says_how_large():
    with pytest.raises(InputError, match=r"brute-force: this space has 1,000,000 combinations.*100,000 at most"):
        make_sampler("brute-force", Space([int_range(1, 10)] * 6), ONE, 0)
    with pytest.raises(InputError, match=r"brute-force: this space has 1\.0e\+12 combinations"):
        make_sampler("brute-force", Space([int_range(1, 10)] * 12), ONE, 0)


# -- CMA-ES -------------------------------------------------------------------------------------------------------------


def test_cmaes_is_refused_where_it_would_be_random_search(space, numbers):
    with pytest.raises(InputError, match=r"4 of 6 genes are not numbers.*\(mixer, .*\.\.\.\).*use auto, tpe or evol"):
        make_sampler("cmaes", space, ONE, 0)
    with pytest.raises(InputError, match="the space has one gene"):
        make_sampler("cmaes", Space({"depth": int_range(1, 9), "kind": one_of("a")}), ONE, 0)
    with pytest.raises(InputError, match="2 objectives"):
        make_sampler("cmaes", numbers, objectives_from(["accuracy:max", "macs:min"]), 0)
    with pytest.raises(InputError, match="does not look at limits such as latency<=5"):
        make_sampler("cmaes", numbers, ONE, 0, metric_limits=[Limit("latency", "<=", 5.0)])


@pytest.mark.skipif(importlib.util.find_spec("cmaes") is not None, reason="the package is installed")
def test_cmaes_says_which_package_it_lacks(numbers):
    with pytest.raises(InputError, match="pip install cmaes"):
        make_sampler("cmaes", numbers, ONE, 0)


@pytest.mark.skipif(importlib.util.find_spec("cmaes") is None, reason="needs the package cmaes")
def test_cmaes_climbs_and_goes_on_from_the_best_of_what_was_loaded(numbers):
    sampler = make_sampler("cmaes", numbers, ONE, 0)
    found = [sum(taken(numbers, sampler, lambda genome: Outcome([sum(genome)]))) for _ in range(80)]

    later = make_sampler("cmaes", numbers, ONE, 1)
    rng = random.Random(0)
    genomes = [numbers.sample(rng) for _ in range(60)]
    later.load((genome, Outcome([sum(genome)])) for genome in genomes)
    first = [sum(taken(numbers, later)) for _ in range(20)]

    assert sum(found[-20:]) > 1.3 * sum(found[:20])
    assert sum(first) / 20 > 1.3 * sum(map(sum, genomes)) / 60
