"""Two architectures beside each other in one picture: what differs is outlined and named in its place, and listed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nas.architecture import Architecture
from nas.costs import parts
from nas.diagram.cards import PLAIN, SMALL
from nas.diagram.comparing import Difference, block_by_block, differences
from nas.diagram.ink import ALERT, LINE, SOFT, Drawing, box, lines, page, placed, stroke, text, wrapped
from nas.diagram.panels import Frame, Scale, arrow, scale_of
from nas.diagram.picture import GAP, default_title, footer, header, in_words, panels, summary
from nas.diagram.words import field_words, value_words
from nas.tally import Tally

HALF = Frame(wide=496, margin=14, map_wide=110, cost_wide=0, beside=False)
FULL = Frame(wide=2 * HALF.wide, margin=HALF.margin, map_wide=0, cost_wide=0, beside=False)
MOST = 40  # differences that are listed

_ITEM = re.compile(r"(stages\[\d+\](?:\.blocks\[\d+\]|\.embedding)?|head)\.?(.*)")


def svg_pair(
    left: Architecture,
    right: Architecture,
    *,
    titles: tuple[str, str] = ("", ""),
    num_classes: int = 1000,
    in_channels: int = 3,
) -> str:
    """Two architectures as one SVG of 992 pixels width, stage beside stage, on one scale.

    What differs has a dashed outline and a line that begins with ≠; the end of the picture lists all of it with the
    costs.
    """
    notes = notes_of(block_by_block(left, right)) if left.digest != right.digest else {}
    pair = (left, right)
    counts = [parts(each, num_classes=num_classes, in_channels=in_channels) for each in pair]
    totals = [Tally().plus(*each.values()) for each in counts]
    headings = [title.strip() or default_title(each) for title, each in zip(titles, pair, strict=True)]
    tops = [
        header(HALF, heading, summary(each, num_classes, in_channels, total))
        for heading, each, total in zip(headings, pair, totals, strict=True)
    ]
    y = max(top.height for top in tops)
    elements = [placed(x, 0, top.elements) for x, top in zip((0, HALF.wide), tops, strict=True)]
    columns = [
        panels(HALF, Scale(*scale_of(pair, total)), each, count, num_classes, notes)
        for each, count, total in zip(pair, counts, totals, strict=True)
    ]
    body, y = _side_by_side(columns, y)
    found = differences(left, right, num_classes=num_classes, in_channels=in_channels)
    listed = difference_list(found, headings)
    foot = footer(FULL)
    elements += [*body, placed(0, y, listed.elements), placed(0, y + listed.height, foot.elements)]
    said = [in_words(each, num_classes=num_classes, in_channels=in_channels) for each in pair]
    words = f"Left: {headings[0]}. {said[0]} Right: {headings[1]}. {said[1]} {_in_words(found)}"
    title = f"{headings[0]} beside {headings[1]}"
    return page(FULL.wide, y + listed.height + foot.height, elements, title=title, words=words)


def notes_of(found: Sequence[Difference]) -> dict[str, list[str]]:
    """What to say at each part of a picture: the words of its fields by the path of the part."""
    notes: dict[str, list[str]] = {}
    for each in found:
        if match := _ITEM.fullmatch(each.path):
            item, field = match.groups()
            if field in {"blocks", "position"}:  # the depth has a place of its own, positions stand with the embedding
                item += ".blocks" if field == "blocks" else ".embedding"
            notes.setdefault(item, []).append(field_words(field) or "only here")
            if field == "blocks":
                for index in range(*sorted((each.left, each.right))):
                    notes.setdefault(f"{item}[{index}]", []).append("only here")
    return notes


def _side_by_side(columns: Sequence[Sequence[Drawing]], y: float) -> tuple[list[str], float]:
    """Stage beside stage, and the heads last; where one has fewer stages, a gap that says so."""
    elements: list[str] = []
    longest = max(map(len, columns))
    for row in range(longest):
        cells = [_in_row(column, row, longest) for column in columns]
        high = max(cell.height for cell in cells if cell is not None)
        for cell, x in zip(cells, (0.0, HALF.wide), strict=True):
            down = [_line(y, y + GAP)] if cell is None else arrow(HALF.middle_of_map, y + 1, GAP - 2)
            drawn = placed(0, y + GAP, (cell or _nothing(row, high)).elements)
            elements.append(placed(x, 0, [*down, drawn]))
            if cell is not None and cell.height < high and row < longest - 1:
                elements.append(placed(x, 0, [_line(y + GAP + cell.height, y + GAP + high + 2)]))
        y += GAP + high
    return elements, y


def _in_row(column: Sequence[Drawing], row: int, longest: int) -> Drawing | None:
    if row == longest - 1:
        return column[-1]
    return column[row] if row < len(column) - 1 else None


def _line(top: float, bottom: float) -> str:
    return stroke(f"M{HALF.middle_of_map:g} {top:.1f}V{bottom:.1f}", line=SOFT, wide=1.5)


def _nothing(row: int, high: float) -> Drawing:
    room = HALF.wide - 2 * HALF.margin
    frame = box(HALF.margin, 0, room, high, fill="none", line=LINE, round_by=6, more='stroke-dasharray="2 5"')
    said = text(HALF.wide / 2 + 40, high / 2 + 4, f"≠ no stage {row + 1}", size=PLAIN, fill=ALERT, bold=True)
    return Drawing(high, [frame, _line(0, high), said])


def difference_list(found: Sequence[Difference], headings: Sequence[str]) -> Drawing:
    """A table of what differs: where, left, right."""
    first, second, third = FULL.margin, FULL.margin + 330, FULL.margin + 650
    y, elements = 22.0, list[str]()
    if not found:
        return Drawing(48, [text(first, y + 14, "The two networks are the same.", size=13, bold=True)])
    tops = ("≠ What differs", *headings)
    head = [
        lines(x, y, wrapped(top, PLAIN, room, bold=True, most=2), size=PLAIN, fill=ALERT, bold=True)
        for x, top, room in zip((first, second, third), tops, (310.0, 300.0, 310.0), strict=True)
    ]
    y = max(cell.height for cell in head) + 3
    elements += [element for cell in head for element in cell.elements]
    shown = _shown(found)
    for each in shown:
        elements.append(stroke(f"M{first:g} {y:.1f}H{FULL.wide - FULL.margin:g}", line="#dddddd"))
        told = (each.where, value_words(each.left), value_words(each.right))
        cells = [
            lines(x, y + 3, wrapped(words, SMALL, room), size=SMALL)
            for x, words, room in zip((first, second, third), told, (310.0, 300.0, 310.0), strict=True)
        ]
        elements += [element for cell in cells for element in cell.elements]
        y = max(cell.height for cell in cells) + 3
    if len(found) > len(shown):
        elements.append(text(first, y + 14, f"and {len(found) - len(shown)} more", size=SMALL, fill=SOFT))
        y += 20
    return Drawing(y, elements)


def _shown(found: Sequence[Difference]) -> list[Difference]:
    """The costs, and as many of the others as there is room for."""
    costs = [each for each in found if each.path.startswith("costs.")]
    return [*costs, *(each for each in found if each not in costs)][:MOST]


def _in_words(found: Sequence[Difference]) -> str:
    if not found:
        return "The two networks are the same."
    shown = _shown(found)
    told = [f"{each.where}, {value_words(each.left)} and {value_words(each.right)}" for each in shown]
    more = [f"and {len(found) - len(shown)} more"] if len(found) > len(shown) else []
    return f"They differ in: {'; '.join([*told, *more])}."
