"""Whole networks: shapes, gradients, and what the values say of the modules."""

import dataclasses
import math

import pytest
import torch
from formulas import shaken
from torch import nn
from torch.nn import functional

from nas import build, zoo
from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.costs import cost
from nas.errors import ArchitectureError, InputError
from nas.layers.common import DropPath, to_map
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
from nas.tally import ACTIVATIONS, NORMS

MIXERS = {
    "identity": Identity(),
    "pooling": Pooling(size=3),
    "depthwise": DepthwiseConv(kernel=3),
    "depthwise_even": DepthwiseConv(kernel=2),
    "separable": SeparableConv(kernel=3),
    "separable_star": SeparableConv(kernel=3, activation="star_relu", bias=False),
    "token_mlp": TokenMlp(),
    "token_linear": TokenLinear(),
    "token_linear_bare": TokenLinear(bias=False),
    "random_mixing": RandomMixing(),
    "gated_mlp": GatedMlp(),
    "multi_axis_mlp": MultiAxisMlp(block=1, grid=1),
    "attention": Attention(head_width=8),
    "attention_bare": Attention(head_width=8, qkv_bias=False, out_bias=False),
    "attention_reduced": Attention(head_width=8, reduction=2),
    "conv_attention": ConvAttention(head_width=8, kv_stride=1),
    "conv_attention_q2": ConvAttention(head_width=8, q_stride=2, kv_stride=1),
    "conv_attention_shared": ConvAttention(head_width=8, shared_kv=True, scale="head", qkv_bias=False),
}
SIZES = (7, 8, 28, 30)


@pytest.fixture(autouse=True)
def seeded_on_one_thread():
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(mixer, resolution=8, *, pool="mean", position="none", norm="layer", **fields):
    """Two stages, the second at half the side, with the mixer in both (or, with a class token, in the last)."""
    first = Block(mixer=Identity() if pool == "class_token" else mixer, norm=norm, **fields)
    stages = (
        Stage(embedding=Embedding(kernel=3, stride=2, padding=1), width=16, blocks=(first,)),
        Stage(
            embedding=Embedding(kernel=2, stride=2, norm=norm),
            width=24,
            blocks=(Block(mixer=mixer, norm=norm, **fields),) * 2,
            position=position,
        ),
    )
    return Architecture(resolution=resolution, stages=stages, head=Head(pool=pool, norm=norm))


# -- whole networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", MIXERS)
def test_every_mixer_gives_logits_and_gradients_to_every_parameter(kind, channels, resolution):
    model = build(network(MIXERS[kind], resolution), in_channels=channels, num_classes=7)

    logits = model.train()(torch.randn(3, channels, resolution, resolution))
    functional.cross_entropy(logits, torch.tensor([0, 3, 6])).backward()

    assert logits.shape == (3, 7)
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    for name, parameter in trained:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    # what shifts all keys alike shifts every score alike, so softmax leaves its gradient 0; all else must move
    still = [name for name, parameter in trained if not parameter.grad.abs().sum() > 0]
    assert all(name.endswith(("k.linear.bias", "k.norm.bias")) for name in still), still


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["identity", "attention", "conv_attention", "conv_attention_q2"])
def test_a_class_token_and_positions_get_gradients(kind, channels):
    architecture = network(MIXERS[kind], 28, pool="class_token", position="learned")
    model = build(architecture, in_channels=channels, num_classes=7)

    model(torch.randn(2, channels, 28, 28)).sum().backward()

    tables = {
        name: parameter for name, parameter in model.named_parameters() if name.endswith(("class_token", "position"))
    }
    assert {name: tuple(table.shape) for name, table in tables.items()} == {
        "stages.1.0.class_token": (1, 1, 24),
        "stages.1.0.position": (1, 50, 24),
    }
    assert all(table.grad.abs().sum() > 0 for table in tables.values())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", MIXERS)
def test_an_image_alone_gets_the_logits_that_it_gets_in_a_batch(kind, norm):
    model = shaken(build(network(MIXERS[kind], norm=norm), num_classes=5))
    images = torch.randn(4, 3, 8, 8)

    with torch.no_grad():
        together, alone = model(images), torch.cat([model(image[None]) for image in images])

    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", MIXERS)
def test_a_permuted_batch_gets_permuted_logits(kind):
    model = shaken(build(network(MIXERS[kind]), num_classes=5))
    images, order = torch.randn(5, 3, 8, 8), torch.tensor([3, 0, 4, 2, 1])

    with torch.no_grad():
        logits, permuted = model(images), model(images[order])

    torch.testing.assert_close(permuted, logits[order], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(permuted, logits, atol=1e-2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", NORMS)
def test_the_conv_mixer_layout_gives_logits_and_gradients(norm, activation):
    architecture = network(DepthwiseConv(kernel=3), norm=norm, activation=activation, layout="conv_mixer", mlp_ratio=0)
    model = build(architecture, num_classes=5)

    logits = model.train()(torch.randn(3, 3, 8, 8))
    functional.cross_entropy(logits, torch.tensor([0, 3, 4])).backward()

    assert logits.shape == (3, 5)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "resolution"),
    [
        ("deit-tiny", 224), ("cvt-13", 224), ("poolformer-s12", 224), ("convmixer-256-8-cifar10", 32), ("mixer-s32", 64),
        ("gmlp-ti16", 64), ("resmlp-s12", 64), ("pvt-tiny", 64), ("cvt-cifar10", 32), ("metaformer-ppaa-s12", 64),
        ("poolformerv2-s12", 64), ("randformer-s12", 64), ("convformer-s18", 64), ("caformer-s18", 64),
    ],
)  # fmt: skip
def test_a_published_network_gives_logits_as_it_was_published(name, resolution):
    model = build(zoo.get(name).at(resolution), num_classes=10, init=zoo.entry(name).init).eval()

    with torch.no_grad():
        logits = model(torch.randn(1, 3, resolution, resolution))

    assert logits.shape == (1, 10)
    assert torch.isfinite(logits).all()


def test_a_network_is_built_at_another_resolution():
    architecture = zoo.get("convmixer-256-8-cifar10")

    model = build(architecture, resolution=20, num_classes=3)

    assert model.architecture.resolution == 20
    assert [place.side for place in model.places] == [10]
    assert model.eval()(torch.zeros(1, 3, 20, 20)).shape == (1, 3)


def test_a_resolution_that_does_not_fit_is_refused_naming_the_stage():
    architecture = network(Attention(head_width=8))

    with pytest.raises(ArchitectureError, match=r"^stages\[1\]\.embedding\.stride: 2 is larger than the 1x1 map$"):
        build(architecture, resolution=2)


def test_more_than_4e9_parameters_are_refused_before_any_is_made():
    block = Block(mixer=Identity(), mlp_ratio=16)
    stage = Stage(embedding=Embedding(kernel=1, stride=1), width=16384, blocks=(block,))
    architecture = Architecture(resolution=4, stages=(stage,))

    with pytest.raises(InputError, match=r"^8,[\d,]+ parameters: more than 4,000,000,000 are not built$"):
        build(architecture)

    assert cost(architecture).params > 8e9


def test_weights_start_bounded_and_biases_of_linear_layers_at_zero():
    model = build(network(Attention(head_width=8), position="learned"), num_classes=5)

    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]

    assert linears
    for linear in linears:
        assert linear.weight.abs().max() <= math.sqrt(6 / (linear.in_features + linear.out_features)) + 1e-6
        assert linear.weight.std() > 0.01
        assert not linear.bias.any()
    assert 0.01 < model.stages[1][0].position.std() < 0.03


def test_builds_of_one_seed_are_equal_and_of_two_seeds_are_not():
    architecture, models = network(Attention(head_width=8)), []

    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(build(architecture, num_classes=5).classifier.weight)

    assert torch.equal(models[0], models[1])
    assert not torch.equal(models[0], models[2])


def test_the_classifier_reads_the_mean_token_or_the_class_token():
    images = torch.randn(2, 3, 8, 8)

    for pool in ("mean", "class_token"):
        model = shaken(build(network(Attention(head_width=8), pool=pool), num_classes=5))
        features = model.forward_features(images)
        pooled = features.mean(1) if pool == "mean" else features[:, 0]

        torch.testing.assert_close(model(images), pooled @ model.classifier.weight.T + model.classifier.bias)
        assert features.shape == (2, 4 + (pool == "class_token"), 24)


def test_a_norm_that_comes_last_reads_the_mean_token():
    images, architecture = torch.randn(2, 3, 8, 8), network(Pooling())
    model = shaken(build(dataclasses.replace(architecture, head=Head(norm_last=True, norm_eps=1e-3)), num_classes=5))

    logits = model(images)

    tokens_BNC = images
    for index, stage in enumerate(model.stages):
        tokens_BNC = stage(tokens_BNC if index == 0 else to_map(tokens_BNC, 4))
    mean_BC = tokens_BNC.mean(1)
    normed_BC = functional.layer_norm(mean_BC, (24,), model.norm.weight, model.norm.bias, 1e-3)
    torch.testing.assert_close(model.forward_features(images), tokens_BNC)
    torch.testing.assert_close(logits, normed_BC @ model.classifier.weight.T + model.classifier.bias)


def test_a_head_with_an_mlp_ratio_has_hidden_channels_between_mean_and_classes():
    images, architecture = torch.randn(2, 3, 8, 8), network(Pooling())
    model = shaken(build(dataclasses.replace(architecture, head=Head(mlp_ratio=1.5)), num_classes=5))

    logits = model(images)

    widen, _, norm, narrow = model.classifier
    hidden = (model.forward_features(images).mean(1) @ widen.weight.T + widen.bias).clamp(min=0) ** 2
    assert hidden.shape == (2, 36)
    torch.testing.assert_close(logits, norm(hidden) @ narrow.weight.T + narrow.bias)


@pytest.mark.parametrize(("norm", "of"), [("layer", nn.LayerNorm), ("group", nn.GroupNorm)])
def test_embedding_block_and_head_have_the_norm_that_they_say(norm, of):
    def said(eps):
        return {"norm": norm, "norm_bias": False, "norm_eps": eps}

    block = Block(mixer=Identity(), **said(0.02))
    stage = Stage(embedding=Embedding(kernel=2, stride=2, **said(0.01)), width=8, blocks=(block,))
    model = build(Architecture(resolution=8, stages=(stage,), head=Head(**said(0.03))), num_classes=5)

    norms = [module for module in model.modules() if isinstance(module, of)]

    assert [module.eps for module in norms] == [0.01, 0.02, 0.02, 0.03]
    assert all(module.bias is None for module in norms)


def test_a_block_without_biases_has_none():
    architecture = network(SeparableConv(bias=False), mlp_bias=False, norm_bias=False)
    model = build(architecture, num_classes=5)

    biased = {name for name, _ in model.named_parameters() if name.endswith("bias")}

    assert not {name for name in biased if ".mix" in name or ".mlp" in name}


# -- drop path -----------------------------------------------------------------------------------------------------------


def test_drop_path_does_nothing_in_eval():
    drop, x_BNC = DropPath(0.9).eval(), torch.randn(50, 4, 3)

    out = drop(x_BNC)

    assert torch.equal(out, x_BNC)


def test_drop_path_drops_whole_images_and_keeps_the_mean_in_train():
    drop, x_BNC = DropPath(0.3).train(), torch.ones(20_000, 2, 3)

    out = drop(x_BNC)

    per_image = out.flatten(1)
    assert (per_image == per_image[:, :1]).all()
    torch.testing.assert_close(per_image[:, 0].unique(), torch.tensor([0, 1 / 0.7]))
    assert per_image[:, 0].eq(0).float().mean().item() == pytest.approx(0.3, abs=0.015)
    assert out.mean().item() == pytest.approx(1, abs=0.02)


def test_drop_path_rates_grow_linearly_over_the_blocks_and_leave_eval_unchanged():
    architecture = zoo.get("convmixer-256-8-cifar10").at(8)
    torch.manual_seed(3)
    plain = build(architecture, num_classes=5).eval()
    torch.manual_seed(3)
    dropped = build(architecture, num_classes=5, drop_path=0.7).eval()
    images = torch.randn(2, 3, 8, 8)

    rates = [module.rate for module in dropped.modules() if isinstance(module, DropPath)]

    assert rates == pytest.approx([0.1 * index for index in range(1, 8)])
    assert not any(isinstance(module, DropPath) for module in plain.modules())
    torch.testing.assert_close(plain(images), dropped(images))
