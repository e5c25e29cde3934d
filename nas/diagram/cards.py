"""What panels hold: a row of equal blocks as one card, costs as bars, and the frame around what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nas.architecture import Block
from nas.diagram import words
from nas.diagram.glyphs import SIZE, colour, mixer_sign, mlp_sign
from nas.diagram.ink import ALERT, LINE, PAPER, SOFT, Drawing, box, lines, outline, phrases, text, wrapped
from nas.diagram.mixer_words import mixer_facts, mixer_name
from nas.tally import Place, Tally

BADGE = 38.0  # room for how many there are
SMALL, PLAIN, NAME = 11.0, 12.0, 13.0  # sizes of text


def block_card(
    x: float, y: float, room: float, block: Block, place: Place, count: int, notes: Sequence[str]
) -> Drawing:
    """Equal blocks in a row, once: how many, the mixer, the MLP, what both share. The height is where it ends."""
    left, wide = x + BADGE, room - BADGE
    second = bool(words.mlp_facts(block, place))
    mixer_room = wide * (0.62 if wide > 330 else 0.56) if second else wide
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
    differs: list[str] = []
    if notes:
        said = difference_lines(left + 12, shared.height, wide - 24, notes)
        bottom = said.height + 7
        differs = [*said.elements, outline(left - 3, y - 3, wide + 6, bottom - y + 6)]
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
    return Drawing(bottom + 3 * behind, [*elements, *cells, *shared.elements, *differs])


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


def noted(drawing: Drawing, x: float, y: float, wide: float, notes: Sequence[str]) -> Drawing:
    """A drawing with a frame and a line that says what differs, or as it is where nothing does."""
    if not notes:
        return drawing
    said = difference_lines(x + 5, drawing.height, wide - 10, [", ".join(notes)])
    return Drawing(said.height + 4, [*drawing.elements, *said.elements, outline(x, y, wide, said.height + 3 - y)])


def difference_lines(x: float, y: float, room: float, notes: Iterable[str]) -> Drawing:
    """What differs, as text."""
    return lines(x, y, wrapped(f"≠ {'; '.join(notes)}", SMALL, room, bold=True), size=SMALL, fill=ALERT, bold=True)
