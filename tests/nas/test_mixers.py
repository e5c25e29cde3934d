"""The module of each mixer held against the plainest formula that says the same."""

import math

import pytest
import torch
from formulas import naive_attention, naive_projection, shaken
from torch import nn
from torch.nn import functional

from nas import build
from nas.architecture import Architecture, Block, Embedding, Stage
from nas.layers.common import to_map, to_tokens
from nas.layers.convolutional import DepthwiseMixer, PoolingMixer, SeparableMixer
from nas.layers.dense import AttentionMixer, ConvAttentionMixer, TokenMlpMixer
from nas.mixers import (
    Attention,
    ConvAttention,
    GatedMlp,
    MultiAxisMlp,
    Pooling,
    RandomMixing,
    SeparableConv,
    TokenLinear,
)
from nas.tally import Place


@pytest.fixture(autouse=True)
def seeded_on_one_thread():
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# -- neighbourhoods ------------------------------------------------------------------------------------------------------


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


def test_pooling_of_a_constant_map_is_zero_at_the_border_too():
    x_BNC = torch.full((1, 36, 4), 3.0)

    pooled = Pooling(size=5).module(Place(4, 6))(x_BNC)

    torch.testing.assert_close(pooled, torch.zeros_like(x_BNC))


def test_a_separable_convolution_takes_star_relu_and_goes_without_biases():
    mixer = shaken(SeparableConv(kernel=3, activation="star_relu", bias=False).module(Place(6, 5)))
    x_BNC = torch.randn(2, 25, 6)

    mixed = mixer(x_BNC)

    widened = (x_BNC @ mixer.widen.weight.T).clamp(min=0) ** 2 * mixer.activation.scale + mixer.activation.bias
    conv = functional.conv2d(to_map(widened, 5), mixer.spatial.conv.weight, padding=1, groups=12)
    torch.testing.assert_close(mixed, to_tokens(conv) @ mixer.narrow.weight.T, rtol=1e-4, atol=1e-5)
    assert {name for name, _ in mixer.named_parameters() if name.endswith("bias")} == {"activation.bias"}


# -- matrices across tokens ----------------------------------------------------------------------------------------------


def test_a_token_mlp_mixes_tokens_of_each_channel_alike():
    mixer = shaken(TokenMlpMixer(9, 5))
    x_BNC = torch.randn(2, 9, 4)

    mixed = mixer(x_BNC)

    for channel in range(4):
        hidden = functional.gelu(x_BNC[:, :, channel] @ mixer[0].weight.T + mixer[0].bias)
        torch.testing.assert_close(mixed[:, :, channel], hidden @ mixer[2].weight.T + mixer[2].bias)


@pytest.mark.parametrize("bias", [True, False])
def test_a_token_linear_layer_is_one_matrix_across_the_tokens_of_every_channel(bias):
    mixer = shaken(TokenLinear(bias=bias).module(Place(4, 3)))
    x_BNC = torch.randn(2, 9, 4)

    mixed = mixer(x_BNC)

    expected = torch.einsum("mn,bnc->bmc", mixer.linear.weight, x_BNC)
    torch.testing.assert_close(mixed, expected + mixer.linear.bias[:, None] if bias else expected)
    assert (mixer.linear.bias is not None) == bias


def test_random_mixing_averages_tokens_by_rows_that_sum_to_one():
    mixer, x_BNC = RandomMixing().module(Place(4, 3)), torch.randn(2, 9, 4)

    mixed = mixer(x_BNC)

    torch.testing.assert_close(mixer.matrix.sum(1), torch.ones(9))
    assert (mixer.matrix > 0).all()
    assert (mixer.matrix.amax(1) / mixer.matrix.amin(1) < math.e).all()  # softmax of numbers between 0 and 1
    torch.testing.assert_close(mixed, torch.einsum("mn,bnc->bmc", mixer.matrix, x_BNC))


def small(mixer, **fields):
    stage = Stage(embedding=Embedding(kernel=4, stride=4), width=8, blocks=(Block(mixer=mixer, **fields),) * 2)
    return Architecture(resolution=12, stages=(stage,))


def test_a_step_of_training_leaves_random_mixing_as_it_was_drawn_and_moves_the_rest():
    model = build(small(RandomMixing()), num_classes=5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)

    functional.cross_entropy(model(torch.randn(4, 3, 12, 12)), torch.arange(4)).backward()
    optimizer.step()

    kept = {name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])}
    assert kept == {"stages.0.1.mix.1.matrix", "stages.0.2.mix.1.matrix"}


def test_random_mixing_is_drawn_for_each_block_and_travels_with_the_weights():
    model, other = build(small(RandomMixing()), num_classes=5), build(small(RandomMixing()), num_classes=5)
    images, state = torch.randn(2, 3, 12, 12), model.state_dict()

    apart = not torch.allclose(model(images), other(images))
    other.load_state_dict(state)

    assert apart
    assert torch.equal(model(images), other(images))
    assert not torch.equal(state["stages.0.1.mix.1.matrix"], state["stages.0.2.mix.1.matrix"])


# -- gated MLPs ----------------------------------------------------------------------------------------------------------


def layer_norm(x, norm):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def test_a_gated_mlp_multiplies_one_half_by_the_other_mixed_across_tokens():
    mixer = shaken(GatedMlp(ratio=3).module(Place(6, 3)))
    x_BNC = torch.randn(2, 9, 6)

    mixed = mixer(x_BNC)

    hidden = x_BNC @ mixer.widen.weight.T + mixer.widen.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    u, v = hidden[..., :9], layer_norm(hidden[..., 9:], mixer.norm)
    gate = torch.einsum("mn,bnc->bmc", mixer.spatial.weight, v) + mixer.spatial.bias[:, None]
    expected = (u * gate) @ mixer.narrow.weight.T + mixer.narrow.bias
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-5)
    assert hidden.shape[-1] == 18


def test_a_gated_mlp_starts_with_an_open_gate_that_leaves_one_half_as_it_is():
    model = build(small(GatedMlp(), mlp_ratio=0), num_classes=5)
    mixer, x_BNC = model.stages[0][1].mix[1], torch.randn(2, 9, 8)

    mixed = mixer(x_BNC)

    u = functional.gelu(mixer.widen(x_BNC))[..., :24]
    torch.testing.assert_close(mixed, mixer.narrow(u), rtol=0, atol=1e-4)


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def naive_axis_gate(gate, x_BPC):
    hidden = gelu_tanh(layer_norm(x_BPC, gate.norm) @ gate.widen.weight.T + gate.widen.bias)
    a, b = hidden.split(x_BPC.shape[2], dim=2)
    mixed = torch.einsum("pq,bqc->bpc", gate.spatial.weight, layer_norm(b, gate.gate_norm))
    gated = a * (mixed + gate.spatial.bias[:, None] + 1)
    return x_BPC + gated @ gate.narrow.weight.T + gate.narrow.bias


@pytest.mark.parametrize(("side", "block", "grid"), [(4, 2, 2), (6, 2, 3), (6, 3, 2), (6, 6, 1), (6, 1, 6), (3, 3, 3)])
def test_a_multi_axis_mlp_gates_one_half_across_equal_places_of_a_grid_and_the_other_inside_windows(side, block, grid):
    mixer = shaken(MultiAxisMlp(block=block, grid=grid).module(Place(4, side)))
    x_BNC = torch.randn(2, side * side, 4)

    mixed = mixer(x_BNC)

    u, v = gelu_tanh(x_BNC @ mixer.widen.weight.T + mixer.widen.bias).split(4, dim=2)
    across, inside, cell = torch.empty_like(u), torch.empty_like(v), side // grid
    for row in range(cell):
        for column in range(cell):  # the same place in each of the grid x grid cells
            tokens = [(row + a * cell) * side + column + b * cell for a in range(grid) for b in range(grid)]
            across[:, tokens] = naive_axis_gate(mixer.across, u[:, tokens])
    for top in range(0, side, block):
        for left in range(0, side, block):  # the places of one window
            tokens = [(top + a) * side + left + b for a in range(block) for b in range(block)]
            inside[:, tokens] = naive_axis_gate(mixer.inside, v[:, tokens])
    expected = torch.cat((across, inside), dim=2) @ mixer.narrow.weight.T + mixer.narrow.bias
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-4)


def test_a_multi_axis_mlp_has_the_same_parameters_on_every_map():
    mixer = MultiAxisMlp(block=2, grid=4)

    modules = [mixer.module(Place(8, side)) for side in (4, 8, 16)]

    counts = {sum(parameter.numel() for parameter in module.parameters()) for module in modules}
    assert counts == {10 * 8**2 + 17 * 8 + 2**4 + 2**2 + 4**4 + 4**2}
    assert {mixer.cost_at(Place(8, side)).params for side in (4, 8, 16)} == counts


# -- attention -----------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("out_bias", [True, False])
def test_attention_goes_without_the_biases_that_it_is_told_to(qkv_bias, out_bias):
    mixer = shaken(Attention(head_width=8, qkv_bias=qkv_bias, out_bias=out_bias).module(Place(16, 3, 1)))
    x_BNC = torch.randn(2, 10, 16)

    mixed = mixer(x_BNC)

    qkv = x_BNC @ mixer.qkv.weight.T + (mixer.qkv.bias if qkv_bias else 0)
    gathered = naive_attention(*qkv.split(16, dim=2), heads=2, scale=8**-0.5)
    torch.testing.assert_close(
        mixed, gathered @ mixer.out.weight.T + (mixer.out.bias if out_bias else 0), rtol=1e-4, atol=1e-5
    )
    assert [mixer.qkv.bias is None, mixer.out.bias is None] == [not qkv_bias, not out_bias]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("side", "reduction"), [(4, 2), (5, 2), (6, 3), (4, 4)])
def test_reduced_attention_takes_keys_and_values_from_patches_of_the_map(side, reduction, bias):
    value = Attention(head_width=8, reduction=reduction, qkv_bias=bias, out_bias=bias)
    mixer = shaken(value.module(Place(16, side)))
    x_BNC = torch.randn(2, side * side, 16)

    mixed = mixer(x_BNC)

    x_BHWC, steps = x_BNC.reshape(2, side, side, 16), range(0, side - reduction + 1, reduction)
    patches = [x_BHWC[:, r : r + reduction, c : c + reduction] for r in steps for c in steps]
    coarse = [torch.einsum("bhwc,dchw->bd", patch, mixer.reduce.weight) + mixer.reduce.bias for patch in patches]
    source = layer_norm(torch.stack(coarse, dim=1), mixer.norm)
    q = x_BNC @ mixer.q.weight.T + (mixer.q.bias if bias else 0)
    k, v = (source @ mixer.kv.weight.T + (mixer.kv.bias if bias else 0)).split(16, dim=2)
    gathered = naive_attention(q, k, v, heads=2, scale=8**-0.5)
    expected = gathered @ mixer.out.weight.T + (mixer.out.bias if bias else 0)
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-5)
    assert source.shape[1] == (side // reduction) ** 2


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_conv_attention_may_scale_by_its_heads_and_share_the_convolution_of_keys_and_values(bias, extra):
    value = ConvAttention(head_width=4, scale="head", shared_kv=True, qkv_bias=bias)
    mixer = shaken(value.module(Place(16, 5, extra)))
    x_BNC = torch.randn(2, 25 + extra, 16)

    mixed = mixer(x_BNC)

    q = naive_projection(mixer.q, x_BNC, 5, 3, 1, extra)
    k, v = naive_projection(mixer.kv, x_BNC, 5, 3, 2, extra).split(16, dim=2)
    expected = naive_attention(q, k, v, heads=4, scale=4**-0.5) @ mixer.out.weight.T + mixer.out.bias
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-5)
    assert [projection.linear.bias is None for projection in (mixer.q, mixer.kv)] == [not bias] * 2


@pytest.mark.parametrize(("scale", "expected"), [("width", 16**-0.5), ("head", 4**-0.5)])
def test_the_scale_of_conv_attention_is_that_of_its_name(scale, expected):
    mixer = ConvAttention(head_width=4, scale=scale).module(Place(16, 5))

    assert mixer.scale == expected
