"""Candidates within limits: surveys, the nearest, and the walk down to what drawing does not find."""

import functools
import itertools
import random

import pytest

import search_spaces
from nas import Space, cost, one_of
from nas.errors import InputError
from nas.feasible import Pricing
from nas.objectives import limits_from

FLAT = Space({"a": one_of(*range(1, 11)), "b": one_of(*range(1, 11))})
RARE = 9_000  # parameters; of 40,000 metaformer candidates drawn at 8 pixels the smallest had 9,034


def product(candidate):
    return {"size": candidate["a"] * candidate["b"], "sum": candidate["a"] + candidate["b"]}


@functools.cache
def metaformer():
    return search_spaces.get("metaformer", 8)


def network_costs(architecture):
    return cost(architecture, num_classes=10, in_channels=1).as_dict()


def test_a_limit_on_an_unknown_cost_lists_the_known_ones():
    limits = limits_from(["latency<=3"])

    with pytest.raises(
        InputError, match=r"^limit 'latency<=3': 'latency' is no cost known before training; known: size, sum$"
    ):
        Pricing(FLAT, product, limits)


def test_a_limit_without_a_costs_function_says_so():
    limits = limits_from(["params<=3"])

    with pytest.raises(InputError, match=r"^limit 'params<=3': .*; known: none, since no costs function was given$"):
        Pricing(FLAT, None, limits)


def test_a_price_is_the_costs_and_the_excess_of_the_canonical_genome():
    pricing = Pricing(FLAT, product, limits_from(["size<=10"]))

    within, beyond = pricing.price((0, 4)), pricing.price((3, 4))

    assert (within.candidate, within.costs, within.excess) == ({"a": 1, "b": 5}, {"size": 5.0, "sum": 6.0}, 0)
    assert beyond.excess == pytest.approx(1.0)
    assert beyond.genome == (3, 4)


def test_a_survey_tells_the_share_and_the_ranges():
    pricing = Pricing(FLAT, product, limits_from(["size<=10"]))

    survey = pricing.survey(seed=1)

    exact = sum(a * b <= 10 for a in range(1, 11) for b in range(1, 11)) / 100
    assert survey.share == pytest.approx(exact, abs=0.1)
    assert survey.nearest.excess == 0
    assert survey.ranges["sum"][0] <= 4
    assert survey.ranges["size"][1] > 70


def test_without_limits_everything_is_feasible():
    pricing = Pricing(FLAT, None, ())

    survey = pricing.require_feasible()

    assert survey.share == 1
    assert survey.ranges == {}


def test_surveys_of_one_seed_are_equal():
    pricing = Pricing(FLAT, product, limits_from(["size<=1"]))

    first, second = pricing.survey(seed=5), pricing.survey(seed=5)

    assert first == second


def test_limits_that_nothing_meets_name_the_nearest():
    pricing = Pricing(FLAT, product, limits_from(["size<=0.5", "sum<=100"]))

    with pytest.raises(InputError, match=r"^no architecture found within size<=0\.5; the nearest has size=1, sum=2$"):
        pricing.require_feasible()


def test_a_lower_limit_that_nothing_meets_names_the_nearest():
    pricing = Pricing(FLAT, product, limits_from(["size>=1000"]))

    with pytest.raises(InputError, match=r"^no architecture found within size>=1000; the nearest has size=100$"):
        pricing.require_feasible()


def test_a_walk_goes_on_until_what_is_wanted():
    pricing, rng = Pricing(FLAT, product, limits_from(["size<=20"])), random.Random(2)

    found = pricing.walk_down(pricing.price((9, 9)), rng, lambda priced: priced.costs["sum"] == 9)

    assert found.costs["sum"] == 9
    assert found.excess == 0


def test_fewer_than_1_in_10_000_metaformers_at_8_pixels_are_below_the_rare_limit():
    space, rng = metaformer(), random.Random(11)

    smallest = min(network_costs(space.decode(space.sample(rng)))["params"] for _ in range(10_000))

    assert smallest > RARE


@pytest.mark.parametrize("seed", range(8))
def test_a_walk_reaches_limits_that_fewer_than_1_in_10_000_meet(seed):
    pricing, rng = Pricing(metaformer(), network_costs, limits_from([f"params<={RARE}"])), random.Random(seed)
    start = pricing.price(metaformer().sample(rng))

    found = pricing.walk_down(start, rng, lambda _: True)

    assert found.excess == 0
    assert found.costs["params"] <= RARE < start.costs["params"]


def test_a_survey_finds_the_rare_candidate():
    pricing = Pricing(metaformer(), network_costs, limits_from([f"params<={RARE}"]))

    survey = pricing.require_feasible(seed=0)

    assert survey.share == 0
    assert survey.nearest.excess == 0
    assert 1e-6 < survey.estimate < 1e-3


# -- drawing within limits ------------------------------------------------------------------------------------------------

DIGITS = Space({f"g{index}": one_of(*range(1, 9)) for index in range(12)})


class Counted:
    """Costs that count how often they are asked for."""

    def __init__(self, costs):
        self.costs, self.asked = costs, 0

    def __call__(self, candidate):
        self.asked += 1
        return self.costs(candidate)


def sums(candidate):
    parts = list(candidate.values())
    return {"sum": sum(parts), "odd": sum(parts[::2]), "even": sum(parts[1::2])}


@pytest.mark.parametrize(
    "limits",
    [["sum<=22"], ["odd<=13", "even>=44"], ["sum<=23", "sum>=23"]],  # 0.9, 0.5 and 1.0 in 100,000
    ids=["one limit", "limits against each other", "a band"],
)
def test_draws_are_cheap_and_various_where_1_candidate_in_100_000_is_within_the_limits(limits):
    costs = Counted(sums)
    pricing, rng = Pricing(DIGITS, costs, limits_from(limits)), random.Random(0)

    survey = pricing.survey(seed=1)
    drawn = [pricing.draw(rng) for _ in range(200)]

    assert survey.share == 0
    assert 1e-6 < survey.estimate < 5e-5
    assert all(priced is not None and priced.excess == 0 for priced in drawn)
    assert len({priced.genome for priced in drawn}) > 150
    assert costs.asked < 200 * 100  # where rejection would ask for 100,000 a draw


def test_draws_where_much_is_within_the_limits_are_the_samples_that_keep_them():
    pricing, rng, again = Pricing(FLAT, product, limits_from(["size<=10"])), random.Random(3), random.Random(3)

    drawn = [pricing.draw(rng).genome for _ in range(50)]

    sampled = (pricing.price(FLAT.sample(again)) for _ in range(10_000))
    assert drawn == [priced.genome for priced in itertools.islice((it for it in sampled if not it.excess), 50)]


def test_without_limits_a_draw_is_a_sample():
    pricing = Pricing(FLAT, None, ())

    drawn = pricing.draw(random.Random(4))

    assert drawn.genome == FLAT.sample(random.Random(4))


def test_nothing_is_drawn_where_nothing_is_within_the_limits():
    pricing = Pricing(FLAT, product, limits_from(["size<=0.5"]))

    assert pricing.draw(random.Random(0)) is None
    assert pricing.survey().estimate == 0


def test_what_a_survey_found_spares_the_first_draw_the_way_down():
    costs = Counted(sums)
    pricing = Pricing(DIGITS, costs, limits_from(["sum<=22"]))
    pricing.survey()
    before = costs.asked

    drawn = pricing.draw(random.Random(0))

    assert drawn.excess == 0
    assert costs.asked - before < 400


@pytest.mark.parametrize("costs", [lambda _: {"macs": 1 / 0}, lambda _: [1.0], lambda _: {"macs": "many"}])
def test_costs_that_fail_or_are_no_numbers_are_told_in_one_line(costs):
    with pytest.raises(InputError, match=r"costs failed for .*Error: "):
        Pricing(FLAT, costs, ())
