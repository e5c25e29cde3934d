"""The parts of a picture from top to bottom: image, stages, head. Each is a drawing in the columns of a frame."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nas.architecture import Architecture, Stage
from nas.diagram import words
from nas.diagram.cards import NAME, PLAIN, SMALL, block_card, cost_bars, noted
from nas.diagram.ink import (
    ALERT,
    CARD,
    INK,
    LINE,
    SOFT,
    Drawing,
    box,
    lines,
    phrases,
    shape,
    stroke,
    text,
    wrapped,
)
from nas.tally import Place, Tally

PAD = 12.0


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


Notes = Mapping[str, Sequence[str]]
"""What differs from another network, in words, by the path of a stage, an embedding, a block or the head."""


def stage_panel(
    frame: Frame, scale: Scale, path: str, stage: Stage, place: Place, count: Tally, name: str, notes: Notes
) -> Drawing:
    """A stage: its map as a box, its embedding, its blocks, its costs."""
    left, room = frame.body
    depth = f"{len(stage.blocks)} block{'' if len(stage.blocks) == 1 else 's'}"
    differs = f"{path}.blocks" in notes
    elements = [
        text(left, PAD + NAME, name, size=NAME, bold=True),
        text(
            left + room, PAD + NAME, f"≠ {depth}" if differs else depth,
            size=PLAIN, fill=ALERT if differs else SOFT, bold=differs, anchor="end",
        ),
    ]  # fmt: skip
    opened = _steps(left, PAD + NAME + 8, room, words.stage_steps(stage, place), notes.get(f"{path}.embedding", ()))
    elements += opened.elements
    bottom, first = opened.height + 8, 0
    for block, run in itertools.groupby(stage.blocks):
        many = len(list(run))
        noted = _of_blocks(notes, path, range(first, first + many))
        drawn = block_card(left, bottom, room, block, place, many, noted)
        elements += drawn.elements
        bottom, first = drawn.height + 7, first + many
    return _panel(frame, scale, elements, bottom, count, map_box(frame, scale, place, notes.get(path, ())))


def _of_blocks(notes: Notes, path: str, run: range) -> list[str]:
    """The notes of a run of blocks; what is not said of all of them with their numbers."""
    at: dict[str, list[int]] = {}
    for index in run:
        for note in notes.get(f"{path}.blocks[{index}]", ()):
            at.setdefault(note, []).append(index)
    together: dict[tuple[int, ...], list[str]] = {}
    for note, indices in at.items():
        together.setdefault(tuple(indices), []).append(note)
    return [
        ", ".join(said) + ("" if len(indices) == len(run) else f" ({_numbers(indices)})")
        for indices, said in together.items()
    ]


def _numbers(at: Sequence[int]) -> str:
    """As in "block 3" or "blocks 8 to 10"; of what has gaps, how many."""
    if len(at) == 1:
        return f"block {at[0] + 1}"
    return f"blocks {at[0] + 1} to {at[-1] + 1}" if at[-1] - at[0] + 1 == len(at) else f"{len(at)} blocks"


def head_panel(
    frame: Frame, scale: Scale, steps: Sequence[str], num_classes: int, count: Tally, notes: Notes
) -> Drawing:
    """The head: pooling, norm, classifier, costs."""
    left, room = frame.body
    said = _steps(left, PAD + NAME + 8, room, steps, notes.get("head", ()))
    elements = [text(left, PAD + NAME, "Head", size=NAME, bold=True), *said.elements]
    centre = frame.middle_of_map
    vector = [
        box(centre - 40, PAD + 4, 80, 9, fill="#e4e4e0", line=INK),
        stroke("".join(f"M{centre - 40 + step * 10:g} {PAD + 4:g}v9" for step in range(1, 8)), wide=0.6),
    ]
    named = wrapped(f"{num_classes:,} class{'' if num_classes == 1 else 'es'}", PLAIN, frame.map_wide, bold=True)
    y = PAD + 18
    for line in named:
        vector.append(text(centre, y + PLAIN, line, size=PLAIN, bold=True, anchor="middle"))
        y += 16
    return _panel(frame, scale, elements, said.height + 4, count, Drawing(y, vector))


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


def map_box(frame: Frame, scale: Scale, place: Place, notes: Sequence[str]) -> Drawing:
    """A map as a box: its face is side x side, its depth the width (both on a root scale)."""
    largest = (frame.map_wide - 24) * 0.57
    face = max(8.0, largest * (place.side / scale.side) ** 0.5)
    deep = max(4.0, (frame.map_wide - 24) * 0.43 * (place.width / scale.width) ** 0.5)
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
    return noted(Drawing(bottom, elements), frame.margin + 4, 5, frame.map_wide - 2, notes)


def _steps(x: float, y: float, room: float, steps: Sequence[str], notes: Sequence[str]) -> Drawing:
    """Steps in the order of the data, with an arrow between them."""
    said = lines(x, y, phrases(steps, PLAIN, room, joint=" → ", head="→ "), size=PLAIN)
    return noted(said, x - 5, y - 2, room + 10, notes)
