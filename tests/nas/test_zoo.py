"""The published networks and their families at any scale."""

import pytest

from nas import zoo
from nas.architecture import Architecture
from nas.costs import cost
from nas.errors import InputError
from nas.model import build

FAMILIES = {family.name: family for family in zoo.FAMILIES}
LIMITS = {8: 30_000, 28: 100_000, 32: 200_000, 64: 500_000, 224: 3_000_000}


def within(limit, classes=10):
    return lambda architecture: cost(architecture, num_classes=classes).params <= limit


def test_an_unknown_name_lists_the_nearest_first():
    name = "cvt13"

    with pytest.raises(
        InputError, match=r"^unknown architecture 'cvt13': did you mean cvt-13.*\? known: convmixer-1536-20, .*cvt-w24$"
    ):
        zoo.get(name)


def test_a_name_like_none_lists_the_known_ones_only():
    name = "xyzzy"

    with pytest.raises(InputError, match=r"^unknown architecture 'xyzzy': known: convmixer-1536-20"):
        zoo.get(name)


def test_published_networks_are_all_different():
    architectures = [zoo.get(name) for name in zoo.names()]

    digests = {architecture.digest for architecture in architectures}

    assert len(digests) == len(zoo.names()) == 21
    assert all(isinstance(architecture, Architecture) for architecture in architectures)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_published_member_of_a_family_is_in_the_zoo(name):
    family = FAMILIES[name]

    published = zoo.get(family.published)

    member = family.make(family.unit * 12, family.depths[-1], published.resolution)
    kinds = {block.mixer.kind for stage in published.stages for block in stage.blocks}
    assert {block.mixer.kind for stage in member.stages for block in stage.blocks} == kinds
    assert member.head == published.head


@pytest.mark.parametrize("resolution", LIMITS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_scaled_member_stays_within_its_limit_and_uses_it(name, resolution):
    limit = LIMITS[resolution]

    member = zoo.scaled(FAMILIES[name], resolution, within(limit))

    params = cost(member, num_classes=10).params
    assert member.resolution == resolution
    assert limit / 2 < params <= limit


@pytest.mark.parametrize("resolution", LIMITS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_scaled_member_is_built_and_gives_logits(name, resolution):
    import torch

    member = zoo.scaled(FAMILIES[name], resolution, within(LIMITS[resolution]))

    with torch.device("meta"):
        model = build(member, num_classes=10)
        logits = model.eval()(torch.empty(2, 3, resolution, resolution))

    assert logits.shape == (2, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == cost(member, num_classes=10).params


@pytest.mark.parametrize("name", FAMILIES)
def test_a_limit_that_no_member_meets_gives_none(name):
    family = FAMILIES[name]

    member = zoo.scaled(family, 32, within(100))

    assert member is None


@pytest.mark.parametrize("name", FAMILIES)
def test_a_looser_limit_gives_no_smaller_member(name):
    family = FAMILIES[name]

    sizes = [
        cost(zoo.scaled(family, 32, within(limit)), num_classes=10).params
        for limit in (50_000, 100_000, 400_000, 1_600_000)
    ]

    assert sizes == sorted(sizes)
    assert sizes[-1] > 4 * sizes[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_largest_member_is_chosen_by_its_own_limit_whatever_else_costs(name):
    family, limit = FAMILIES[name], 2e6

    member = zoo.scaled(family, 28, lambda architecture: cost(architecture, num_classes=10).macs <= limit * 20)

    assert cost(member, num_classes=10).macs <= limit * 20
    assert cost(member, num_classes=10).macs > limit
