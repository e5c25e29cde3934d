"""Costs by formula, held against the real modules, a trace, autograd, and a second counter."""

import functools
import random
from contextlib import suppress

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

import search_spaces
from nas import zoo
from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.audit import traced_macs
from nas.costs import COSTS, cost, parts
from nas.errors import ArchitectureError, InputError
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
from nas.tally import ACTIVATIONS, NORMS

SCALED = ("vit", "cvt", "convmixer", "poolformer", "mlp-mixer")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small networks are faster on one thread, and other tests of this machine go on undisturbed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class SecondCounter(TorchFunctionMode):
    """Counts MACs from the shapes of the calls that a forward pass makes; shares nothing with fvcore or the formulas."""

    macs = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name == "linear":
            self.macs += out.numel() * args[1].shape[1]
        elif name == "conv2d":
            self.macs += out.numel() * args[1][0].numel()
        elif name == "scaled_dot_product_attention":
            query, key, value = args[:3]
            self.macs += query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        return out


def counted_macs(model, resolution, channels):
    with SecondCounter() as counter, torch.no_grad():
        model.eval()(torch.empty(1, channels, resolution, resolution))
    return counter.macs


def saved_bytes(model, resolution, channels, batch=4):
    """Bytes an image that autograd keeps for the backward pass, parameters apart; shared storage counts once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and tensor.is_floating_point():
            kept[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model.train()(torch.randn(batch, channels, resolution, resolution))
    assert logits.requires_grad
    return sum(storage.nbytes() for storage in kept.values()) / batch


def trained(model):
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def frozen(model):
    return sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)


@functools.cache
def space(name, resolution):
    return search_spaces.get(name, resolution)


@functools.cache
def taken(name):
    """The resolutions of these tests that a space takes."""
    sides = []
    for resolution in (8, 28, 32):
        with suppress(InputError):
            space(name, resolution)
            sides.append(resolution)
    return sides


def candidates(count, seed, spaces=tuple(search_spaces.SPACES)):
    """Seeded candidates of all spaces in turn, as (architecture, channels)."""
    rng = random.Random(seed)
    for index in range(count):
        name = spaces[index % len(spaces)]
        source = space(name, taken(name)[index // len(spaces) % len(taken(name))])
        yield source.decode(source.sample(rng)), rng.choice((1, 3))


def any_mixer(rng, width, extra):
    head = rng.choice([head for head in (4, 8, 16) if width % head == 0])
    mixers = [
        Identity(),
        Attention(head_width=head, qkv_bias=rng.random() < 0.5, out_bias=rng.random() < 0.5),
        ConvAttention(
            head_width=head,
            q_kernel=rng.choice((1, 3, 5)),
            kv_kernel=rng.choice((1, 3, 5)),
            q_stride=rng.choice((1, 1, 2, 3)),
            kv_stride=rng.choice((1, 2, 3)),
            scale=rng.choice(("width", "head")),
            shared_kv=rng.random() < 0.3,
            qkv_bias=rng.random() < 0.5,
        ),
    ]
    if not extra:
        mixers += [
            Pooling(size=rng.choice((1, 3, 5))),
            DepthwiseConv(kernel=rng.choice((1, 2, 3, 4, 5, 7, 8))),
            SeparableConv(
                kernel=rng.choice((1, 3, 7)),
                expansion=rng.choice((0.125, 0.5, 1.3, 2)),
                activation=rng.choice(ACTIVATIONS),
                bias=rng.random() < 0.5,
            ),
            TokenMlp(ratio=rng.choice((0.0625, 0.3, 1))),
            TokenLinear(bias=rng.random() < 0.5),
            RandomMixing(),
            GatedMlp(ratio=rng.choice((0.5, 1.1, 6))),
            MultiAxisMlp(block=rng.choice((1, 2, 3, 4)), grid=rng.choice((1, 2, 3, 4))),
            Attention(head_width=head, reduction=rng.choice((2, 3, 4))),
        ]
    return rng.choice(mixers)


def any_block(rng, width, extra):
    mixer = any_mixer(rng, width, extra)
    norm, activation = any_norm(rng, extra), rng.choice(ACTIVATIONS)
    if not extra and rng.random() < 0.2:
        return Block(mixer=mixer, mlp_ratio=0, activation=activation, layout="conv_mixer", **norm)
    ratio, scale = rng.choice((0, 0.5, 1.7, 4)), rng.choice((0, 1e-5, 1))
    return Block(
        mixer=mixer,
        mlp_ratio=ratio,
        mlp_bias=ratio == 0 or rng.random() < 0.5,
        activation=activation,
        layer_scale=scale,
        residual_scale=rng.choice((0, 0, 1)),
        **norm,
    )


def any_norm(rng, extra=False):
    norm = rng.choice(("none", "layer", "affine", "std_layer") if extra else NORMS)
    return {"norm": norm, "norm_bias": norm not in ("layer", "group") or rng.random() < 0.5}


def any_architecture(rng):
    """Anything that the values can say, small: the spaces use a part of it only. Raises ArchitectureError now and then."""
    count, token, stages = rng.randint(1, 3), rng.random() < 0.3, []
    for index in range(count):
        width, kernel = rng.choice((8, 16, 24, 32, 40)), rng.choice((1, 2, 3, 4, 5))
        embedding = Embedding(
            kernel=kernel,
            stride=rng.choice((1, 2, 2, 3)),
            padding=rng.randint(0, kernel - 1),
            activation=rng.choice(("none", *ACTIVATIONS)),
            norm_first=rng.random() < 0.3,
            **any_norm(rng),
        )
        blocks = tuple(any_block(rng, width, token and index == count - 1) for _ in range(rng.randint(1, 3)))
        stages.append(Stage(embedding=embedding, width=width, blocks=blocks, position=rng.choice(("none", "learned"))))
    head = Head(
        pool="class_token" if token else "mean",
        norm_last=rng.random() < 0.3,
        mlp_ratio=rng.choice((0, 0, 1.5)),
        **any_norm(rng),
    )
    return Architecture(resolution=rng.choice((7, 8, 12, 28, 32)), stages=tuple(stages), head=head)


def any_architectures(count, seed):
    rng = random.Random(seed)
    while count:
        try:
            architecture = any_architecture(rng)
        except ArchitectureError:
            continue
        count -= 1
        yield architecture, rng.choice((1, 3))


def member(family, resolution, limit=200_000):
    chosen = next(candidate for candidate in zoo.FAMILIES if candidate.name == family)
    return zoo.scaled(chosen, resolution, lambda architecture: cost(architecture, num_classes=10).params <= limit)


def one_block(mixer, width=16, resolution=12, stride=2, pool="mean", embedding=None, **fields):
    embedding = Embedding(kernel=stride, stride=stride, **(embedding or {}))
    stage = Stage(embedding=embedding, width=width, blocks=(Block(mixer=mixer, **fields),))
    return Architecture(resolution=resolution, stages=(stage,), head=Head(pool=pool))


CORNERS = {
    "even kernel": one_block(DepthwiseConv(kernel=8)),
    "even kernel larger than the map": one_block(DepthwiseConv(kernel=16)),
    "no mlp": one_block(Attention(head_width=8), mlp_ratio=0),
    "identity without mlp": one_block(Identity(), mlp_ratio=0),
    "fractional mlp": one_block(SeparableConv(expansion=0.3), mlp_ratio=0.33),
    "layer scale": one_block(Pooling(), layer_scale=1e-5),
    "layer scale without mlp": one_block(SeparableConv(), layer_scale=1e-5, mlp_ratio=0),
    "strided queries": one_block(ConvAttention(head_width=8, q_stride=2)),
    "strided queries on an odd map": one_block(ConvAttention(head_width=8, q_stride=2, kv_stride=3), resolution=14),
    "strided queries with a class token": one_block(ConvAttention(head_width=8, q_stride=2), pool="class_token"),
    "kernels of one": one_block(ConvAttention(head_width=8, q_kernel=1, kv_kernel=1)),
    "class token": one_block(Attention(head_width=8), pool="class_token"),
    "conv_mixer layout": one_block(
        DepthwiseConv(kernel=5), layout="conv_mixer", mlp_ratio=0, norm="batch", activation="relu"
    ),
    "no bias anywhere": one_block(Attention(head_width=8, qkv_bias=False, out_bias=False), mlp_bias=False),
    "reduced attention": one_block(Attention(head_width=8, reduction=2)),
    "reduced attention on an odd map": one_block(Attention(head_width=8, reduction=2), resolution=14),
    "shared keys and values": one_block(ConvAttention(head_width=8, shared_kv=True, qkv_bias=False)),
    "gate": one_block(GatedMlp(), mlp_ratio=0),
    "token linear": one_block(TokenLinear(bias=False), norm="affine", layer_scale=0.1),
    "random mixing": one_block(RandomMixing()),
    "two axes": one_block(MultiAxisMlp(block=2, grid=3)),
    "separable as in ConvFormer": one_block(
        SeparableConv(activation="star_relu", bias=False),
        norm_bias=False,
        mlp_bias=False,
        activation="star_relu",
        residual_scale=1,
    ),
    "norm before the embedding": one_block(Pooling(), embedding={"norm": "group", "norm_first": True}),
    **{
        f"residual scale with {norm} norm": one_block(Attention(head_width=8), norm=norm, residual_scale=1)
        for norm in NORMS
    },
    **{
        f"relu embedding with {norm} norm": one_block(Pooling(), embedding={"activation": "relu", "norm": norm})
        for norm in NORMS
    },
    **{f"{norm} norm": one_block(TokenMlp(), norm=norm) for norm in NORMS},
    **{f"{word}": one_block(Attention(head_width=8), activation=word) for word in ACTIVATIONS},
}


# -- against the module --------------------------------------------------------------------------------------------------


def test_parameters_of_60_candidates_are_those_of_the_module():
    for architecture, channels in candidates(60, seed=1):
        with torch.device("meta"):
            model = build(architecture, in_channels=channels, num_classes=10)

        params = cost(architecture, num_classes=10, in_channels=channels).params

        assert params == trained(model), architecture.to_json()


def test_parameters_and_macs_of_200_random_networks_are_those_of_a_second_counter():
    for architecture, channels in any_architectures(200, seed=2):
        model = build(architecture, in_channels=channels, num_classes=10)

        known = cost(architecture, num_classes=10, in_channels=channels)

        assert known.params == trained(model), architecture.to_json()
        assert known.frozen_params == frozen(model), architecture.to_json()
        assert known.macs == counted_macs(model, architecture.resolution, channels), architecture.to_json()


def test_macs_of_12_candidates_are_those_of_the_trace():
    for architecture, channels in candidates(12, seed=3):
        model = build(architecture, in_channels=channels, num_classes=10)

        macs = cost(architecture, num_classes=10, in_channels=channels).macs

        assert macs == traced_macs(model, resolution=architecture.resolution, in_channels=channels), (
            architecture.to_json()
        )


def test_macs_of_9_candidates_are_half_the_flops_of_torchs_own_counter():
    for architecture, channels in candidates(9, seed=4):
        with torch.device("meta"):
            model = build(architecture, in_channels=channels, num_classes=10).eval()
            image = torch.empty(1, channels, architecture.resolution, architecture.resolution)

        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(image)

        macs = cost(architecture, num_classes=10, in_channels=channels).macs
        assert counter.get_total_flops() == 2 * macs, architecture.to_json()


@pytest.mark.parametrize("corner", CORNERS)
def test_parameters_and_macs_are_right_in_the_corners(corner):
    architecture = CORNERS[corner]
    model = build(architecture, num_classes=10)

    known = cost(architecture, num_classes=10)

    assert known.params == trained(model)
    assert known.frozen_params == frozen(model)
    assert known.macs == counted_macs(model, architecture.resolution, 3)
    assert known.macs == traced_macs(model, resolution=architecture.resolution)


@pytest.mark.parametrize("corner", CORNERS)
def test_activations_are_what_autograd_keeps_in_the_corners(corner):
    torch.manual_seed(0)
    architecture = CORNERS[corner]
    model = build(architecture, num_classes=10)

    known = cost(architecture, num_classes=10).activation_bytes

    assert known == pytest.approx(saved_bytes(model, architecture.resolution, 3), rel=0.03)


@pytest.mark.parametrize("resolution", [8, 28])
@pytest.mark.parametrize("family", SCALED)
def test_parameters_macs_and_activations_of_scaled_families_are_right(family, resolution):
    torch.manual_seed(0)
    architecture = member(family, resolution)
    model = build(architecture, num_classes=10, in_channels=1)

    known = cost(architecture, num_classes=10, in_channels=1)

    assert known.params == trained(model)
    assert known.macs == traced_macs(model, resolution=resolution, in_channels=1)
    assert known.activation_bytes == pytest.approx(saved_bytes(model, resolution, 1), rel=0.03)


def test_activations_of_21_candidates_are_what_autograd_keeps_within_3_percent():
    torch.manual_seed(0)

    for architecture, channels in candidates(21, seed=5):
        model = build(architecture, in_channels=channels, num_classes=10)

        known = cost(architecture, num_classes=10, in_channels=channels).activation_bytes

        kept = saved_bytes(model, architecture.resolution, channels)
        assert known == pytest.approx(kept, rel=0.03), architecture.to_json()


@pytest.mark.parametrize(
    "name",
    [
        "mixer-s32", "gmlp-ti16", "resmlp-s12", "deit-tiny", "pvt-tiny", "cvt-13", "metaformer-ppaa-s12",
        "metaformer-rrrr-s12", "poolformerv2-s12", "randformer-s12", "convformer-s18", "caformer-s18",
    ],
)  # fmt: skip
def test_activations_of_a_member_of_every_published_family_are_what_autograd_keeps(name):
    architecture = zoo.get(name).at(64)
    model = build(architecture, num_classes=10, init="torch")

    known = cost(architecture, num_classes=10).activation_bytes

    assert known == pytest.approx(saved_bytes(model, 64, 3, batch=2), rel=1e-3)


def test_costs_at_another_resolution_are_those_of_the_network_made_for_it():
    architecture = zoo.get("deit-tiny")

    costs = cost(architecture, resolution=112)

    assert costs == cost(architecture.at(112))
    assert costs.macs < cost(architecture).macs / 3


def test_a_resolution_that_does_not_fit_is_refused():
    architecture = zoo.get("deit-tiny")

    with pytest.raises(ArchitectureError, match=r"^stages\[0\]\.embedding\.stride: 16 is larger than the 8x8 map$"):
        cost(architecture, resolution=8)


def test_the_parts_add_up_to_the_network():
    architecture = zoo.get("cvt-13")

    counts = parts(architecture)

    whole = cost(architecture)
    assert list(counts) == ["stages[0]", "stages[1]", "stages[2]", "head"]
    assert sum(count.params for count in counts.values()) == whole.params
    assert sum(count.macs for count in counts.values()) == whole.macs
    assert 4 * sum(count.saved for count in counts.values()) == whole.activation_bytes
    assert counts["head"].params == 2 * 384 + 385 * 1000


def test_costs_by_name_are_what_limits_may_speak_of():
    costs = cost(zoo.get("cvt-13"))

    named = costs.as_dict()

    assert tuple(named) == COSTS
    assert named["params"] == costs.params


def test_frozen_parameters_are_apart_from_those_that_limits_and_objectives_speak_of():
    costs = cost(zoo.get("randformer-s12"))

    named = costs.as_dict()

    assert costs.frozen_params == 6 * 196**2 + 2 * 49**2
    assert named["params"] == costs.params == cost(zoo.get("identityformer-s12")).params
    assert "frozen_params" not in named
