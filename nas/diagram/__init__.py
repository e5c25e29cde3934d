"""An architecture for people: as lines of text, as a picture, and what sets two of them apart. Nothing needs torch."""

from __future__ import annotations

from nas.diagram.comparing import Difference, differences
from nas.diagram.lines import describe, text
from nas.diagram.pair import svg_pair
from nas.diagram.picture import svg
from nas.diagram.sizes import classes_and_channels

__all__ = ["Difference", "classes_and_channels", "describe", "differences", "svg", "svg_pair", "text"]
