"""Starting points: a value itself where it fits, else the member of the space that is most like it."""

import pytest

import search_spaces
from nas import zoo
from nas.architecture import Architecture
from nas.costs import cost
from nas.errors import InputError, SpaceError
from nas.feasible import Pricing
from nas.mixers import ConvAttention
from nas.nearest import nearest, scaled, starting_point
from nas.objectives import limits_from
from nas.space import Space, int_range, one_of


def pricing(space, *limits):
    return Pricing(space, lambda network: cost(network, num_classes=10).as_dict(), limits_from(limits))


def kinds(architecture):
    return [{block.mixer.kind for block in stage.blocks} for stage in architecture.stages]


@pytest.mark.parametrize(
    ("name", "home"), [("cvt-13", "cvt"), ("caformer-s18", "metaformer"), ("mixer-b16", "isotropic")]
)
def test_a_member_within_the_limits_starts_as_it_is(name, home):
    space = search_spaces.get(home, 224)

    start = starting_point(pricing(space), zoo.get(name))

    assert start.exact
    assert space.decode(start.genome) == zoo.get(name)


@pytest.mark.parametrize(
    "name", ["cvt-13", "poolformer-s12", "caformer-s18", "pvt-tiny", "mixer-b16", "convmixer-768-32"]
)
@pytest.mark.parametrize(("home", "side"), [("metaformer", 8), ("metaformer", 32), ("isotropic", 28), ("cvt", 32)])
def test_any_published_network_is_scaled_into_any_space_and_its_limits(name, home, side):
    prices = pricing(search_spaces.get(home, side), "params<=200e3", "macs<=40e6")

    start = starting_point(prices, zoo.get(name))

    priced = prices.price(start.genome)
    assert not start.exact
    assert priced.excess == 0
    assert priced.candidate.resolution == side


def test_the_scaled_member_has_the_mixers_of_the_published_network():
    space = search_spaces.get("metaformer", 32)

    start = starting_point(pricing(space, "params<=1e6"), zoo.get("caformer-s18"))

    assert kinds(space.decode(start.genome)) == [{"separable_conv"}, {"attention"}, {"attention"}]


def test_a_mixer_that_the_space_does_not_have_is_replaced_by_one_of_its_kin():
    space = search_spaces.get("isotropic", 32)

    start = starting_point(pricing(space), zoo.get("cvt-13"))

    assert kinds(space.decode(start.genome)) == [{"attention"}]


def test_looser_limits_give_no_smaller_start():
    space, sizes = search_spaces.get("cvt", 32), []

    for bound in (1e5, 3e5, 1e6, 3e6):
        prices = pricing(space, f"params<={bound:g}")
        sizes.append(prices.price(starting_point(prices, zoo.get("cvt-13")).genome).costs["params"])

    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert all(size <= bound for size, bound in zip(sizes, (1e5, 3e5, 1e6, 3e6), strict=True))


def test_widths_and_depths_are_scaled_together_with_the_limit():
    architecture = scaled(zoo.get("cvt-21"), 0.5, 0.25)

    assert [stage.width for stage in architecture.stages] == [32, 96, 192]
    assert [len(stage.blocks) for stage in architecture.stages] == [1, 1, 4]
    assert isinstance(architecture.stages[0].blocks[0].mixer, ConvAttention)


def test_limits_that_nothing_like_it_keeps_are_an_error():
    prices = pricing(search_spaces.get("metaformer", 224), "params<=1000")

    with pytest.raises(InputError, match=r"^nothing like it is within params<=1000 in this space$"):
        starting_point(prices, zoo.get("cvt-13"))


def test_the_nearest_number_is_taken_by_ratio():
    space = Space({"width": one_of(16, 64, 256), "depth": int_range(1, 4)})
    prices = Pricing(space, None, ())

    genome = nearest(prices, {"width": 120, "depth": 9})

    assert space.decode(genome) == {"width": 64, "depth": 4}


def test_a_value_of_ones_own_starts_as_it_is_or_not_at_all():
    space = Space({"width": one_of(16, 64)})
    prices = Pricing(space, lambda value: {"macs": value["width"]}, limits_from(["macs<=32"]))

    over = starting_point(prices, {"width": 64})

    assert (over.exact, over.genome) == (True, (1,))  # the study passes over it, as it says
    with pytest.raises(SpaceError, match=r"^not in the space: "):
        starting_point(prices, {"width": 20})


def test_an_architecture_of_the_space_that_is_over_a_limit_is_scaled():
    space = search_spaces.get("cvt", 224)
    prices = pricing(space, "params<=10e6")

    start = starting_point(prices, zoo.get("cvt-13"))

    network = space.decode(start.genome)
    assert isinstance(network, Architecture)
    assert not start.exact
    assert 5e6 < cost(network, num_classes=10).params <= 10e6


def test_a_space_without_architectures_has_no_place_for_one():
    space = Space({f"l{index}": one_of("a", "b") for index in range(3)})

    with pytest.raises(SpaceError, match=r"^not in the space: "):
        starting_point(Pricing(space, None, ()), zoo.get("cvt-13"))


@pytest.mark.parametrize(
    ("home", "side", "limit", "name"),
    [
        ("cvt", 28, "params<=200e3", "resmlp-b24-8"),
        ("isotropic", 224, "params<=1e6", "resmlp-b24-8"),
        ("cvt", 224, "macs<=1e9", "caformer-s18"),
    ],
)
def test_where_no_scale_is_within_the_limits_the_smallest_is_changed_until_it_is(home, side, limit, name):
    prices = pricing(search_spaces.get(home, side), limit)

    assert prices.price(starting_point(prices, zoo.get(name)).genome).excess == 0


def test_neither_width_nor_depth_bears_the_scaling_alone():
    start = starting_point(pricing(search_spaces.get("cvt", 32), "params<=2e6"), zoo.get("cvt-13"))

    assert min(start.width, start.depth) > 0.3


@pytest.mark.parametrize("name", ["mixer-b16", "gmlp-s16", "resmlp-s12"])
def test_what_mixes_tokens_is_not_replaced_by_what_mixes_nothing(name):
    space = search_spaces.get("metaformer", 32)

    start = starting_point(pricing(space), zoo.get(name))

    assert not any("identity" in mixers for mixers in kinds(space.decode(start.genome)))
