"""The consoles: text from a database or a user's code is shown as it is, and never steers the terminal."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.text import Text

# control characters but for line feed and tab, marks that turn the direction of writing, halves of a character
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    r"""Characters that would steer a terminal as they are written in Python: an escape as \x1b."""
    return STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Screen(Console):
    """A console for which every string is plain text: no markup, no emoji codes, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Of every string that is printed, table cells and titles too."""
        return super().render_str(plain(text), **options)
