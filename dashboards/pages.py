"""The parts of a report: sections of sentences, tables and pictures. Plain text throughout; whoever renders escapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of texts under a header. `numeric`: the columns that are aligned right. `title`: what is in it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True)
class Picture:
    """A drawing with what is seen in it in words, and its numbers.

    Attributes:
        key: its id. label: its name for those who do not see it. caption: what is seen. svg: draws it, as <svg>.
        numbers: what was drawn, where a table of it can be read. wide: whether it is not to be made narrower than
            it can be read.
    """

    key: str
    label: str
    caption: str
    svg: Callable[[], str]
    numbers: Table | None = None
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        key: its id. title: its heading. lines: paragraphs. pictures, tables: shown in this order; `folded` tables can
            be opened. block: text in columns, as of a terminal; beside pictures it can
            be opened. commands: to be typed.
    """

    key: str
    title: str
    lines: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[Table, ...] = ()
    block: str = ""
    commands: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Card:
    """A number to be seen first: what it is, the number, and what is to be known about it."""

    what: str
    value: str
    note: str


@dataclasses.dataclass(frozen=True)
class Page:
    """A whole report: title, one sentence, notes on what is unusual, cards, sections, and who wrote it."""

    title: str
    lead: str
    notes: tuple[str, ...]
    cards: tuple[Card, ...]
    sections: tuple[Section, ...]
    version: str
