"""An architecture for people: as lines of text, as a picture, and what sets two of them apart. Nothing needs torch."""

from __future__ import annotations

from nas.diagram.lines import describe, text
from nas.diagram.picture import svg

__all__ = ["describe", "svg", "text"]
