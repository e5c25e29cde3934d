"""Markdown in which whatever somebody else wrote stays text."""

from __future__ import annotations

import functools
import re

WORDS = re.compile(r"(?!.*www\.)[\w ,.;%+/-]*", re.IGNORECASE)


@functools.lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """One line that means nothing but itself: harmless words as they are, all else in the font of code.

    Signs that mean something could be escaped, but addresses would become links all the same.
    """
    line = " ".join(text.split())
    return line.replace("_", r"\_") if WORDS.fullmatch(line) else code(line)


def code(text: str) -> str:
    """A word or two in the font of code."""
    line = " ".join(text.split())
    fence = _fence(line, 1)
    padded = f" {line} " if line.startswith("`") or line.endswith("`") else line
    return f"{fence}{padded}{fence}" if line else ""


def block(text: str) -> str:
    """Lines as they are, in the font of code."""
    fence = _fence(text, 3)
    return f"{fence}\n{text}\n{fence}"


def _fence(text: str, least: int) -> str:
    """Backticks, more than the text has in a row."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    return "`" * max(least, longest + 1)
