"""Subset simulation: what it draws is spread as rejection would spread it, and its share is that of the space."""

import collections
import random

import pytest

from nas import Space, of, one_of
from nas.architecture import Embedding
from nas.feasible import Pricing
from nas.objectives import limits_from
from nas.rare import Rare

DIGITS = tuple(range(1, 9))
FLAT = {f"g{index}": one_of(*DIGITS) for index in range(5)}
NAMES = {name: one_of(*DIGITS, ordered=False) for name in "xyz"}
NESTED = NAMES | {
    "mixer": one_of(wide={"k": one_of(1, 2, 3, 4), "w": one_of(1, 2, 4, 8)}, tall={"h": one_of(2, 3, 4)}, none="none"),
}


def flat_costs(candidate):
    parts = list(candidate.values())
    return {"sum": sum(parts), "first": sum(parts[:2]), "rest": sum(parts[2:])}


def nested_costs(candidate):
    mixer = candidate["mixer"]
    mixing = 20 if mixer == "none" else 3 * mixer["h"] if "h" in mixer else mixer["k"] * mixer["w"]
    return {"size": candidate["x"] * candidate["y"] * candidate["z"] + mixing}


CASES = {
    "one limit": (FLAT, flat_costs, ["sum<=8"]),
    "limits against each other": (FLAT, flat_costs, ["first<=3", "rest>=22"]),
    "conditional genes": (NESTED, nested_costs, ["size<=6"]),
}


def pricing_of(name):
    template, costs, limits = CASES[name]
    return Pricing(Space(template), costs, limits_from(limits))


def within(pricing):
    """Each candidate within the limits, with the probability that `Space.sample` gives it."""
    space, found = pricing.space, {}
    for genome in space:
        if not pricing.price(genome).excess:
            found[genome] = 1.0
            for gene, used in zip(space.genes, space.active(genome), strict=True):
                found[genome] /= len(gene.options) if used else 1
    return found


@pytest.mark.parametrize("name", CASES)
def test_draws_are_spread_as_rejection_spreads_them(name):
    pricing, rng, draws = pricing_of(name), random.Random(0), 3000
    expected = within(pricing)
    rare = Rare(pricing.space, pricing.price, rng)

    drawn = collections.Counter(rare.draw(rng).genome for _ in range(draws))

    share, freedom = sum(expected.values()), len(expected) - 1
    weighed = {genome: draws * part / share for genome, part in expected.items()}
    chi_square = sum((drawn[genome] - count) ** 2 / count for genome, count in weighed.items())
    assert set(drawn) <= set(expected)
    assert share < 3e-3
    assert chi_square < 2 * freedom  # walks that end on the edge come to six times as much and more


@pytest.mark.parametrize("name", CASES)
def test_the_share_is_that_of_the_space(name):
    pricing = pricing_of(name)
    exact = sum(within(pricing).values())

    shares = [Rare(pricing.space, pricing.price, random.Random(seed)).share for seed in range(5)]

    assert all(exact / 3 < share < 3 * exact for share in shares)
    assert sum(shares) / 5 == pytest.approx(exact, rel=0.5)


def test_limits_that_nothing_meets_have_no_share_no_draw_and_the_nearest():
    space, rng = Space(FLAT), random.Random(0)
    pricing = Pricing(space, flat_costs, limits_from(["sum<=4"]))

    rare = Rare(space, pricing.price, rng)

    assert rare.share == 0
    assert rare.draw(rng) is None
    assert rare.nearest.costs["sum"] == 5


def test_the_only_candidate_of_a_space_of_one_gene_is_drawn():
    space, rng = Space({"a": one_of(*range(100))}), random.Random(0)
    pricing = Pricing(space, dict, limits_from(["a>=99"]))

    rare = Rare(space, pricing.price, rng)

    assert {rare.draw(rng).candidate["a"] for _ in range(10)} == {99}


def test_what_is_illegal_is_passed_by():
    parts = {f"e{index}": of(Embedding, kernel=one_of(1, 3, 0), stride=one_of(1, 2, 0)) for index in range(3)}
    space, rng = Space(parts), random.Random(0)
    pricing = Pricing(
        space, lambda value: {"kernels": sum(part.kernel for part in value.values())}, limits_from(["kernels<=3"])
    )

    rare = Rare(space, pricing.price, rng)

    assert rare.share == pytest.approx(1 / 8, rel=0.5)
    assert all(space.contains(rare.draw(rng).genome) for _ in range(50))
