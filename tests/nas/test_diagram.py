"""Pictures of networks: everything is in them, nothing overlaps, and they need nothing from elsewhere."""

import dataclasses
import itertools
import random
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pictures import SVG, sound

import search_spaces
from nas import zoo
from nas.architecture import Architecture, Block, Embedding, Stage
from nas.checked import whole
from nas.costs import cost
from nas.diagram import svg, text
from nas.diagram.glyphs import mixer_sign
from nas.diagram.ink import extent, wrapped
from nas.diagram.mixer_words import NAMES, mixer_name
from nas.diagram.sizes import classes_and_channels
from nas.diagram.words import amount, map_size
from nas.mixers import MIXERS, Attention, ConvAttention, Identity, Mixer, Pooling, SeparableConv


def candidates(count=12):
    """Networks drawn at random from every space, of small and large images."""
    for name, side in itertools.product(search_spaces.SPACES, (8, 32, 224)):
        try:
            space = search_spaces.get(name, side)
        except ValueError:
            continue
        rng = random.Random(side)
        for _ in range(count):
            yield space.decode(space.sample(rng))


def network(*blocks, width=64, resolution=32):
    embedding = Embedding(kernel=4, stride=4)
    return Architecture(resolution=resolution, stages=(Stage(embedding=embedding, width=width, blocks=blocks),))


def complete(architecture, svg_text, num_classes, in_channels):
    """That every stage, run of blocks, mixer and cost of the network stands in its picture, which is returned."""
    picture = sound(svg_text)
    words = picture.words
    joined = " ".join(words)
    for index, (stage, place) in enumerate(zip(architecture.stages, architecture.places, strict=True)):
        assert f"Stage {index + 1}" in words
        assert map_size(place) in words
        for block, run in itertools.groupby(stage.blocks):
            assert f"×{len(list(run))}" in words
            assert all(word in joined for word in mixer_name(block.mixer).split())
            assert not block.mlp_ratio or f"MLP ×{block.mlp_ratio:g}" in words
    total = cost(architecture, num_classes=num_classes, in_channels=in_channels)
    assert f"{amount(total.params)} parameters" in joined
    assert f"{amount(total.macs)} MACs" in joined
    assert f"linear to {num_classes:,}" in joined
    assert joined.count("frozen") >= bool(total.frozen_params)
    return picture


@pytest.mark.parametrize("name", zoo.names())
def test_a_published_network_is_drawn_whole(name):
    classes = zoo.entry(name).classes
    picture = complete(zoo.get(name), svg(zoo.get(name), num_classes=classes, title=name), classes, 3)

    assert picture.words[0] == name
    assert picture.wide == 800


def test_candidates_of_every_space_are_drawn_whole_and_show_every_mixer_of_ours():
    seen = set()
    for architecture in candidates():
        complete(architecture, svg(architecture, num_classes=10, in_channels=1), 10, 1)
        seen |= {block.mixer.kind for stage in architecture.stages for block in stage.blocks}

    assert seen >= {kind for kind, mixer in MIXERS.items() if mixer.__module__.startswith("nas.mixers.")}


def test_every_mixer_has_a_sign_and_a_name_of_its_own():
    kinds = [kind for kind, mixer in MIXERS.items() if mixer.__module__.startswith("nas.mixers.")]

    assert len({"".join(mixer_sign(0, 0, kind)) for kind in (*kinds, "somebody_elses")}) == len(kinds) + 1
    assert len({NAMES[kind] for kind in kinds}) == len(kinds)


def test_a_mixer_from_outside_is_drawn_by_its_kind_and_fields():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Shift(Mixer):
        kind = "long_shift"
        step_size: int = whole(1, 9, default=2)

        def cost_at(self, place):
            return Identity().cost_at(place)

    words = sound(svg(network(Block(mixer=Shift())))).words

    assert "long shift" in words
    assert "step size 2" in words


@pytest.mark.parametrize(
    ("mixer", "said"),
    [
        (Attention(head_width=16, reduction=2, qkv_bias=False), ["4 heads of 16 · K/V stride 2", "no Q/K/V bias"]),
        (Attention(head_width=64, out_bias=False), ["1 head of 64 · no output bias"]),
        (ConvAttention(q_kernel=5, kv_stride=4, shared_kv=True), ["Q 5×5", "K/V 3×3, stride 4", "K and V share"]),
        (SeparableConv(kernel=5, expansion=1.5, bias=False), ["kernel 5×5 · expansion ×1.5", "no bias"]),
        (Pooling(size=5), ["window 5×5"]),
    ],
)
def test_sizes_strides_heads_and_what_is_unusual_are_said(mixer, said):
    joined = " ".join(sound(svg(network(Block(mixer=mixer)))).words)

    assert all(words in joined for words in said), joined


def test_scales_and_norms_are_said():
    block = Block(mixer=Identity(), norm="group", layer_scale=1e-5, residual_scale=1.0, mlp_bias=False, mlp_ratio=0.5)
    joined = " ".join(sound(svg(network(block))).words)

    assert "group norm before each · layer scale 1e-05 · residual scale 1" in joined
    assert "MLP without bias" in joined
    assert "hidden 32" in joined
    assert "layer norm before it · no MLP" in sound(svg(network(Block(mixer=Identity(), mlp_ratio=0)))).words


def test_as_many_different_blocks_as_a_stage_takes_stand_one_by_one():
    blocks = [Block(mixer=Identity(), mlp_ratio=1 + index / 128) for index in range(256)]
    picture = sound(svg(network(*blocks)))

    assert picture.words.count("×1") == 256
    assert "256 blocks" in picture.words


def test_boxes_shrink_with_the_map_and_deepen_with_its_width():
    def box(index):
        front = [element for element in root.iter(f"{SVG}polygon") if element.get("fill") == "#ffffff"][index]
        top = [element for element in root.iter(f"{SVG}polygon") if element.get("fill") == "#dbe9f4"][index]
        (x, _), (edge, _), *_ = corners(front)
        (left, _), (shifted, _), *_ = corners(top)
        return edge - x, shifted - left

    def corners(polygon):
        return [tuple(map(float, point.split(","))) for point in polygon.get("points").split()]

    root = ElementTree.fromstring(svg(zoo.get("cvt-13")))
    faces, depths = zip(*(box(index) for index in range(3)), strict=True)

    assert faces[0] > faces[1] > faces[2]
    assert depths[0] < depths[1] < depths[2]
    assert faces[0] / faces[2] == pytest.approx(2, rel=0.02)  # 56 to 14, on a root scale


def test_bars_share_out_the_whole():
    root = ElementTree.fromstring(svg(zoo.get("cvt-13")))
    for colour in ("#4d4d4d", "#0072b2"):
        bars = [float(bar.get("width")) for bar in root.iter(f"{SVG}rect") if bar.get("fill") == colour]
        assert sum(bar for bar in bars if bar < 146) == pytest.approx(146, abs=2)


def test_a_picture_says_what_it_shows_to_those_who_do_not_see_it():
    root = ElementTree.fromstring(svg(zoo.get("cvt-13"), title="CvT-13"))
    words = root.find(f"{SVG}desc").text

    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "CvT-13"
    labels = root.get("aria-labelledby").split()
    assert labels == [root.find(f"{SVG}title").get("id"), root.find(f"{SVG}desc").get("id")]
    other = ElementTree.fromstring(svg(zoo.get("cvt-13"), title="the same on the same page"))
    assert other.get("aria-labelledby") != root.get("aria-labelledby")
    assert "Stage 3, 14 × 14 × 384" in words
    assert "10 × convolutional attention, 6 heads of 64" in words
    assert "20.0 M parameters" in words


def test_nothing_comes_from_elsewhere_and_the_ground_is_its_own():
    drawn = svg(zoo.get("caformer-s18"))
    root = ElementTree.fromstring(drawn)

    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "desc", "g", "rect", "polygon", "path", "circle", "text",
    }  # fmt: skip
    assert not any(word in drawn for word in ("href", "url(", "style=", "@import"))
    assert root.find(f"{SVG}rect").get("fill") == "#ffffff"


@pytest.mark.parametrize("title", ['<b>&amp;"it\'s"</b>', "a\x00b\x1b[31m\ud800c", "x" * 300, "網路" * 60, " \n "])
def test_any_title_is_text(title):
    picture = sound(svg(zoo.get("cvt-13"), title=title))

    kept = "".join(char for char in title if char.isprintable()).strip()
    assert picture.root.find(f"{SVG}title").text.strip() in {kept, "3 stages, 13 blocks"}
    assert "".join(picture.words).startswith(kept[:20])


def test_a_text_is_broken_where_it_fits_and_loses_nothing():
    words = "a word and anextremelylongonewithoutblanks " * 3
    rows = wrapped(words, 12, 90)

    assert all(extent(row, 12) <= 90 for row in rows)
    assert "".join(rows).replace(" ", "") == words.replace(" ", "")
    assert len(wrapped(words, 12, 90, most=2)) == 2
    assert wrapped(words, 12, 90, most=2)[-1].endswith("…")


def test_the_same_network_gives_the_same_picture():
    assert svg(zoo.get("gmlp-s16")) == svg(zoo.get("gmlp-s16"))


@pytest.mark.parametrize("name", ["cvt-13", "caformer-s18", "randformer-s12", "gmlp-ti16"])
def test_classes_and_channels_are_found_again_in_the_counts(name):
    for shape in ((1, 1), (10, 1), (1000, 3), (37, 12)):
        counted = cost(zoo.get(name), num_classes=shape[0], in_channels=shape[1]).as_dict()
        assert classes_and_channels(zoo.get(name), counted) == shape

    assert classes_and_channels(zoo.get(name), {"params": 5.0, "macs": 5.0}) is None
    assert classes_and_channels(zoo.get(name), {}) is None


def test_a_text_stays_within_its_width():
    assert max(map(len, text(zoo.get("caformer-s18"), width=60).splitlines())) <= 72


def test_drawing_needs_no_torch():
    code = "import sys; from nas import zoo, diagram; diagram.svg(zoo.get('cvt-13')); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_the_picture_in_the_documents_is_what_the_command_draws():
    drawn = (Path(__file__).parent.parent.parent / "docs" / "cvt-13.svg").read_text(encoding="utf-8")

    assert drawn == svg(zoo.get("cvt-13"), title="cvt-13")
