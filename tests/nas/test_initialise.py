"""How weights start: each scheme does what it says, and which gradients it leaves at zero."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

from nas import zoo
from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.errors import InputError
from nas.initialise import SCHEMES
from nas.layers.blocks import ConvEmbedding
from nas.layers.common import LayerScale, Mlp
from nas.layers.dense import GatedMlpMixer, RandomMixer, TokenMlpMixer
from nas.mixers import (
    Attention,
    ConvAttention,
    DepthwiseConv,
    GatedMlp,
    Identity,
    Pooling,
    RandomMixing,
    SeparableConv,
    TokenLinear,
    TokenMlp,
)
from nas.model import Backbone, build
from nas.zoo.families import conv_mixer, cvt, cvt_cifar10, gated_mlp, mlp_mixer, pvt, res_mlp, vit
from nas.zoo.metaformer import LETTERS, baseline, pool_former

OURS = [scheme for scheme in SCHEMES if scheme != "torch"]


@pytest.fixture(autouse=True)
def seeded_on_one_thread():
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stage(*mixers, width, stride, **fields):
    blocks = tuple(Block(mixer=mixer, layer_scale=1e-5, residual_scale=0.5, **fields) for mixer in mixers)
    return Stage(embedding=Embedding(kernel=stride, stride=stride), width=width, blocks=blocks, position="learned")


# every kind of weight that a scheme tells apart, each large enough for its spread to be measured
MIXED = Architecture(
    resolution=32,
    stages=(
        stage(
            TokenMlp(), TokenLinear(), GatedMlp(), RandomMixing(), SeparableConv(), DepthwiseConv(), width=64, stride=4
        ),
        stage(Attention(head_width=32), ConvAttention(head_width=32), width=128, stride=2),
    ),
    head=Head(pool="class_token"),
)


def mixed(scheme, **head):
    """The network of every kind with weights by `scheme`; equal draws at its construction."""
    torch.manual_seed(1)
    architecture = Architecture(resolution=32, stages=MIXED.stages, head=Head(**head)) if head else MIXED
    return build(architecture, num_classes=200, init=scheme)


def gates(model):
    return [module.spatial for module in model.modules() if isinstance(module, GatedMlpMixer)]


def linears(model):
    own = {id(gate) for gate in gates(model)}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module) not in own and not name.startswith("classifier")
    }


def convolutions(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}


def embeddings(model):
    return [module for module in model.modules() if isinstance(module, ConvEmbedding)]


def tables(model):
    named = [(embedding.position, embedding.class_token) for embedding in embeddings(model)]
    return [table for pair in named for table in pair if table is not None]


def spread(tensor):
    """Standard deviation round 0; of n normal numbers it is right within 3 / sqrt(2n)."""
    return tensor.square().mean().sqrt().item()


# -- the schemes ---------------------------------------------------------------------------------------------------------


def test_an_unknown_scheme_lists_the_known_ones():
    architecture = conv_mixer(8, 1, kernel=3, patch=2, resolution=8)

    with pytest.raises(
        InputError,
        match=r"^unknown initialisation 'kaiming': known: xavier, trunc_normal, zero_positions, trunc_normal_all, jax, "
        r"torch, level$",
    ):
        build(architecture, init="kaiming")


@pytest.mark.parametrize("name", zoo.names())
def test_a_published_network_starts_by_a_known_scheme(name):
    scheme = zoo.entry(name).init

    assert scheme in SCHEMES


def test_torch_leaves_everything_as_torch_makes_it():
    torch.manual_seed(1)
    plain = Backbone(MIXED, 3, 200, 0.0).state_dict()

    weights = mixed("torch").state_dict()

    assert list(weights) == list(plain)
    assert [name for name in plain if not torch.equal(weights[name], plain[name])] == []


@pytest.mark.parametrize("scheme", ["xavier", "level", "jax"])
def test_linear_layers_are_xavier_uniform(scheme):
    model = mixed(scheme)

    layers = linears(model).values()

    for layer in layers:
        bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert 0.99 * bound < layer.weight.abs().max() <= bound * (1 + 1e-6)
        assert spread(layer.weight) == pytest.approx(bound / 3**0.5, rel=0.08)


@pytest.mark.parametrize("scheme", ["trunc_normal", "zero_positions", "trunc_normal_all"])
def test_linear_layers_are_normal_002(scheme):
    model = mixed(scheme)

    layers = [*linears(model).values(), model.classifier]

    for layer in layers:
        assert spread(layer.weight) == pytest.approx(0.02, rel=0.08)


@pytest.mark.parametrize("scheme", ["xavier", "level", "trunc_normal", "zero_positions"])
def test_convolutions_stay_as_torch_makes_them(scheme):
    plain = convolutions(mixed("torch"))

    layers = convolutions(mixed(scheme))

    for name, layer in layers.items():
        assert torch.equal(layer.weight, plain[name].weight), name
        assert layer.bias is None or torch.equal(layer.bias, plain[name].bias), name


def test_trunc_normal_all_sets_convolutions_alike():
    layers = convolutions(mixed("trunc_normal_all")).values()

    for layer in layers:
        assert spread(layer.weight) == pytest.approx(0.02, rel=0.15)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("scheme", OURS)
def test_biases_of_linear_layers_start_at_zero_but_in_the_mlps_of_jax(scheme):
    model = mixed(scheme)
    of_mlps = {
        id(layer)
        for module in model.modules()
        if isinstance(module, Mlp | TokenMlpMixer | GatedMlpMixer)
        for layer in module.modules()
    }

    layers = linears(model)

    tiny = [layer.bias for layer in layers.values() if scheme == "jax" and id(layer) in of_mlps]
    zero = {name: layer.bias for name, layer in layers.items() if scheme != "jax" or id(layer) not in of_mlps}
    assert [name for name, bias in zero.items() if bias.any()] == []
    assert len(tiny) == (0 if scheme != "jax" else 2 * 8 + 2 + 2)  # eight MLPs, one across tokens, one gated
    assert not tiny or spread(torch.cat(tiny)) == pytest.approx(1e-6, rel=0.1)
    assert not model.classifier.bias.any()


@pytest.mark.parametrize("scheme", OURS)
def test_tables_start_small_or_at_zero_as_the_scheme_says(scheme):
    model = mixed(scheme)

    positions = [embedding.position for embedding in embeddings(model)]

    for position in positions:
        assert spread(position) == pytest.approx(0 if scheme == "zero_positions" else 0.02, rel=0.08)
    token = embeddings(model)[1].class_token
    assert spread(token) == pytest.approx(0 if scheme == "jax" else 0.02, rel=0.3)
    assert len(tables(model)) == 3


@pytest.mark.parametrize("scheme", [scheme for scheme in OURS if scheme != "level"])
def test_gates_start_as_identity(scheme):
    (gate,) = gates(mixed(scheme))

    assert 0 < gate.weight.abs().max() < 6e-6
    assert (gate.bias == 1).all()


def test_level_opens_the_gates_at_random():
    (gate,) = gates(mixed("level"))

    assert spread(gate.weight) == pytest.approx((2 / (64 + 64)) ** 0.5, rel=0.05)
    assert (gate.bias == 1).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_layer_and_residual_scales_start_at_their_value_but_at_one_in_level(scheme):
    model = mixed(scheme)

    scales = {name: module.scale for name, module in model.named_modules() if isinstance(module, LayerScale)}

    assert len(scales) == 4 * 8
    for name, scale in scales.items():
        expected = 1.0 if scheme == "level" else 0.5 if "residual" in name else 1e-5
        torch.testing.assert_close(scale, torch.full_like(scale, expected))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_norms_star_relu_and_random_matrices_are_no_business_of_a_scheme(scheme):
    plain, model = mixed("torch"), mixed(scheme)
    kinds = (nn.LayerNorm, nn.BatchNorm2d, RandomMixer)

    kept = [
        torch.equal(tensor, dict(plain.named_parameters())[f"{path}.{name}"])
        for path, module in model.named_modules()
        if isinstance(module, kinds)
        for name, tensor in module.named_parameters()
    ]

    assert len(kept) > 30
    assert all(kept)


def test_jax_starts_the_classifier_at_zero():
    model = mixed("jax")

    assert not model.classifier.weight.any()
    assert not model.classifier.bias.any()


def test_jax_starts_only_the_last_layer_of_a_classifier_mlp_at_zero_so_that_it_can_learn():
    model = mixed("jax", mlp_ratio=2)
    optimizer, images = torch.optim.SGD(model.parameters(), lr=0.1), torch.randn(4, 3, 32, 32)

    for _ in range(2):  # the first step reaches the zero layer, the second what is below it
        optimizer.zero_grad()
        functional.cross_entropy(model(images), torch.arange(4)).backward()
        optimizer.step()

    assert model.classifier[3].weight.any()
    assert model.classifier[0].weight.grad.any()


def test_jax_starts_patches_lecun_normal():
    model = mixed("jax")

    for embedding in embeddings(model):
        fan_in = embedding.conv.weight[0].numel()
        assert spread(embedding.conv.weight) == pytest.approx(fan_in**-0.5, rel=0.06)
        assert embedding.conv.weight.abs().max() <= 2 * fan_in**-0.5 / 0.8796 * (1 + 1e-5)  # truncated at two
        assert not embedding.conv.bias.any()


# -- gradients at the start ----------------------------------------------------------------------------------------------

CONVOLUTION = SeparableConv(kernel=3, activation="star_relu", bias=False)
BARE = Attention(head_width=8, qkv_bias=False, out_bias=False)
SMALL = {
    "ConvMixer": functools.partial(conv_mixer, 16, 2, kernel=3, patch=4, resolution=16),
    "MLP-Mixer": functools.partial(mlp_mixer, 16, 2, patch=4, resolution=16),
    "gMLP": functools.partial(gated_mlp, 16, 2, patch=4, resolution=16),
    "ResMLP": functools.partial(res_mlp, 16, 2, layer_scale=1e-6, patch=4, resolution=16),
    "DeiT": functools.partial(vit, 16, 2, patch=4, head_width=8, resolution=16),
    "PVT": functools.partial(pvt, (1, 1, 1, 1), resolution=64),
    "CvT": functools.partial(cvt, (16, 24, 32), (1, 1, 2), head_width=8, resolution=64),
    "CvT CIFAR-10": lambda: narrowed(cvt_cifar10()),
    "PoolFormer": functools.partial(pool_former, (16, 24), (1, 1), layer_scale=1e-6, strides=(4, 2), resolution=32),
    "hybrid": lambda: baseline(
        (LETTERS["p"], LETTERS["f"], LETTERS["a"], LETTERS["d"]), (32,) * 4, (1,) * 4, resolution=64
    ),
    "IdentityFormer": lambda: baseline((Identity(),) * 4, (16,) * 4, (1,) * 4, resolution=64),
    "PoolFormerV2": lambda: baseline((Pooling(),) * 4, (16,) * 4, (1,) * 4, resolution=64),
    "RandFormer": lambda: baseline(
        (Identity(), Identity(), *(RandomMixing(),) * 2), (16,) * 4, (1,) * 4, resolution=64
    ),
    "ConvFormer": lambda: baseline((CONVOLUTION,) * 4, (16,) * 4, (1,) * 4, resolution=64),
    "CAFormer": lambda: baseline((CONVOLUTION, CONVOLUTION, BARE, BARE), (16,) * 4, (1,) * 4, resolution=64),
}


def narrowed(architecture):
    """Narrow and shallow, on a map where the last stage has more than one key."""
    stages = tuple(
        Stage(embedding=stage.embedding, width=width, blocks=stage.blocks[:1])
        for stage, width in zip(architecture.stages, (64, 64, 128), strict=True)
    )
    return Architecture(resolution=64, stages=stages, head=architecture.head)


# In the last block only the class token is read, and its query passes the convolution by.
UNREAD = {"CvT": ["stages.2.2.mix.1.q.conv.weight", "stages.2.2.mix.1.q.norm.weight"]}


def gradients(family, scheme):
    """Of every trained parameter of the backbone."""
    architecture = SMALL[family]()
    model, side = build(architecture, num_classes=10, init=scheme).train(), architecture.resolution
    functional.cross_entropy(model(torch.randn(4, 3, side, side)), torch.arange(4)).backward()
    return {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.startswith("classifier")
    }


@pytest.mark.parametrize("family", SMALL)
def test_level_leaves_no_weight_of_a_backbone_without_a_gradient(family):
    grads = gradients(family, "level")

    # shifts apart: a softmax, a norm or a pooling may take them out again
    still = [name for name, grad in grads.items() if not name.endswith("bias") and not grad.abs().max() > 1e-6]

    assert still == UNREAD.get(family, [])


@pytest.mark.parametrize("family", ["MLP-Mixer", "gMLP", "DeiT"])
def test_jax_leaves_every_gradient_of_a_backbone_at_zero(family):
    grads = gradients(family, "jax")

    moved = [name for name, grad in grads.items() if grad.any()]

    assert moved == []
    assert len(grads) > 20


@pytest.mark.parametrize(("family", "scheme"), [("ResMLP", "trunc_normal"), ("PoolFormer", "zero_positions")])
def test_a_published_start_hides_the_branches_behind_their_layer_scales_and_level_shows_them(family, scheme):
    sizes = {}

    for start in (scheme, "level"):
        grads = gradients(family, start)
        sizes[start] = max(
            grad.abs().max().item() for name, grad in grads.items() if ".mlp." in name and name.endswith("0.weight")
        )

    assert sizes["level"] > 1000 * sizes[scheme]
