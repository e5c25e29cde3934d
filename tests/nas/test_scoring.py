"""Scoring: of every network, the same numbers again, and within a search."""

import dataclasses
import math
import pickle
import random

import pytest
import torch
from scored import batch, levelled, network, scores

import search_spaces
from nas import zoo
from nas.costs import cost
from nas.errors import ArchitectureError, InputError
from nas.mixers import (
    Attention,
    DepthwiseConv,
    GatedMlp,
    Identity,
    Pooling,
    RandomMixing,
)
from nas.proxies import BASELINES, PROXIES, ProxyScores, chosen, examine, score, training_batch
from nas.proxies.features import expressivity, naswot
from nas.proxies.flow import synflow
from nas.proxies.gradients import grad_norm, snip, zico
from nas.proxies.scoring import measures

pytestmark = pytest.mark.usefixtures("one_thread")


# -- every network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", zoo.FAMILIES, ids=lambda family: family.name)
def test_every_score_of_every_small_published_family_is_finite(family):
    member = zoo.scaled(family, 16, lambda each: cost(each, num_classes=3).params <= 30_000)

    found = scores(member, 16)

    assert found.keys() == PROXIES.keys()
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize(("name", "resolution"), [("metaformer", 8), ("cvt", 12), ("isotropic", 16)])
def test_every_score_of_random_networks_of_a_space_is_finite(name, resolution):
    space, rng, looked = search_spaces.get(name, resolution), random.Random(0), 0
    while looked < 12:
        candidate = space.decode(space.sample(rng))
        if cost(candidate, num_classes=3, in_channels=1).macs > 1e6:
            continue
        looked += 1
        found = examine(candidate, *batch(resolution), num_classes=3)
        assert found.values.keys() | found.missing.keys() == PROXIES.keys()
        assert set(found.missing) <= {"naswot"}
        assert all(math.isfinite(value) for value in found.values.values())


def test_the_published_space_of_large_images_is_scored_too():
    space = search_spaces.get("cvt13-nas", 32)
    member = zoo.get("caformer-s18")
    small = dataclasses.replace(
        member,
        resolution=32,
        stages=tuple(dataclasses.replace(stage, width=32, blocks=stage.blocks[:1]) for stage in member.stages[:3]),
    )

    assert space.decode(space.sample(random.Random(0)))
    assert scores(small, 32).keys() == PROXIES.keys()


# -- the same numbers --------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_scores_whatever_was_scored_or_drawn_before():
    architecture = network(Attention(head_width=8), RandomMixing(), norm="batch")
    first = scores(architecture)
    torch.rand(7)
    scores(network(DepthwiseConv()), seed=5)

    assert scores(architecture) == first
    other = scores(architecture, seed=1)
    assert all(other[name] != first[name] for name in PROXIES if name not in BASELINES)


def test_a_score_does_not_depend_on_which_others_are_taken():
    architecture = network(Attention(head_width=8), norm="batch")
    together = scores(architecture)

    for name in PROXIES:
        assert scores(architecture, names=[name]) == {name: together[name]}
    assert scores(architecture, names=list(reversed(PROXIES))) == together


def test_scoring_leaves_generators_and_images_as_they_were():
    images, labels = batch()
    before, untouched = torch.get_rng_state(), images.clone()
    random.seed(3)
    python_before = random.getstate()

    score(network(RandomMixing()), images, labels)

    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == python_before
    assert torch.equal(images, untouched)
    assert torch.is_grad_enabled()


def test_the_order_of_the_images_makes_no_difference_to_naswot():
    images, labels = batch(count=16)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    architecture = network(DepthwiseConv(), norm="batch")

    one, other = (score(architecture, images[rows], labels[rows], num_classes=3) for rows in (slice(None), order))

    assert other["naswot"] == pytest.approx(one["naswot"], rel=1e-9)
    assert other["zico"] != one["zico"]


def test_the_number_of_threads_changes_no_more_than_the_last_digits():
    architecture = network(Attention(head_width=8), DepthwiseConv(), norm="batch", width=64)
    one = scores(architecture)
    torch.set_num_threads(2)

    assert scores(architecture) == pytest.approx(one, rel=1e-8)


def test_measures_leave_the_model_as_they_found_it():
    model = levelled(network(GatedMlp(), Pooling()))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    images, labels = batch()

    for measure in measures(0).values():
        measure(model, images.double(), labels)

    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_every_proxy_has_a_measure_and_every_formula_a_paper():
    assert set(measures(0)) | set(BASELINES) == set(PROXIES)
    for measure in (synflow, snip, grad_norm, naswot, zico, expressivity):
        assert "arXiv" in measure.__doc__


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["sinflow"], "unknown proxy 'sinflow': did you mean synflow?"),
        (["snip,"], "'snip,': names with commas"),
        ([""], "names"),
    ],
)
def test_names_that_are_no_proxies_are_refused(given, told):
    with pytest.raises(InputError, match=told.replace("?", r"\?")):
        chosen(given)


def test_names_come_from_lists_and_from_texts_with_commas_each_once():
    assert chosen(["snip, naswot", "snip", "macs"]) == ("snip", "naswot", "macs")


@pytest.mark.parametrize(
    ("images", "labels"),
    [(torch.zeros(8, 1, 8), torch.zeros(8)), (torch.zeros(8, 1, 8, 4), torch.zeros(8)),
     (torch.zeros(8, 1, 8, 8), torch.zeros(7)), (torch.zeros(3, 1, 8, 8), torch.zeros(3))],
)  # fmt: skip
def test_images_that_do_not_fit_are_refused(images, labels):
    with pytest.raises(InputError, match=r"expected|needed"):
        score(network(Identity()), images, labels)


def test_a_size_that_the_network_does_not_take_is_refused():
    with pytest.raises(ArchitectureError):
        score(network(Identity(), stride=8), *batch(4))


# -- batches and searches ----------------------------------------------------------------------------------------------


def test_the_batch_is_of_training_images_normalised_and_the_same_for_a_seed(digits):
    images, labels = training_batch(digits, 64, seed=2)
    again = training_batch(digits, 64, seed=2)
    train = {row.tobytes() for row in digits.images("train")}
    mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (digits.mean, digits.std))
    restored = ((images * std + mean) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)

    assert images.shape == (64, 1, 8, 8)
    assert torch.equal(images, again[0])
    assert torch.equal(labels, again[1])
    assert not torch.equal(images, training_batch(digits, 64, seed=3)[0])
    assert all(row.contiguous().numpy().tobytes() in train for row in restored)


@pytest.mark.parametrize("size", [3, 10_000])
def test_a_batch_that_is_too_small_or_too_large_is_refused(digits, size):
    with pytest.raises(InputError, match=f"a batch of {size}: 4 to 1079"):
        training_batch(digits, size)


def test_no_image_but_training_ones_is_read(digits, monkeypatch):
    read = []
    original = type(digits).images
    monkeypatch.setattr(type(digits), "images", lambda self, split: read.append(split) or original(self, split))

    ProxyScores(digits, ("snip",))(network(Identity()))

    assert read == ["train"]


def test_scores_of_a_search_are_those_of_score_and_are_remembered_by_digest(digits, monkeypatch):
    from nas.proxies import scoring

    built = []
    original = scoring.build_levelled
    monkeypatch.setattr(scoring, "build_levelled", lambda *args, **given: built.append(1) or original(*args, **given))
    proxy = ProxyScores(digits, ("naswot", "params"), seed=4, batch=16)
    architecture = network(Attention(head_width=8))

    first, second = proxy(architecture), proxy(dataclasses.replace(architecture))

    images, labels = training_batch(digits, 16, seed=4)
    assert first == score(architecture, images, labels, names=("naswot", "params"), num_classes=10, seed=4)
    assert second == first
    assert len(built) == 2  # one for the search, one for the comparison


def test_scores_of_a_search_can_be_pickled_and_give_the_same_numbers(digits):
    proxy = ProxyScores(digits, ("snip",))
    architecture = network(Pooling())
    first = proxy(architecture)

    copy = pickle.loads(pickle.dumps(proxy))

    assert copy == proxy
    assert copy._known == {}
    assert copy(architecture) == first


def test_what_is_remembered_has_an_end(digits, monkeypatch):
    monkeypatch.setattr("nas.proxies.in_search.KEPT", 2)
    proxy = ProxyScores(digits, ("params",))
    first, second, third = (network(Identity(), width=width) for width in (8, 16, 24))

    for each in (first, second, first, third):
        proxy(each)

    assert list(proxy._known) == [first.digest, third.digest]


def test_what_is_no_architecture_is_not_scored(digits):
    with pytest.raises(InputError, match="proxies score architectures, not dict"):
        ProxyScores(digits, ("snip",))({"layer": "conv3"})
