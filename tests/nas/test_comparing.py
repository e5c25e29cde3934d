"""What sets two networks apart, as values and side by side in a picture."""

import dataclasses
import itertools
import random

import pytest
from pictures import SVG, sound

import search_spaces
from nas import zoo
from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.costs import cost
from nas.diagram import differences, svg_pair
from nas.diagram.comparing import Difference
from nas.mixers import Attention, Identity, Pooling

EMBEDDING = Embedding(kernel=4, stride=4)
POOL3, POOL5 = Block(mixer=Pooling(size=3)), Block(mixer=Pooling(size=5))


def network(*blocks, width=64, **more):
    return Architecture(resolution=32, stages=(Stage(embedding=EMBEDDING, width=width, blocks=blocks),), **more)


def told(left, right):
    return [(each.path, each.left, each.right) for each in differences(left, right) if not each.path.startswith("cost")]


def test_a_searched_network_differs_from_the_one_it_came_from_as_the_paper_says():
    assert told(zoo.get("cvt-13"), zoo.get("cvt-13-nas")) == [
        ("stages[0].blocks[0].mlp_ratio", 4.0, 2.0),
        ("stages[1].blocks[0:2].mixer.kv_stride", 2, 1),
        ("stages[2].blocks[0:7].mixer.kv_stride", 2, 1),
        ("stages[2].blocks[7:10].mlp_ratio", 4.0, 2.0),
    ]


def test_costs_come_last_and_for_the_classes_that_are_asked_for():
    left, right = network(POOL3, width=32), network(POOL3, width=64)
    found = differences(left, right, num_classes=10, in_channels=1)
    one, other = (cost(each, num_classes=10, in_channels=1) for each in (left, right))

    assert [each.path for each in found] == [
        "stages[0].width", "costs.params", "costs.macs", "costs.activation_bytes",
    ]  # fmt: skip
    assert (found[1].left, found[1].right) == (one.params, other.params)


def test_depth_is_compared_and_the_blocks_that_both_have():
    assert told(network(POOL3, POOL3, POOL3), network(POOL5)) == [
        ("stages[0].blocks", 3, 1),
        ("stages[0].blocks[0].mixer.size", 3, 5),
    ]


def test_only_equal_differences_of_blocks_in_a_row_are_one():
    left = network(POOL3, POOL3, POOL3, POOL3, POOL3)
    right = network(POOL5, POOL5, POOL3, POOL5, Block(mixer=Pooling(size=7)))

    assert told(left, right) == [
        ("stages[0].blocks[0:2].mixer.size", 3, 5),
        ("stages[0].blocks[3].mixer.size", 3, 5),
        ("stages[0].blocks[4].mixer.size", 3, 7),
    ]
    assert [path for path, _, _ in told(left, network(POOL5, POOL5, POOL3, POOL5, POOL5))] == [
        "stages[0].blocks[0:2].mixer.size", "stages[0].blocks[3:5].mixer.size",
    ]  # fmt: skip


def test_another_kind_of_mixer_is_one_difference():
    assert told(network(POOL3), network(Block(mixer=Attention(head_width=16, out_bias=False)))) == [
        ("stages[0].blocks[0].mixer", "pooling(size 3)", "attention(head_width 16, no out_bias, reduction 1)")
    ]


def test_stages_that_one_lacks_and_another_resolution_are_said():
    found = {path: (left, right) for path, left, right in told(zoo.get("mixer-b16"), zoo.get("pvt-tiny"))}
    assert found["stages"] == (1, 4)
    assert found["stages[3]"] == (None, "7 × 7 × 512, 2 blocks")
    assert found["head.pool"] == ("mean", "class_token")

    larger = told(zoo.get("cvt-13"), zoo.get("cvt-13").at(384))
    assert [path for path, _, _ in larger] == ["resolution", "stages[0].side", "stages[1].side", "stages[2].side"]


def test_what_makes_no_difference_to_the_network_is_none():
    bare = dataclasses.replace(POOL3, norm="none")
    other = dataclasses.replace(bare, norm_eps=1e-3)

    assert differences(network(bare), network(other)) == ()
    assert told(network(bare), network(dataclasses.replace(other, mixer=Pooling(size=5)))) == [
        ("stages[0].blocks[0].mixer.size", 3, 5)
    ]
    head = Head(norm="none", norm_eps=1e-3)
    assert told(network(bare, head=head), network(bare)) == [("head.norm", "none", "layer")]


@pytest.mark.parametrize("space", search_spaces.SPACES)
def test_networks_differ_exactly_when_their_digests_do_and_the_other_way_round_alike(space):
    space, rng = search_spaces.get(space, 32), random.Random(1)
    drawn = [space.decode(space.sample(rng)) for _ in range(20)]

    for left, right in itertools.pairwise([*drawn, drawn[-1]]):
        found = differences(left, right)
        assert (found == ()) == (left.digest == right.digest)
        back = differences(right, left)
        assert [(each.path, each.right, each.left) for each in back] == [
            (each.path, each.left, each.right) for each in found
        ]
        assert len({each.path for each in found}) == len(found)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("stages[1].blocks[0:3].mixer.kv_stride", "stage 2, blocks 1 to 3: K/V stride"),
        ("stages[0].blocks[4].mlp_ratio", "stage 1, block 5: MLP ratio"),
        ("stages[0].blocks", "stage 1: number of blocks"),
        ("stages[2]", "stage 3"),
        ("head.norm_last", "head: norm last"),
        ("costs.params", "parameters"),
        ("resolution", "resolution"),
    ],
)
def test_a_path_is_said_in_words(path, where):
    assert Difference(path, 1, 2).where == where


def test_a_pair_marks_in_place_what_differs_and_lists_it():
    picture = sound(svg_pair(zoo.get("cvt-13"), zoo.get("cvt-13-nas"), titles=("CvT-13", "searched")))
    joined = " ".join(picture.words)

    assert picture.words[0] == "CvT-13"
    assert "searched" in picture.words
    assert "≠ MLP ratio" in picture.words
    assert "K/V stride (blocks 1 to 7);" in joined
    assert "stage 3, blocks 8 to 10: MLP ratio" in picture.words
    assert "19,997,480" in picture.words
    frames = [rect for rect in picture.root.iter(f"{SVG}rect") if rect.get("stroke-dasharray")]
    assert len(frames) == 3 + 4  # runs of blocks that differ, left and right
    assert "stage 1, block 1: MLP ratio, 4 and 2; stage 2" in picture.root.find(f"{SVG}desc").text


def test_both_are_drawn_on_one_scale():
    picture = sound(svg_pair(network(POOL3, width=16), network(POOL3, width=64)))
    tops = [
        shape.get("points").split() for shape in picture.root.iter(f"{SVG}polygon") if shape.get("fill") == "#dbe9f4"
    ]
    depths = [float(second.split(",")[0]) - float(first.split(",")[0]) for first, second, *_ in tops]

    assert depths[1] / depths[0] == pytest.approx(2, rel=0.02)  # on a root scale


def test_equal_networks_have_no_mark():
    words = sound(svg_pair(zoo.get("cvt-13"), zoo.get("cvt-13"))).words

    assert "The two networks are the same." in words
    assert not any("≠" in word for word in words)


def test_blocks_and_stages_that_one_lacks_are_marked():
    words = sound(svg_pair(network(POOL3), network(POOL3, Block(mixer=Identity())))).words
    assert {"≠ 1 block", "≠ 2 blocks", "≠ only here"} <= set(words)

    words = sound(svg_pair(zoo.get("mixer-b16"), zoo.get("pvt-tiny"))).words
    assert {"≠ no stage 2", "≠ no stage 3", "≠ no stage 4", "≠ only here"} <= set(words)


def test_any_two_networks_go_side_by_side_without_overlaps():
    rng = random.Random(0)
    for _ in range(25):
        left, right = rng.sample(zoo.names(), 2)
        picture = sound(svg_pair(zoo.get(left), zoo.get(right), titles=(left, f"<{right}> & more " * 5)))
        assert picture.wide == 992


def test_a_long_list_is_cut_and_says_so():
    blocks = [Block(mixer=Identity(), mlp_ratio=1 + index / 64) for index in range(60)]
    words = sound(svg_pair(network(*blocks), network(*reversed(blocks), width=32))).words

    assert "and 24 more" in words  # of 60 blocks, a width and three costs
    assert {"parameters", "MACs", "activation bytes"} <= set(words)
