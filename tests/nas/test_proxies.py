"""Zero-cost scores: each equals its formula on networks small enough to do by hand, and none falls for a bad start."""

import dataclasses
import math
import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

import search_spaces
from nas import zoo
from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.costs import cost
from nas.errors import ArchitectureError, InputError
from nas.layers.convolutional import PoolingMixer
from nas.mixers import (
    Attention,
    ConvAttention,
    DepthwiseConv,
    GatedMlp,
    Identity,
    MultiAxisMlp,
    Pooling,
    RandomMixing,
    SeparableConv,
    TokenLinear,
    TokenMlp,
)
from nas.model import build
from nas.proxies import BASELINES, PROXIES, ProxyScores, chosen, examine, score, training_batch
from nas.proxies.features import NoSwitches, expressivity, naswot
from nas.proxies.flow import AbsolutePooling, _Passing, absolute_linear, positive_input, synflow
from nas.proxies.gradients import grad_norm, snip, zico
from nas.proxies.levelled import build_levelled, weights
from nas.proxies.scoring import measures

MIXERS = {
    "identity": Identity(), "pooling": Pooling(), "random": RandomMixing(), "depthwise": DepthwiseConv(),
    "separable": SeparableConv(), "token_mlp": TokenMlp(), "token_linear": TokenLinear(), "gated": GatedMlp(),
    "axes": MultiAxisMlp(block=2, grid=2), "attention": Attention(head_width=8), "cvt": ConvAttention(head_width=8),
}  # fmt: skip
WEIGHT_BASED = ("synflow", "snip", "grad_norm", "zico")


pytestmark = pytest.mark.usefixtures("one_thread")


def network(*mixers, width=16, resolution=8, stride=2, position="none", head=None, **fields):
    blocks = tuple(Block(mixer=mixer, **fields) for mixer in mixers)
    stage = Stage(embedding=Embedding(kernel=stride, stride=stride), width=width, blocks=blocks, position=position)
    return Architecture(resolution=resolution, stages=(stage,), head=head or Head())


def batch(resolution=8, count=8, channels=1, seed=0):
    """Smooth images: noise is not what networks are for."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, channels, 4, 4, generator=generator)
    images = nn.functional.interpolate(coarse, size=resolution, mode="bilinear")
    return images, torch.arange(count) % 3


def levelled(architecture, resolution=8, classes=3, seed=0):
    return build_levelled(architecture, in_channels=1, num_classes=classes, resolution=resolution, seed=seed)


def scores(architecture, resolution=8, **given):
    return score(architecture, *batch(resolution), num_classes=3, **given)


def plain(width=5, head_width=0):
    """One pixel, no norm, no mixing and no MLP: logits = W2 (2 W1 x), since identity adds its input to itself."""
    stage = Stage(
        embedding=Embedding(kernel=4, stride=4),
        width=width,
        blocks=(Block(mixer=Identity(), mlp_ratio=0, norm="none"),),
    )
    return Architecture(resolution=4, stages=(stage,), head=Head(norm="none"))


def two_layers(model):
    return model.stages[0][0].conv.weight.flatten(1), model.classifier.weight


# -- the formulas ------------------------------------------------------------------------------------------------------


def test_params_and_macs_are_those_of_the_formula():
    architecture = network(Attention(head_width=8))
    known = cost(architecture, num_classes=3, in_channels=1)

    assert scores(architecture, names=("macs", "params")) == {"macs": known.macs, "params": known.params}


def test_synflow_of_a_linear_network_is_its_closed_form():
    model = levelled(plain(), resolution=4)
    first, second = (weight.detach().abs() for weight in two_layers(model))
    x = positive_input(1, 4, 4, seed=3).flatten()

    flow = synflow(model, torch.zeros(4, 1, 4, 4), torch.zeros(4), seed=3)

    total = float((second @ (2 * first @ x)).sum())  # each of the two layers conserves it
    assert flow == pytest.approx(math.log(2 * total), rel=1e-12)


def test_snip_and_grad_norm_are_those_of_the_gradient_by_hand():
    model = levelled(plain(), resolution=4)
    images, labels = batch(4)
    images = images.double()
    first, second = (weight.detach() for weight in two_layers(model))
    x_BD = images.flatten(1)
    hidden_BC = 2 * x_BD @ first.T
    error_BK = (hidden_BC @ second.T).softmax(1) - nn.functional.one_hot(labels, 3)
    second_grad = error_BK.T @ hidden_BC / len(labels)
    first_grad = 2 * (error_BK @ second).T @ x_BD / len(labels)

    by_hand = float((first * first_grad).abs().sum() + (second * second_grad).abs().sum())

    assert snip(model, images, labels) == pytest.approx(by_hand, rel=1e-10)
    assert grad_norm(model, images, labels) == pytest.approx(float(first_grad.norm() + second_grad.norm()), rel=1e-10)


def test_zico_is_its_formula_over_four_parts_of_the_batch():
    model = levelled(network(DepthwiseConv()))
    images, labels = batch()
    images = images.double()
    layers = weights(model)
    grads = []
    for part in range(4):
        loss = cross_entropy(model(images[2 * part : 2 * part + 2]), labels[2 * part : 2 * part + 2])
        grads.append([grad.numpy() for grad in torch.autograd.grad(loss, layers)])

    total = 0.0
    for layer in zip(*grads, strict=True):
        std, mean = np.std(layer, axis=0), np.mean(np.abs(layer), axis=0)
        total += math.log((mean[std > 0] / std[std > 0]).sum())

    assert zico(model, images, labels) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("activation", ["relu", "gelu", "quick_gelu", "star_relu", "squared_relu"])
def test_naswot_is_its_formula_whatever_the_activation(activation):
    model = levelled(network(Identity(), activation=activation))
    images = batch()[0].double()
    seen = []
    mlp = model.stages[0][1].mlp[1]
    hook = mlp[0].register_forward_hook(lambda _m, _i, out: seen.append((out.detach() > 0).flatten(1).numpy()))

    value = naswot(model, images, None)

    hook.remove()
    on = seen[0]
    agreeing = [[int((a == b).sum()) for b in on] for a in on]
    expected = np.linalg.slogdet(np.array(agreeing) + np.eye(len(on)))
    assert expected.sign == 1
    assert value == pytest.approx(expected.logabsdet, rel=1e-10)


@pytest.mark.parametrize("mixer", [GatedMlp(), MultiAxisMlp(block=2, grid=2)])
def test_naswot_sees_activations_that_are_no_modules(mixer):
    assert math.isfinite(naswot(levelled(network(mixer, mlp_ratio=0)), batch()[0].double(), None))


def test_naswot_of_two_equal_images_is_finite_and_lower():
    model = levelled(network(Pooling()))
    images = batch()[0].double()
    twice = images.clone()
    twice[1] = twice[0]

    assert math.isfinite(naswot(model, twice, None))
    assert naswot(model, twice, None) < naswot(model, images, None)


def test_expressivity_is_the_entropy_of_the_spectrum_summed_over_blocks():
    model = levelled(network(Pooling(), Attention(head_width=8)))
    images = batch()[0].double()
    seen = []
    hooks = [block.register_forward_hook(lambda _m, _i, out: seen.append(out)) for block in model.stages[0][1:]]

    value = expressivity(model, images, None)

    [hook.remove() for hook in hooks]
    expected = 0.0
    for out in seen:
        spectrum = np.linalg.eigvalsh(np.cov(out.detach().reshape(-1, 16).numpy().T))
        share = np.clip(spectrum / spectrum.sum(), 1e-300, None)
        expected -= float((share * np.log(share)).sum())
    assert len(seen) == 2
    assert value == pytest.approx(expected, rel=1e-9)


# -- the traps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
def test_a_layer_scale_that_starts_near_zero_changes_no_score(mixer):
    names = [name for name in PROXIES if name not in BASELINES]
    without, tiny, residual = (
        scores(network(mixer, mixer, **fields), names=names)
        for fields in ({}, {"layer_scale": 1e-6}, {"layer_scale": 1e-6, "residual_scale": 0.1})
    )

    assert without.keys() == set(names)
    assert tiny == pytest.approx(without, rel=1e-9)
    assert residual == pytest.approx(without, rel=1e-9)


def test_a_head_that_is_published_as_zero_has_gradients_here():
    architecture = network(TokenMlp())
    published = build(architecture, in_channels=1, num_classes=3, init="jax").double()
    images, labels = batch()

    def inside(model):
        """What of snip is not the classifier's."""
        grads = torch.autograd.grad(cross_entropy(model(images.double()), labels), weights(model))
        return [
            float((weight.detach() * grad).abs().sum()) for weight, grad in zip(weights(model), grads, strict=True)
        ][:-1]

    assert inside(published) == [0, 0, 0, 0, 0]
    assert min(inside(levelled(architecture))) > 1e-3


def test_gates_start_open_to_what_is_mixed():
    spatial = levelled(network(GatedMlp())).stages[0][1].mix[1].spatial

    assert float(spatial.weight.detach().std()) > 0.1


def test_kernels_and_matrices_start_with_the_same_gain():
    model = levelled(network(DepthwiseConv(kernel=3), Attention(head_width=32), width=256, stride=2))
    kernel, matrix = model.stages[0][1].mix[1].conv.weight, model.stages[0][2].mix[1].out.weight

    assert float(kernel.detach().std()) * 3 == pytest.approx(1, rel=0.1)
    assert float(matrix.detach().std()) * 16 == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("mixer", [mixer for mixer in MIXERS.values() if not isinstance(mixer, Identity)], ids=str)
def test_synflow_reaches_the_matrices_of_every_mixer_but_queries_and_keys(mixer):
    model = absolute_linear(levelled(network(mixer)))
    with _Passing():
        total = model(positive_input(1, 8, 8, seed=0)[None]).sum()
    inside = [(name, weight) for name, weight in model.named_parameters() if ".mix." in name and weight.ndim > 1]

    total.backward()

    reached = {name for name, weight in inside if weight.grad is not None and float(weight.grad.abs().sum()) > 0}
    unreached = {name.split("mix.1.")[1] for name, _ in inside} - {name.split("mix.1.")[1] for name in reached}
    assert all(name.startswith(("q.", "k.", "matrix")) for name in unreached)
    assert all(float(weight.grad.min()) >= 0 for _, weight in inside if weight.grad is not None)


@pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
def test_the_network_of_synflow_is_linear_in_its_input(mixer):
    architecture = network(mixer, norm="batch", activation="star_relu", layer_scale=1e-5, position="learned")
    model = absolute_linear(levelled(architecture))
    a, b = (positive_input(1, 8, 8, seed=seed)[None] for seed in (0, 1))

    with _Passing(), torch.no_grad():
        together, apart = model(2 * a + 3 * b), 2 * model(a) + 3 * model(b)

    assert torch.allclose(together, apart, rtol=1e-12)
    assert float(together.min()) > 0


def test_attention_flows_as_it_does_where_all_keys_are_alike():
    v = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    q, k = torch.ones(2, 3, 7, 4), torch.ones(2, 3, 5, 4)

    with _Passing():
        passed = scaled_dot_product_attention(
            q * torch.arange(7).view(7, 1), k * torch.arange(5).view(5, 1), v, scale=2.0
        )

    assert torch.allclose(passed, scaled_dot_product_attention(q, k, v))


def test_pooling_flows_by_the_absolute_value_of_its_matrix():
    mixer = PoolingMixer(4, 3)
    unit_NNC = torch.eye(16).reshape(16, 16, 1)  # each image a unit of one token

    matrix, absolute = (module(unit_NNC)[:, :, 0] for module in (mixer, AbsolutePooling(mixer)))

    assert torch.allclose(absolute, matrix.abs(), atol=1e-6)
    assert float(matrix.min()) < 0


def test_pooling_of_equal_tokens_is_nothing_but_flows():
    pooled, nothing = network(Pooling(), norm="none"), network(Identity(), norm="none")

    assert scores(pooled, names=["synflow"]) != scores(nothing, names=["synflow"])


def test_synflow_does_not_overflow_with_depth():
    deep = network(*[Attention(head_width=16)] * 256, width=64, resolution=4)
    half = network(*[Attention(head_width=16)] * 128, width=64, resolution=4)

    one, two = (synflow(levelled(each, 4), batch(4)[0], None) for each in (half, deep))

    assert two > math.log(1.7e308)
    assert two == pytest.approx(2 * one, rel=0.05)


def test_wider_networks_have_more_synflow():
    values = [scores(network(Pooling(), width=width), names=["synflow"])["synflow"] for width in (8, 16, 32, 64)]

    assert values == sorted(values)
    assert values[-1] > values[0] + 1


def test_biases_norms_scales_and_tables_are_not_scored():
    architecture = network(Attention(head_width=8), layer_scale=0.1, residual_scale=1.0, position="learned",
                           norm="batch", head=Head(pool="mean"))  # fmt: skip

    shapes = [tuple(weight.shape) for weight in weights(levelled(architecture))]

    assert shapes == [(16, 1, 2, 2), (48, 16), (16, 16), (64, 16), (16, 64), (3, 16)]


def test_a_network_without_activations_says_so_and_has_the_other_scores():
    found = examine(network(Pooling(), mlp_ratio=0), *batch(), num_classes=3)

    assert found.missing == {"naswot": "no activation whose units are on or off"}
    assert found.values.keys() == PROXIES.keys() - {"naswot"}
    with pytest.raises(NoSwitches):
        naswot(levelled(network(Attention(head_width=8), mlp_ratio=0)), batch()[0].double(), None)


def test_mixers_that_own_no_weights_are_told_apart_by_their_features():
    by_mixer = [scores(network(mixer, mixer)) for mixer in (Identity(), Pooling(), RandomMixing())]

    assert len({row["params"] for row in by_mixer}) == 1
    for name in ("naswot", "expressivity"):
        assert len({round(row[name], 6) for row in by_mixer}) == 3, name


def test_families_are_told_apart_by_forward_scores():
    families = (Pooling(), Attention(head_width=8), DepthwiseConv(kernel=5))
    rows = [scores(network(mixer, mixer)) for mixer in families]

    for name in ("naswot", "expressivity"):
        values = [row[name] for row in rows]
        assert min(abs(a - b) for a in values for b in values if a is not b) > 1e-3, name


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
