"""Which weights networks share, and which part of them each takes."""

import dataclasses
from typing import ClassVar

import pytest
import torch
from networks import PYRAMID, network, patch, stage
from torch import nn

from nas.mixers import Attention, ConvAttention, DepthwiseConv, GatedMlp, MultiAxisMlp, SeparableConv, TokenMlp
from nas.model import build
from nas.supernet.parts import parts
from nas.supernet.slots import inherit, part_of, slots


def keys(architecture):
    return {name: slot.key for part in parts(architecture, 3, 10) for name, slot, _ in part.named()}


def test_every_parameter_of_a_network_has_a_slot_of_its_own():
    found = keys(PYRAMID)

    assert set(found) == {name for name, _ in build(PYRAMID, num_classes=10).named_parameters()}
    assert len(set(found.values())) == len(found)


def test_sizes_do_not_part_networks_and_the_kind_of_mixer_does():
    wide = keys(network(stage(SeparableConv(kernel=7, expansion=2.0), width=64, mlp_ratio=4)))
    narrow = keys(network(stage(SeparableConv(kernel=3, expansion=1.0), width=32, mlp_ratio=2)))
    other = keys(network(stage(DepthwiseConv(kernel=3), width=32, mlp_ratio=2)))

    assert wide == narrow
    shared = set(narrow.values()) & set(other.values())
    assert not any("Separable" in key or "Depthwise" in key for key in shared)
    assert any("mlp" in key for key in shared)


def test_deep_networks_share_the_blocks_that_shallow_ones_have():
    deep, shallow = (keys(network(stage(*[SeparableConv()] * depth))) for depth in (3, 1))

    assert set(shallow.items()) < set(deep.items())


def test_what_counts_positions_is_shared_among_equal_maps_only():
    fine, coarse = (keys(network(stage(TokenMlp(), embedding=patch(size), position="learned"))) for size in (4, 8))
    differing = {name for name, key in fine.items() if coarse[name] != key}

    assert differing == {
        "stages.0.0.position", "stages.0.1.mix.1.0.weight", "stages.0.1.mix.1.2.weight", "stages.0.1.mix.1.2.bias",
    }  # fmt: skip


def test_channels_come_from_the_front_and_kernels_from_the_middle():
    shared = torch.arange(4.0 * 5 * 5).reshape(4, 1, 5, 5)

    assert part_of(shared, (2, 1, 3, 3)).equal(shared[:2, :, 1:4, 1:4])
    assert part_of(shared[:, 0, 0], (3, 2)).equal(shared[:3, 0, 0, :2])


def test_an_even_kernel_keeps_the_position_that_it_is_padded_for():
    seven = torch.zeros(1, 1, 7, 7)
    seven[0, 0, 3, 3] = 1  # what a convolution that keeps the side leaves as it is
    conv = nn.Conv2d(1, 1, 4, bias=False)
    conv.weight.data = part_of(seven, (1, 1, 4, 4)).clone()
    image = torch.rand(1, 1, 8, 8)

    assert conv(nn.functional.pad(image, (1, 2, 1, 2))).equal(image)


@pytest.mark.parametrize(("mixer", "layer", "many"), [
    (Attention(head_width=8), "qkv", 3),
    (GatedMlp(ratio=4.0), "widen", 2),
    (ConvAttention(head_width=8, shared_kv=True), "kv.linear", 2),
])  # fmt: skip
def test_of_matrices_side_by_side_each_gives_its_first_channels(mixer, layer, many):
    module = build(network(stage(mixer, width=16))).get_submodule("stages.0.1.mix.1")
    slot, weight = slots(module)[f"{layer}.weight"], module.get_parameter(f"{layer}.weight")
    half = (weight.shape[0] // 2, weight.shape[1])

    rows = weight.unflatten(0, (many, -1))[:, : half[0] // many].flatten(0, 1)
    assert part_of(weight, half, slot.fused).equal(rows)
    assert slots(module)[f"{layer}.bias"].fused == slot.fused


def test_inputs_side_by_side_are_taken_each_from_its_front():
    module = build(network(stage(MultiAxisMlp(block=2, grid=2), width=16))).get_submodule("stages.0.1.mix.1")
    slot, weight = slots(module)["narrow.weight"], module.narrow.weight

    assert part_of(weight, (8, 16), slot.fused).equal(torch.cat((weight[:8, :8], weight[:8, 16:24]), dim=1))


def test_a_mixer_from_outside_says_of_itself_what_is_side_by_side_and_what_counts_positions():
    class Own(nn.Module):
        fused: ClassVar = {"both": (2, 1)}
        positional: ClassVar = {"table": 0}

        def __init__(self):
            super().__init__()
            self.both, self.table = nn.Linear(4, 8), nn.Parameter(torch.zeros(9, 4))

    found = slots(Own())

    assert found["both.weight"].fused == found["both.bias"].fused == (2, 1)
    assert found["table"].key.endswith("table@9")


def test_what_two_tensors_have_in_common_is_copied_and_counted_and_the_rest_stays():
    into, given = torch.zeros(6, 2), torch.arange(12.0).reshape(3, 4) + 1

    assert inherit(into, given) == 6
    assert into[:3].equal(given[:, :2])
    assert not into[3:].any()


def test_of_fused_tensors_what_is_in_common_is_copied_part_by_part():
    into, given = torch.zeros(6), torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8, 9])

    assert inherit(into, given, (3, 1)) == 6
    assert into.tolist() == [1, 2, 4, 5, 7, 8]


def test_parts_do_not_depend_on_who_asked_first():
    one = network(stage(SeparableConv(), width=16))
    state = torch.random.get_rng_state()
    row = parts(dataclasses.replace(one), 3, 10)

    assert torch.random.get_rng_state().equal(state)
    assert [part.shell for part in parts(one, 3, 10)] == [part.shell for part in row]
