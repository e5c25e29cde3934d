"""Modules: shapes, gradients, and each layer held against the plainest formula that says the same."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from nas import build, zoo
from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.costs import cost
from nas.errors import ArchitectureError, InputError
from nas.layers.blocks import Branch, ConvEmbedding, ConvMixerBlock, PreNormBlock
from nas.layers.common import BatchNorm, DropPath, Mlp, make_activation, make_norm, to_map, to_tokens
from nas.layers.convolutional import DepthwiseMixer, PoolingMixer, SeparableMixer
from nas.layers.dense import AttentionMixer, ConvAttentionMixer, TokenMlpMixer
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


def shaken(module):
    """The module with every parameter and statistic random, so that no zero or one hides a mistake."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor) * 0.3)
    return module.eval()


def naive_heads(x_BNC, heads):
    batch, tokens, width = x_BNC.shape
    return x_BNC.reshape(batch, tokens, heads, width // heads).permute(0, 2, 1, 3)


def naive_attention(q_BNC, k_BNC, v_BNC, heads, scale):
    q, k, v = (naive_heads(x_BNC, heads) for x_BNC in (q_BNC, k_BNC, v_BNC))
    weights = torch.softmax(torch.einsum("bhqd,bhkd->bhqk", q, k) * scale, dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", weights, v).permute(0, 2, 1, 3).reshape(q_BNC.shape)


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


@pytest.mark.parametrize("norm", ["none", "layer", "batch", "group"])
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


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu", "relu"])
@pytest.mark.parametrize("norm", ["none", "layer", "batch", "group"])
def test_the_conv_mixer_layout_gives_logits_and_gradients(norm, activation):
    architecture = network(DepthwiseConv(kernel=3), norm=norm, activation=activation, layout="conv_mixer", mlp_ratio=0)
    model = build(architecture, num_classes=5)

    logits = model.train()(torch.randn(3, 3, 8, 8))
    functional.cross_entropy(logits, torch.tensor([0, 3, 4])).backward()

    assert logits.shape == (3, 5)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["deit-tiny", "cvt-13", "poolformer-s12", "convmixer-256-8-cifar10"])
def test_a_published_network_gives_logits(name):
    architecture = zoo.get(name)
    model = build(architecture, num_classes=10).eval()

    with torch.no_grad():
        logits = model(torch.randn(1, 3, architecture.resolution, architecture.resolution))

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


# -- layers against plain formulas ---------------------------------------------------------------------------------------


def test_tokens_and_maps_are_inverse_and_row_by_row():
    x_BCHW = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)

    x_BNC = to_tokens(x_BCHW)

    assert torch.equal(to_map(x_BNC, 4), x_BCHW)
    assert torch.equal(x_BNC[1, 4 * 2 + 3], x_BCHW[1, :, 2, 3])


@pytest.mark.parametrize("side", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_pooling_is_the_mean_of_the_window_inside_the_map_minus_the_token(size, side):
    x_BNC = torch.randn(2, side * side, 4)

    pooled = PoolingMixer(side, size)(x_BNC)

    reach = size // 2
    for row in range(side):
        for column in range(side):
            rows, columns = (
                range(max(0, row - reach), min(side, row + reach + 1)),
                range(max(0, column - reach), min(side, column + reach + 1)),
            )
            window = torch.stack([x_BNC[:, r * side + c] for r in rows for c in columns])
            expected = window.mean(0) - x_BNC[:, row * side + column]
            torch.testing.assert_close(pooled[:, row * side + column], expected)


@pytest.mark.parametrize("side", [3, 7, 8])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 8, 9])
def test_a_depthwise_convolution_is_torchs_with_same_padding(kernel, side):
    mixer = DepthwiseMixer(6, side, kernel)
    reference = nn.Conv2d(6, 6, kernel, padding="same", groups=6)
    reference.load_state_dict(mixer.conv.state_dict())
    x_BNC = torch.randn(2, side * side, 6)

    mixed = mixer(x_BNC)

    torch.testing.assert_close(mixed, to_tokens(reference(to_map(x_BNC, side))), rtol=1e-5, atol=1e-5)


def test_a_separable_convolution_is_linear_gelu_depthwise_linear():
    mixer = shaken(SeparableMixer(6, 5, 14, 3))
    x_BNC = torch.randn(2, 25, 6)

    mixed = mixer(x_BNC)

    hidden = functional.gelu(x_BNC @ mixer.widen.weight.T + mixer.widen.bias).transpose(1, 2).reshape(2, 14, 5, 5)
    conv = functional.conv2d(hidden, mixer.spatial.conv.weight, mixer.spatial.conv.bias, padding=1, groups=14)
    expected = conv.flatten(2).transpose(1, 2) @ mixer.narrow.weight.T + mixer.narrow.bias
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-5)


def test_a_token_mlp_mixes_tokens_of_each_channel_alike():
    mixer = shaken(TokenMlpMixer(9, 5))
    x_BNC = torch.randn(2, 9, 4)

    mixed = mixer(x_BNC)

    for channel in range(4):
        hidden = functional.gelu(x_BNC[:, :, channel] @ mixer[0].weight.T + mixer[0].bias)
        torch.testing.assert_close(mixed[:, :, channel], hidden @ mixer[2].weight.T + mixer[2].bias)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_the_softmax_formula_with_the_scale_of_a_head(heads):
    mixer = shaken(AttentionMixer(16, heads))
    x_BNC = torch.randn(2, 10, 16)

    mixed = mixer(x_BNC)

    q, k, v = (
        x_BNC @ mixer.qkv.weight[16 * part : 16 * part + 16].T + mixer.qkv.bias[16 * part : 16 * part + 16]
        for part in range(3)
    )
    expected = naive_attention(q, k, v, heads, (16 // heads) ** -0.5) @ mixer.out.weight.T + mixer.out.bias
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-5)


def naive_projection(projection, x_BNC, side, kernel, stride, extra):
    conv, norm = projection.conv, projection.norm
    assert (conv.kernel_size, conv.stride, conv.bias) == ((kernel, kernel), (stride, stride), None)
    map_BCHW = x_BNC[:, extra:].transpose(1, 2).reshape(x_BNC.shape[0], -1, side, side)
    out = functional.conv2d(map_BCHW, conv.weight, None, stride, kernel // 2, groups=map_BCHW.shape[1])
    scaled = (out - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
    normed = scaled * norm.weight[:, None, None] + norm.bias[:, None, None]
    tokens = torch.cat((x_BNC[:, :extra], normed.flatten(2).transpose(1, 2)), dim=1)
    return tokens @ projection.linear.weight.T + projection.linear.bias


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize(("q", "kv"), [((3, 1), (3, 2)), ((1, 1), (5, 3)), ((3, 1), (1, 1))])
def test_conv_attention_is_the_softmax_formula_with_the_scale_of_the_whole_width(q, kv, extra):
    mixer = shaken(ConvAttentionMixer(width=16, side=5, heads=4, q=q, kv=kv, q_side=5, extra=extra, scale=0.25))
    x_BNC = torch.randn(2, 25 + extra, 16)

    mixed = mixer(x_BNC)

    queries, keys, values = (
        naive_projection(projection, x_BNC, 5, *shape, extra)
        for projection, shape in ((mixer.q, q), (mixer.k, kv), (mixer.v, kv))
    )
    expected, other = (
        naive_attention(queries, keys, values, 4, scale) @ mixer.out.weight.T + mixer.out.bias
        for scale in (16**-0.5, 4**-0.5)
    )
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(mixed, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize(("side", "stride"), [(4, 2), (5, 2), (7, 3), (2, 2)])
def test_strided_queries_keep_the_number_of_tokens_and_repeat_what_they_gather(side, stride, extra):
    coarse = ConvAttention(q_stride=stride).sides(side)[0]
    mixer = shaken(
        ConvAttentionMixer(
            width=8, side=side, heads=2, q=(3, stride), kv=(3, 1), q_side=coarse, extra=extra, scale=8**-0.5
        )
    )
    x_BNC = torch.randn(2, side * side + extra, 8)

    mixed = mixer(x_BNC)

    assert mixed.shape == x_BNC.shape
    queries, keys, values = (
        naive_projection(projection, x_BNC, side, 3, strides, extra)
        for projection, strides in ((mixer.q, stride), (mixer.k, 1), (mixer.v, 1))
    )
    few = naive_attention(queries, keys, values, 2, 8**-0.5) @ mixer.out.weight.T + mixer.out.bias
    rows = [
        *range(extra),
        *(extra + (r * coarse // side) * coarse + c * coarse // side for r in range(side) for c in range(side)),
    ]
    torch.testing.assert_close(mixed, few[:, rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["layer", "batch", "group"])
def test_a_norm_leaves_mean_zero_and_variance_one_over_what_it_is_named_for(kind):
    norm = make_norm(kind, 6).train()
    x_BNC = torch.randn(4, 9, 6) * 3 + 2

    normed = norm(x_BNC)

    over = {"layer": (2,), "batch": (0, 1), "group": (1, 2)}[kind]
    torch.testing.assert_close(normed.mean(over), torch.zeros_like(normed.mean(over)), rtol=0, atol=1e-5)
    torch.testing.assert_close(normed.var(over, correction=0), torch.ones_like(normed.mean(over)), rtol=0, atol=1e-3)


def test_activations_are_those_of_their_names():
    x = torch.linspace(-4, 4, 33)

    values = {kind: make_activation(kind)(x) for kind in ("none", "gelu", "quick_gelu", "relu")}

    torch.testing.assert_close(values["none"], x)
    torch.testing.assert_close(values["gelu"], x * 0.5 * (1 + torch.erf(x / math.sqrt(2))))
    torch.testing.assert_close(values["quick_gelu"], x / (1 + torch.exp(-1.702 * x)))
    torch.testing.assert_close(values["relu"], x.clamp(min=0))


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


def test_the_classifier_reads_the_mean_token_or_the_class_token():
    images = torch.randn(2, 3, 8, 8)

    for pool in ("mean", "class_token"):
        model = shaken(build(network(Attention(head_width=8), pool=pool), num_classes=5))
        features = model.forward_features(images)
        pooled = features.mean(1) if pool == "mean" else features[:, 0]

        torch.testing.assert_close(model(images), pooled @ model.classifier.weight.T + model.classifier.bias)
        assert features.shape == (2, 4 + (pool == "class_token"), 24)


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
