"""Zero-cost scores: each equals its formula on networks small enough to do by hand, and none falls for a bad start."""

import math

import numpy as np
import pytest
import torch
from scored import MIXERS, batch, levelled, network, plain, scores, two_layers
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from nas.architecture import Head
from nas.costs import cost
from nas.layers.convolutional import PoolingMixer
from nas.mixers import (
    Attention,
    DepthwiseConv,
    GatedMlp,
    Identity,
    MultiAxisMlp,
    Pooling,
    RandomMixing,
    TokenMlp,
)
from nas.model import build
from nas.proxies import BASELINES, PROXIES, examine
from nas.proxies.features import NoSwitches, expressivity, naswot
from nas.proxies.flow import AbsolutePooling, _Passing, absolute_linear, positive_input, synflow
from nas.proxies.gradients import grad_norm, snip, zico
from nas.proxies.levelled import weights

pytestmark = pytest.mark.usefixtures("one_thread")


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
