"""The parts of a picture from top to bottom: image, stages, head. Each is a drawing in the columns of a frame."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from nas.architecture import Architecture, Block, Stage
from nas.diagram import words
from nas.diagram.glyphs import SIZE, colour, mixer_sign, mlp_sign
from nas.diagram.ink import CARD, INK, LINE, PAPER, SOFT, Drawing, box, lines, phrases, shape, stroke, text, wrapped
from nas.diagram.mixer_words import mixer_facts, mixer_name
from nas.tally import Place, Tally

PAD, BADGE = 12.0, 40.0
SMALL, PLAIN, NAME = 11.0, 12.0, 13.0


class Frame(NamedTuple):
    """The columns of a picture: maps at the left, what is done in the middle, costs at the right or below."""

    wide: float
    margin: float
    map_wide: float
    cost_wide: float
    beside: bool

    @property
    def body(self) -> tuple[float, float]:
        """Left edge and width of the middle column."""
        left = self.margin + self.map_wide + PAD
        right = self.wide - self.margin - PAD - (self.cost_wide + PAD if self.beside else 0)
        return left, right - left

    @property
    def middle_of_map(self) -> float:
        """Where the data flow down."""
        return self.margin + self.map_wide / 2


class Scale(NamedTuple):
    """What boxes and bars are drawn against: the largest side and width, and the costs of the whole."""

    side: int
    width: int
    total: Tally


def scale_of(architectures: Sequence[Architecture], total: Tally) -> Scale:
    """One scale for several networks, so that their boxes can be compared."""
    places = [place for each in architectures for place in each.places]
    return Scale(max(place.side for place in places), max(place.width for place in places), total)


def arrow(x: float, y: float, long: float) -> list[str]:
    """An arrow downwards."""
    tip = y + long
    return [
        stroke(f"M{x:g} {y:g}V{tip - 5:g}", line=SOFT, wide=1.5),
        shape([(x - 4, tip - 6), (x + 4, tip - 6), (x, tip)], fill=SOFT, line=SOFT),
    ]


def stage_panel(frame: Frame, scale: Scale, index: int, stage: Stage, place: Place, count: Tally) -> Drawing:
    """A stage: its map as a box, its embedding, its blocks, its costs."""
    left, room = frame.body
    elements = [text(left, PAD + NAME, f"Stage {index + 1}", size=NAME, bold=True)]
    depth = f"{len(stage.blocks)} block{'' if len(stage.blocks) == 1 else 's'}"
    elements.append(text(left + room, PAD + NAME, depth, size=PLAIN, fill=SOFT, anchor="end"))
    opened = _embedding(left, PAD + NAME + 8, room, words.stage_steps(stage, place))
    elements += opened.elements
    bottom = opened.height + 8
    for block, run in itertools.groupby(stage.blocks):
        drawn = block_card(left, bottom, room, block, place, len(list(run)))
        elements += drawn.elements
        bottom = drawn.height + 7
    return _panel(frame, scale, elements, bottom, count, map_box(frame, scale, place))


def head_panel(frame: Frame, scale: Scale, steps: Sequence[str], num_classes: int, count: Tally) -> Drawing:
    """The head: pooling, norm, classifier, costs."""
    left, room = frame.body
    said = lines(left, PAD + NAME + 8, phrases(steps, PLAIN, room, joint=" → ", head="→ "), size=PLAIN)
    elements = [text(left, PAD + NAME, "Head", size=NAME, bold=True), *said.elements]
    centre = frame.middle_of_map
    vector = [
        box(centre - 40, PAD + 4, 80, 9, fill="#e4e4e0", line=INK),
        stroke("".join(f"M{centre - 40 + step * 10:g} {PAD + 4:g}v9" for step in range(1, 8)), wide=0.6),
        text(centre, PAD + 30, f"{num_classes:,} classes", size=PLAIN, bold=True, anchor="middle"),
    ]
    return _panel(frame, scale, elements, said.height + 4, count, Drawing(PAD + 34, vector))


def _panel(frame: Frame, scale: Scale, elements: list[str], bottom: float, count: Tally, left: Drawing) -> Drawing:
    """A card with the map in the left column, and the costs at the right or at the bottom."""
    body_left, room = frame.body
    if frame.beside:
        costs = cost_bars(body_left + room + PAD, PAD, frame.cost_wide, count, scale.total)
    else:
        costs = cost_bars(body_left, bottom + 2, room, count, scale.total)
    bottom = max(bottom, costs.height, left.height) + PAD - 4
    card = box(frame.margin, 0, frame.wide - 2 * frame.margin, bottom, fill=CARD, line=LINE, round_by=6)
    return Drawing(bottom, [card, *left.elements, *elements, *costs.elements])


def map_box(frame: Frame, scale: Scale, place: Place) -> Drawing:
    """A map as a box: its face is side x side, its depth the width (both on a root scale)."""
    largest = (frame.map_wide - 8) * 0.56
    face = max(8.0, largest * (place.side / scale.side) ** 0.5)
    deep = max(4.0, (frame.map_wide - 8) * 0.42 * (place.width / scale.width) ** 0.5)
    rise = deep * 0.3
    x, y = frame.middle_of_map - (face + deep) / 2, PAD + rise + 2
    front, top, right = "#ffffff", "#dbe9f4", "#b5d0e6"
    elements = [
        shape([(x, y), (x + deep, y - rise), (x + face + deep, y - rise), (x + face, y)], fill=top, line=INK),
        shape(
            [(x + face, y), (x + face + deep, y - rise), (x + face + deep, y - rise + face), (x + face, y + face)],
            fill=right,
            line=INK,
        ),
        shape([(x, y), (x + face, y), (x + face, y + face), (x, y + face)], fill=front, line=INK),
    ]
    cells = min(place.side, 8)
    step = face / cells
    grid = "".join(
        f"M{x + k * step:.1f} {y:.1f}v{face:.1f}M{x:.1f} {y + k * step:.1f}h{face:.1f}" for k in range(1, cells)
    )
    if grid:
        elements.append(stroke(grid, line="#cfcfcf", wide=0.6))
    bottom = y + face + 6
    said = wrapped(words.map_size(place), PLAIN, frame.map_wide, bold=True)
    more = ["+ class token"] if place.extra else []
    for line in said:
        elements.append(text(frame.middle_of_map, bottom + PLAIN, line, size=PLAIN, bold=True, anchor="middle"))
        bottom += 16
    for line in [*more, f"{place.tokens:,} token{'' if place.tokens == 1 else 's'}"]:
        elements.append(text(frame.middle_of_map, bottom + SMALL, line, size=SMALL, fill=SOFT, anchor="middle"))
        bottom += 15
    return Drawing(bottom, elements)


def _embedding(x: float, y: float, room: float, steps: Sequence[str]) -> Drawing:
    said = lines(x, y, phrases(steps, PLAIN, room, joint=" → ", head="→ "), size=PLAIN)
    return Drawing(said.height, said.elements)


def block_card(x: float, y: float, room: float, block: Block, place: Place, count: int) -> Drawing:
    """Equal blocks in a row, once: how many, the mixer, the MLP, what both share. The height is where it ends."""
    left, wide = x + BADGE, room - BADGE
    second = bool(words.mlp_facts(block, place))
    mixer_room = wide * 0.62 if second else wide
    mixer = _cell(
        left, y, mixer_room, mixer_sign(left + 9, y + 8, block.mixer.kind), mixer_name(block.mixer),
        mixer_facts(block.mixer, place),
    )  # fmt: skip
    cells, bottom = mixer.elements, mixer.height
    if second:
        start = left + mixer_room
        name, ratio = (
            ("pointwise", 1.0) if block.layout == "conv_mixer" else (f"MLP ×{block.mlp_ratio:g}", block.mlp_ratio)
        )
        mlp = _cell(start, y, wide - mixer_room, mlp_sign(start + 9, y + 8, ratio), name, words.mlp_facts(block, place))
        cells += mlp.elements
        bottom = max(bottom, mlp.height)
    shared = lines(left + 12, bottom + 2, phrases(words.block_facts(block), SMALL, wide - 20), size=SMALL, fill=SOFT)
    bottom = shared.height + 6
    behind = min(count, 3) - 1
    elements = [
        box(left + 3 * k, y + 3 * k, wide - 3 * behind, bottom - y, fill=PAPER, line=LINE, round_by=4)
        for k in range(behind, 0, -1)
    ]
    elements += [
        box(left, y, wide - 3 * behind, bottom - y, fill=PAPER, line="#8a8a8a", round_by=4),
        box(left, y, 5, bottom - y, fill=colour(block.mixer.kind), line="#8a8a8a"),
        text(left - 7, (y + bottom) / 2 + 5, f"×{count}", size=14, bold=True, anchor="end"),
    ]
    return Drawing(bottom + 3 * behind, [*elements, *cells, *shared.elements])


def _cell(x: float, y: float, room: float, sign: list[str], name: str, facts: Sequence[str]) -> Drawing:
    """A sign, a name beside it and facts below the name."""
    start, inner = x + SIZE + 17, room - SIZE - 22
    named = lines(start, y + 7, wrapped(name, NAME, inner, bold=True), size=NAME, bold=True)
    told = lines(start, named.height, phrases(facts, SMALL, inner), size=SMALL)
    return Drawing(max(told.height, y + SIZE + 10), [*sign, *named.elements, *told.elements])


def cost_bars(x: float, y: float, wide: float, count: Tally, total: Tally) -> Drawing:
    """Parameters and MACs as numbers, shares and bars of the whole."""
    elements: list[str] = []
    for name, part, whole, fill in (
        ("params", count.params, total.params, "#4d4d4d"),
        ("MACs", count.macs, total.macs, "#0072b2"),
    ):
        elements += [
            text(x, y + SMALL, name, size=SMALL, fill=SOFT),
            text(x + wide, y + SMALL, f"{words.amount(part)} · {words.share(part, whole)}", size=SMALL, anchor="end"),
            box(x, y + 16, wide, 9, fill="#ffffff", line=LINE),
            box(x, y + 16, max(0.5, wide * part / whole) if part else 0, 9, fill=fill),
        ]
        y += 34
    if count.frozen:
        elements.append(text(x, y + SMALL - 2, f"+ {words.amount(count.frozen)} frozen", size=SMALL, fill=SOFT))
        y += 16
    return Drawing(y - 6, elements)
