"""What a new network takes over from a trained one, tensor by tensor, and from which checkpoints it takes nothing."""

import dataclasses
import random

import pytest
import torch
from networks import MODERN, PYRAMID, network, patch, stage

import search_spaces
from nas import checkpoint
from nas.inheriting import NETWORK, begin_with, inherited
from nas.mixers import Attention, ConvAttention, DepthwiseConv, GatedMlp, Pooling, SeparableConv, TokenMlp
from nas.model import build


def fresh(architecture, seed=0, resolution=None):
    torch.manual_seed(seed)
    return build(architecture, num_classes=7, resolution=resolution).eval()


def trained(architecture, resolution=None):
    """Every parameter and statistic other than those of a new network."""
    model = fresh(architecture, seed=9, resolution=resolution)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) / 10)
    return model


def child_of(parent, architecture, resolution=None):
    """(model, share of its parameters)."""
    model = fresh(architecture, seed=1, resolution=resolution)
    return model, inherited(model, parent, parent.state_dict())


def one(mixer, width=16, depth=1, **fields):
    return network(stage(*[mixer] * depth, width=width, embedding=patch(4), **fields), resolution=16)


@pytest.mark.parametrize("architecture", [PYRAMID, MODERN])
def test_a_child_that_is_the_same_network_has_the_same_logits(architecture):
    parent, images = trained(architecture), torch.rand(3, 3, 32, 32)

    child, share = child_of(parent, architecture)

    assert share == 1.0
    assert torch.equal(child(images), parent(images))


def test_a_wider_child_has_the_parents_channels_first_and_its_own_after_them():
    parent = trained(one(DepthwiseConv(kernel=3), width=16, norm="batch"))
    own = fresh(one(DepthwiseConv(kernel=3), width=24, norm="batch"), seed=1)

    child, share = child_of(parent, one(DepthwiseConv(kernel=3), width=24, norm="batch"))

    assert 0.4 < share < 0.7
    theirs, mine, new = parent.stages[0][1].mlp[1][0], child.stages[0][1].mlp[1][0], own.stages[0][1].mlp[1][0]
    out, into = theirs.weight.shape
    assert torch.equal(mine.weight[:out, :into], theirs.weight)
    assert torch.equal(mine.weight[out:], new.weight[out:])
    assert torch.equal(mine.weight[:, into:], new.weight[:, into:])
    norm, statistics = child.stages[0][1].mix[0], parent.stages[0][1].mix[0]
    assert torch.equal(norm.running_mean[:16], statistics.running_mean)
    assert torch.equal(norm.running_mean[16:], torch.zeros(8))


def test_a_narrower_child_has_the_first_channels_of_all_that_it_has():
    parent = trained(one(SeparableConv(kernel=3), width=24))

    child, share = child_of(parent, one(SeparableConv(kernel=3), width=16))

    assert share == 1.0
    weights, theirs = dict(child.named_parameters()), dict(parent.named_parameters())
    for name, weight in weights.items():
        first = tuple(slice(size) for size in weight.shape)
        assert torch.equal(weight, theirs[name][first]), name


def test_of_queries_keys_and_values_the_first_channels_of_each_are_taken():
    parent = trained(one(Attention(head_width=8), width=24))

    child, _ = child_of(parent, one(Attention(head_width=8), width=16))

    theirs, mine = parent.stages[0][1].mix[1].qkv, child.stages[0][1].mix[1].qkv
    for part in range(3):
        assert torch.equal(mine.weight[16 * part :][:16], theirs.weight[24 * part :][:16, :16])
        assert torch.equal(mine.bias[16 * part :][:16], theirs.bias[24 * part :][:16])


def test_of_both_halves_of_a_gate_and_of_shared_keys_and_values_likewise():
    gated = trained(one(GatedMlp(ratio=4), width=16))
    child, _ = child_of(gated, one(GatedMlp(ratio=2), width=16))
    theirs, mine = gated.stages[0][1].mix[1].widen, child.stages[0][1].mix[1].widen
    assert torch.equal(mine.weight[:16], theirs.weight[:16])
    assert torch.equal(mine.weight[16:], theirs.weight[32:48])

    shared = trained(one(ConvAttention(head_width=8, shared_kv=True), width=16))
    child, _ = child_of(shared, one(ConvAttention(head_width=8, shared_kv=True), width=24))
    theirs, mine = shared.stages[0][1].mix[1].kv.linear, child.stages[0][1].mix[1].kv.linear
    assert torch.equal(mine.weight[24:40, :16], theirs.weight[16:])


@pytest.mark.parametrize(("theirs", "mine"), [(3, 7), (7, 3), (5, 3)])
def test_kernels_of_another_size_have_their_middles_in_common(theirs, mine):
    parent = trained(one(DepthwiseConv(kernel=theirs)))

    child, _ = child_of(parent, one(DepthwiseConv(kernel=mine)))

    given, own = parent.stages[0][1].mix[1].conv.weight, child.stages[0][1].mix[1].conv.weight
    side = min(theirs, mine)

    def middle(kernel):
        edge = (kernel.shape[2] - side) // 2
        return kernel[:, :, edge : edge + side, edge : edge + side]

    assert torch.equal(middle(own), middle(given))


def test_a_deeper_child_has_the_parents_blocks_and_new_ones_behind_them():
    parent = trained(one(Pooling(), depth=1))
    own = fresh(one(Pooling(), depth=2), seed=1)

    child, share = child_of(parent, one(Pooling(), depth=2))

    assert 0 < share < 1
    theirs = parent.state_dict()
    for name, tensor in child.state_dict().items():
        assert torch.equal(tensor, theirs.get(name, own.state_dict()[name])), name
    shallow, share = child_of(child, one(Pooling(), depth=1))
    assert share == 1.0
    assert torch.equal(shallow.stages[0][1].mlp[1][0].weight, child.stages[0][1].mlp[1][0].weight)


def test_another_mixer_keeps_its_new_weights_beside_the_parents_mlp():
    parent = trained(one(Attention(head_width=8)))
    own = fresh(one(DepthwiseConv()), seed=1)

    child, share = child_of(parent, one(DepthwiseConv()))

    assert 0 < share < 1
    mixer, mlp = child.stages[0][1].mix[1], child.stages[0][1].mlp[1]
    assert torch.equal(mixer.conv.weight, own.stages[0][1].mix[1].conv.weight)
    assert torch.equal(mlp[0].weight, parent.stages[0][1].mlp[1][0].weight)


def test_what_counts_positions_is_left_alone_where_there_are_others():
    positioned = one(TokenMlp(), position="learned")
    parent, own = trained(positioned, resolution=16), fresh(positioned, seed=1, resolution=32)

    child, share = child_of(parent, positioned, resolution=32)

    assert 0 < share < 1
    assert torch.equal(child.stages[0][0].position, own.stages[0][0].position)
    assert torch.equal(child.stages[0][1].mix[1][0].weight, own.stages[0][1].mix[1][0].weight)
    assert torch.equal(child.stages[0][0].conv.weight, parent.stages[0][0].conv.weight)


@pytest.mark.parametrize("name", ["metaformer", "cvt", "isotropic"])
def test_between_any_two_networks_of_a_space_something_is_shared_and_the_share_is_one(name):
    space, rng = search_spaces.get(name, 16), random.Random(0)
    for _ in range(10):
        first, second = (space.decode(space.sample(rng)) for _ in range(2))

        child, share = child_of(trained(first), second)

        assert 0 < share <= 1
        assert child(torch.rand(2, 3, 16, 16)).isfinite().all()


# -- from a checkpoint -------------------------------------------------------------------------------------------------


def saved(folder, parent, **changes):
    average = {f"module.{name}": tensor for name, tensor in parent.state_dict().items()}
    state = {"epoch": 1, NETWORK: parent.architecture.to_json(), "average": average, **changes}
    checkpoint.save(folder, {name: value for name, value in state.items() if value is not None})


def test_the_averaged_weights_of_a_checkpoint_are_what_is_taken(tmp_path):
    parent = trained(PYRAMID)
    saved(tmp_path, parent, model=fresh(PYRAMID).state_dict())
    child = fresh(PYRAMID, seed=1)

    assert begin_with(child, tmp_path) == 1.0
    assert all(torch.equal(tensor, parent.state_dict()[name]) for name, tensor in child.state_dict().items())


@pytest.mark.parametrize("what", ["gone", "torn", "old", "other", "foreign", "unreadable"])
def test_a_checkpoint_that_cannot_be_used_leaves_the_network_as_it_was(tmp_path, what, caplog):
    parent = trained(PYRAMID)
    smaller = dataclasses.replace(PYRAMID, stages=PYRAMID.stages[:1], head=MODERN.head)
    changes = {
        "old": {NETWORK: None},
        "other": {NETWORK: smaller.to_json()},
        "foreign": {"average": None},
        "unreadable": {NETWORK: "{}"},
    }
    if what != "gone":
        saved(tmp_path, parent, **changes.get(what, {}))
    if what == "torn":
        path = checkpoint.latest(tmp_path)
        path.write_bytes(path.read_bytes()[:1000])
    child, untouched = fresh(PYRAMID, seed=1), fresh(PYRAMID, seed=1)

    assert begin_with(child, tmp_path) == 0.0
    assert str(tmp_path) in caplog.text
    assert all(torch.equal(tensor, untouched.state_dict()[name]) for name, tensor in child.state_dict().items())
