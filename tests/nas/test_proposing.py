"""What is proposed when the sampler does not find what is within the limits by itself."""

import collections

import pytest

from nas import Space, one_of
from nas.feasible import Pricing
from nas.objectives import limits_from, objectives_from
from nas.proposing import Proposer
from nas.samplers import Proposal, make_sampler

GOALS = objectives_from(["accuracy:max"])
FOUR = Space({f"g{index}": one_of(*range(1, 9)) for index in range(4)})


def sums(candidate):
    return {"sum": sum(candidate.values())}


class Stubborn:
    """A sampler that has learnt to propose one candidate only."""

    def __init__(self, genome):
        self.genome, self.added = genome, []

    def ask(self):
        return Proposal(self.genome, "stubborn")

    def accept(self, proposal, genome):
        return self.add(genome)

    def reject(self, proposal, excesses=()):
        pass

    def add(self, genome):
        self.added.append(genome)
        return len(self.added)


def test_random_search_under_tight_limits_is_spread_over_what_is_within_them():
    pricing, proposed = Pricing(FOUR, sums, limits_from(["sum<=7"])), collections.Counter()
    within = [genome for genome in FOUR if not pricing.price(genome).excess]

    for seed in range(600):
        found = Proposer(pricing, make_sampler("random", FOUR, GOALS, seed), seed).next()
        assert found.origin == "random"
        proposed[found.priced.genome] += 1

    expected, freedom = 600 / len(within), len(within) - 1
    assert len(within) == 35  # of 4096: 40 proposals of the sampler hold none in two of three cases
    assert set(proposed) <= set(within)
    assert sum((proposed[genome] - expected) ** 2 / expected for genome in within) < freedom + 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("sampler", ["random", "evolution", "tpe"])
def test_everything_within_the_limits_is_proposed_once_and_then_nothing(sampler):
    pricing = Pricing(FOUR, sums, limits_from(["sum<=6"]))
    proposer = Proposer(pricing, make_sampler(sampler, FOUR, GOALS, 0), 0)

    found = [proposer.next() for _ in range(16)]

    assert len({proposed.priced.genome for proposed in found[:15]}) == 15
    assert found[15] is None


def test_what_was_learnt_is_brought_within_the_limits_from_where_it_is():
    over = (7, 7, 7, 0)
    pricing, sampler = Pricing(FOUR, sums, limits_from(["sum<=24"])), Stubborn(over)
    starts = [Proposer(pricing, sampler, seed).next() for seed in range(20)]

    assert {found.origin for found in starts} == {"stubborn"}
    assert sampler.added == [found.priced.genome for found in starts]
    assert all(sum(a != b for a, b in zip(genome, over, strict=True)) <= 2 for genome in sampler.added)


def test_a_sampler_that_repeats_itself_does_not_end_the_search():
    proposer = Proposer(Pricing(FOUR, sums, ()), Stubborn((0, 0, 0, 0)), 0)

    found = [proposer.next() for _ in range(30)]

    assert len({proposed.digest for proposed in found}) == 30
    assert [proposed.origin for proposed in found] == ["stubborn"] + ["random"] * 29
