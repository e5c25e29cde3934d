"""Each layer held against the plainest formula that says the same."""

import math

import pytest
import torch
from formulas import shaken
from torch import nn
from torch.nn import functional

from nas.layers.blocks import Branch, ConvEmbedding, ConvMixerBlock, MlpClassifier, PreNormBlock
from nas.layers.common import (
    BatchNorm,
    LayerScale,
    Mlp,
    SquaredReLU,
    StarReLU,
    make_activation,
    make_norm,
    to_map,
    to_tokens,
)
from nas.layers.convolutional import DepthwiseMixer
from nas.layers.dense import AttentionMixer
from nas.tally import ACTIVATIONS, NORMS


@pytest.fixture(autouse=True)
def seeded_on_one_thread():
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_tokens_and_maps_are_inverse_and_row_by_row():
    x_BCHW = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)

    x_BNC = to_tokens(x_BCHW)

    assert torch.equal(to_map(x_BNC, 4), x_BCHW)
    assert torch.equal(x_BNC[1, 4 * 2 + 3], x_BCHW[1, :, 2, 3])


# -- norms and activations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["layer", "batch", "group", "std_layer"])
def test_a_norm_leaves_mean_zero_and_variance_one_over_what_it_is_named_for(kind):
    norm = make_norm(kind, 6).train()
    x_BNC = torch.randn(4, 9, 6) * 3 + 2

    normed = norm(x_BNC)

    over = {"layer": (2,), "batch": (0, 1), "group": (1, 2), "std_layer": (2,)}[kind]
    torch.testing.assert_close(normed.mean(over), torch.zeros_like(normed.mean(over)), rtol=0, atol=1e-5)
    torch.testing.assert_close(normed.var(over, correction=0), torch.ones_like(normed.mean(over)), rtol=0, atol=1e-3)


@pytest.mark.parametrize("eps", [1e-6, 0.1])
@pytest.mark.parametrize(
    ("kind", "bias"),
    [("layer", True), ("layer", False), ("group", True), ("group", False), ("batch", True), ("std_layer", True)],
)
def test_a_norm_is_its_formula_with_its_eps_and_its_shift_or_none(kind, bias, eps):
    norm = shaken(make_norm(kind, 6, bias=bias, eps=eps)).train()
    x_BNC = torch.randn(4, 9, 6) * 0.5 + 2

    normed = norm(x_BNC)

    over = {"layer": (2,), "std_layer": (2,), "group": (1, 2), "batch": (0, 1)}[kind]
    variance = x_BNC.var(over, correction=0, keepdim=True)
    below = variance.sqrt() + eps if kind == "std_layer" else (variance + eps).sqrt()
    scaled = (x_BNC - x_BNC.mean(over, keepdim=True)) / below * norm.weight
    torch.testing.assert_close(normed, scaled + norm.bias if bias else scaled, rtol=1e-4, atol=1e-5)
    assert bias or norm.bias is None


def test_the_norm_of_the_cifar_10_cvt_differs_from_a_layer_norm_by_where_its_eps_stands():
    x_BNC = torch.tensor([[[3.0, 5.0]]])  # standard deviation 1

    normed = [make_norm(kind, 2, eps=0.1)(x_BNC).flatten().tolist() for kind in ("layer", "std_layer")]

    assert normed[0] == pytest.approx([-(1.1**-0.5), 1.1**-0.5])
    assert normed[1] == pytest.approx([-1 / 1.1, 1 / 1.1])


def test_an_affine_norm_is_a_scale_and_a_shift_that_start_as_identity_and_know_no_statistics():
    norm, x_BNC = make_norm("affine", 6), torch.randn(4, 9, 6) * 3 + 2

    before = norm(x_BNC)
    after = shaken(norm)(x_BNC)

    torch.testing.assert_close(before, x_BNC, rtol=0, atol=0)
    torch.testing.assert_close(after, x_BNC * norm.weight + norm.bias)
    assert not list(norm.buffers())


@pytest.mark.parametrize("kind", NORMS)
def test_a_norm_starts_with_scale_one_and_shift_zero(kind):
    parameters = dict(make_norm(kind, 6).named_parameters())

    values = {name: set(parameter.tolist()) for name, parameter in parameters.items()}

    assert values == ({} if kind == "none" else {"weight": {1.0}, "bias": {0.0}})


def test_activations_are_those_of_their_names():
    x = torch.linspace(-4, 4, 33)

    values = {kind: make_activation(kind)(x) for kind in ("none", *ACTIVATIONS)}

    torch.testing.assert_close(values["none"], x)
    torch.testing.assert_close(values["gelu"], x * 0.5 * (1 + torch.erf(x / math.sqrt(2))))
    torch.testing.assert_close(values["quick_gelu"], x / (1 + torch.exp(-1.702 * x)))
    torch.testing.assert_close(values["relu"], x.clamp(min=0))
    torch.testing.assert_close(values["squared_relu"], x.clamp(min=0) ** 2)
    torch.testing.assert_close(values["star_relu"], x.clamp(min=0) ** 2)


def test_star_relu_has_a_learned_scale_and_shift_for_all_channels():
    star, x = shaken(StarReLU()), torch.randn(5, 3)

    out = star(x)
    out.sum().backward()

    torch.testing.assert_close(out, star.scale.item() * SquaredReLU()(x) + star.bias.item())
    assert {name: parameter.numel() for name, parameter in star.named_parameters()} == {"scale": 1, "bias": 1}
    assert star.bias.grad.item() == x.numel()
    assert star.scale.grad.item() == pytest.approx(x.clamp(min=0).square().sum().item())


def test_star_relu_maps_a_standard_normal_to_mean_zero_and_variance_one_at_the_constants_of_its_paper():
    star = StarReLU()
    star.scale.data.fill_(0.8944)
    star.bias.data.fill_(-0.4472)
    normal = torch.special.ndtri((torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000)

    out = star.double()(normal)

    assert out.mean().item() == pytest.approx(0, abs=1e-4)
    assert out.var().item() == pytest.approx(1, abs=1e-3)


# -- blocks --------------------------------------------------------------------------------------------------------------


def test_a_pre_norm_block_is_two_residual_branches():
    block = shaken(
        PreNormBlock(
            Branch(nn.LayerNorm(8), AttentionMixer(8, 2), width=8, layer_scale=0.1, drop_path=0.0),
            Branch(nn.LayerNorm(8), Mlp(8, 20, "gelu"), width=8, layer_scale=0.1, drop_path=0.0),
            width=8,
        )
    )
    x_BNC = torch.randn(2, 9, 8)

    out = block(x_BNC)

    norm, mixer, scale = block.mix
    middle = x_BNC + mixer(norm(x_BNC)) * scale.scale
    norm, mlp, scale = block.mlp
    expected = (
        middle
        + (functional.gelu(norm(middle) @ mlp[0].weight.T + mlp[0].bias) @ mlp[2].weight.T + mlp[2].bias) * scale.scale
    )
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_a_conv_mixer_block_is_that_of_the_paper():
    norms = (BatchNorm(6), BatchNorm(6))
    block = shaken(ConvMixerBlock(DepthwiseMixer(6, 4, 3), norms, width=6, activation="gelu", drop_path=0.0))
    depth, point = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 6, 1)
    depth.load_state_dict(block.mix[0].conv.state_dict())
    point.weight.data, point.bias.data = block.pointwise[0].weight.data[:, :, None, None], block.pointwise[0].bias.data
    norms = [nn.BatchNorm2d(6).eval(), nn.BatchNorm2d(6).eval()]
    norms[0].load_state_dict(block.mix[2].state_dict())
    norms[1].load_state_dict(block.pointwise[2].state_dict())
    x_BCHW = torch.randn(2, 6, 4, 4)

    out = block(to_tokens(x_BCHW))

    middle = x_BCHW + norms[0](functional.gelu(depth(x_BCHW)))
    expected = norms[1](functional.gelu(point(middle)))
    torch.testing.assert_close(to_map(out, 4), expected, rtol=1e-4, atol=1e-5)


def test_an_embedding_is_convolution_activation_norm_then_class_token_then_positions():
    conv = nn.Conv2d(3, 8, 3, 2, 1)
    embedding = shaken(ConvEmbedding(conv, nn.LayerNorm(8), activation="relu", position_tokens=17, class_token=True))
    images = torch.randn(2, 3, 8, 8)

    tokens = embedding(images)

    plain = functional.layer_norm(
        functional.relu(conv(images)).flatten(2).transpose(1, 2), (8,), embedding.norm.weight, embedding.norm.bias
    )
    torch.testing.assert_close(tokens[:, 1:], plain + embedding.position[:, 1:])
    torch.testing.assert_close(tokens[:, 0], (embedding.class_token + embedding.position[:, :1])[:, 0].expand(2, -1))


@pytest.mark.parametrize("mlp", [True, False])
def test_a_residual_scale_multiplies_what_passes_a_branch_by(mlp):
    branch = Branch(nn.LayerNorm(8), Mlp(8, 20, "gelu"), width=8, layer_scale=0.0, drop_path=0.0)
    mix = Branch(nn.LayerNorm(8), AttentionMixer(8, 2), width=8, layer_scale=0.0, drop_path=0.0)
    block = shaken(PreNormBlock(mix, branch if mlp else None, width=8, residual_scale=1.0))
    x_BNC = torch.randn(2, 9, 8)

    out = block(x_BNC)

    expected = block.mix_residual.scale * x_BNC + mix(x_BNC)
    if mlp:
        expected = block.mlp_residual.scale * expected + branch(expected)
    torch.testing.assert_close(out, expected)
    assert [name for name, _ in block.named_parameters() if "residual" in name] == (
        ["mix_residual.scale", "mlp_residual.scale"] if mlp else ["mix_residual.scale"]
    )


@pytest.mark.parametrize("scale", [0.0, 1e-5, 0.5, 1.0])
def test_scales_start_at_their_value_and_zero_has_none(scale):
    mix = Branch(nn.Identity(), nn.Identity(), width=8, layer_scale=scale, drop_path=0.0)
    block = PreNormBlock(mix, None, width=8, residual_scale=scale)

    scales = [module.scale for module in block.modules() if isinstance(module, LayerScale)]

    assert len(scales) == (2 if scale else 0)
    assert all((values == scale).all() for values in scales)


def test_the_norm_of_an_embedding_may_come_first_on_its_input():
    conv = nn.Conv2d(3, 8, 3, 2, 1)
    embedding = shaken(ConvEmbedding(conv, nn.LayerNorm(3), activation="gelu", norm_first=True))
    images = torch.randn(2, 3, 8, 8)

    tokens = embedding(images)

    mean, variance = images.mean(1, keepdim=True), images.var(1, correction=0, keepdim=True)
    scale, shift = embedding.norm.weight[:, None, None], embedding.norm.bias[:, None, None]
    normed = (images - mean) / (variance + 1e-5).sqrt() * scale + shift
    expected = functional.gelu(conv(normed)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-5)


def test_an_mlp_classifier_is_linear_squared_relu_layer_norm_linear():
    head, x_BC = shaken(MlpClassifier(6, 24, 5)), torch.randn(3, 6)

    logits = head(x_BC)

    hidden = (x_BC @ head[0].weight.T + head[0].bias).clamp(min=0) ** 2
    mean, variance = hidden.mean(1, keepdim=True), hidden.var(1, correction=0, keepdim=True)
    normed = (hidden - mean) / (variance + 1e-5).sqrt() * head[2].weight + head[2].bias
    torch.testing.assert_close(logits, normed @ head[3].weight.T + head[3].bias, rtol=1e-4, atol=1e-5)
