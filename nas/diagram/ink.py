"""The few shapes that pictures are made of, as SVG, and how much room a text takes.

A drawing is a list of elements and its height; it is placed by a translation, and nothing else transforms.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

FONT = "Helvetica Neue, Arial, Liberation Sans, DejaVu Sans, sans-serif"
INK, SOFT, LINE, PAPER, CARD = "#1a1a1a", "#555555", "#b8b8b8", "#ffffff", "#f6f6f4"
ALERT = "#b34700"  # what differs; dark enough for text on white
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NARROW, _WIDE = frozenset(" .,:;'|!ijlI()[]-·/ftr"), frozenset("mwMW%@×→≠+=<>~&…")


class Drawing(NamedTuple):
    """Elements from (0, 0) downwards, and how high they reach."""

    height: float
    elements: list[str]


def extent(string: str, size: float, *, bold: bool = False) -> float:
    """Width of a text in pixels, no less than in the widest of the fonts (DejaVu Sans)."""
    return sum(map(_em, string)) * size * (1.1 if bold else 1.0)


def _em(char: str) -> float:
    if char in _NARROW:
        return 0.42
    if char in _WIDE:
        return 0.99
    if ord(char) > 0x2E80:  # ideographs and emoji are square
        return 1.1
    return 0.64 if char.islower() or char.isdigit() else 0.79


def wrapped(string: str, size: float, room: float, *, bold: bool = False, most: int = 99) -> list[str]:
    """The lines, of at most `room` pixels, that a text is broken into; more than `most` end in an ellipsis."""
    lines = [""]
    for word in clean(string).split():
        longer = f"{lines[-1]} {word}".strip()
        if extent(longer, size, bold=bold) <= room:
            lines[-1] = longer
            continue
        rest = word
        while extent(rest, size, bold=bold) > room:  # a word that no line holds is cut
            fits = next(n for n in range(len(rest) - 1, 0, -1) if n == 1 or extent(rest[:n], size, bold=bold) <= room)
            lines.append(rest[:fits])
            rest = rest[fits:]
        lines.append(rest)
    lines = [line for line in lines if line]
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][:-1]}…"]


def phrases(parts: Iterable[str], size: float, room: float, *, joint: str = " · ", head: str = "") -> list[str]:
    """Short facts as lines, broken between facts where that is possible; a new line begins with `head`."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]}{joint}{part}" if lines else part
        if lines and extent(joined, size) <= room:
            lines[-1] = joined
        else:
            lines += wrapped(f"{head}{part}" if lines else part, size, room)
    return lines


def clean(string: str) -> str:
    """A text without the control characters that XML cannot hold."""
    return _NOT_IN_XML.sub("", string)


def text(
    x: float, y: float, string: str, *, size: float = 11, fill: str = INK, bold: bool = False, anchor: str = "start"
) -> str:
    """One line of text on the base line y."""
    more = (' font-weight="bold"' if bold else "") + ("" if anchor == "start" else f' text-anchor="{anchor}"')
    return f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" fill="{fill}"{more}>{escape(clean(string))}</text>'


def lines(x: float, y: float, rows: Iterable[str], *, size: float = 11, fill: str = INK, bold: bool = False) -> Drawing:
    """Several lines from the upper edge y downwards; the height is where they end."""
    step, elements = round(size * 1.36, 1), []
    for row in rows:
        elements.append(text(x, y + size, row, size=size, fill=fill, bold=bold))
        y += step
    return Drawing(y, elements)


def box(
    x: float,
    y: float,
    wide: float,
    high: float,
    *,
    fill: str,
    line: str = "none",
    round_by: float = 0,
    more: str = "",
) -> str:
    """A rectangle; `more` are further attributes."""
    rounded = f' rx="{_n(round_by)}"' if round_by else ""
    stroke = "" if line == "none" else f' stroke="{line}"'
    place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(high)}"'
    return f'<rect {place}{rounded} fill="{fill}"{stroke}{f" {more}" if more else ""}/>'


def shape(points: Iterable[tuple[float, float]], *, fill: str, line: str) -> str:
    """A closed polygon."""
    corners = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    return f'<polygon points="{corners}" fill="{fill}" stroke="{line}" stroke-linejoin="round"/>'


def outline(x: float, y: float, wide: float, high: float) -> str:
    """A dashed frame around what differs."""
    return box(x, y, wide, high, fill="none", line=ALERT, round_by=4, more='stroke-width="1.8" stroke-dasharray="5 3"')


def stroke(path: str, *, line: str = INK, wide: float = 1, more: str = "") -> str:
    """An open path by SVG's path commands."""
    return f'<path d="{path}" fill="none" stroke="{line}" stroke-width="{_n(wide)}"{f" {more}" if more else ""}/>'


def placed(x: float, y: float, elements: Iterable[str]) -> str:
    """Elements moved to (x, y)."""
    return f'<g transform="translate({_n(x)} {_n(y)})">{"".join(elements)}</g>'


def page(wide: float, high: float, elements: Iterable[str], *, title: str, words: str) -> str:
    """A whole picture on a white page of its own; title and words are its text, and name its ids."""
    title, words = clean(title), clean(words)
    name = f"nas-{hashlib.sha256(f'{title}{words}'.encode()).hexdigest()[:12]}"
    size = f'width="{_n(wide)}" height="{_n(high)}" viewBox="0 0 {_n(wide)} {_n(high)}"'
    labels = f'role="img" aria-labelledby={quoteattr(f"{name}-title {name}-desc")}'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {labels} font-family="{FONT}">'
    said = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(words)}</desc>'
    ground = box(0.5, 0.5, wide - 1, high - 1, fill=PAPER, line="#dddddd", round_by=6)
    return "\n".join([head, said, ground, *elements, "</svg>\n"])


def _n(value: float) -> str:
    """A number as short as a tenth of a pixel needs."""
    return f"{value:.1f}".removesuffix(".0")
