"""Drawing with matplotlib: one look, SVG that can stand in a page, the same bytes for the same numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nas.wording import quantity

# Okabe and Ito, Color universal design (2008)
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
GREY = "#767676"
WIDTH = 4.4  # inches; letters of 9 points can be read where it is 350 pixels wide
MANY = 2000  # points from which on they are drawn as an image within the SVG
LOOK = {
    "svg.fonttype": "none",  # letters stay text
    "svg.hashsalt": "mixer-nas",  # ids that are the same each time
    "text.parse_math": False,  # a $ in a name is a $
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "path.simplify": True,
}
PROLOGUE = re.compile(r"^.*?(?=<svg )", re.DOTALL)
METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
NAMES = re.compile(r'(\sid="|url\(#|href="#)')


def svg(key: str, draw: Callable[[Axes], None], height: float = 3.2) -> str:
    """An <svg> element of what `draw` puts on a pair of axes; ids begin with `key`, so that pages can hold several."""
    with mpl.rc_context(LOOK):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, dpi=150)
    text = METADATA.sub("", PROLOGUE.sub("", stream.getvalue(), count=1))
    text = re.sub(r'^<svg ([^>]*?)\s?width="[^"]*"', r"<svg \1", text, count=1)
    text = re.sub(r'^<svg ([^>]*?)\s?height="[^"]*"', r'<svg aria-hidden="true" focusable="false" \1', text, count=1)
    return NAMES.sub(rf"\g<1>{key}-", text).strip()


def plain_numbers(axes: Axes) -> None:
    """Ticks of the horizontal axis as tables show numbers: 1.25M, 30,000; 0.2 without more places."""
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: quantity(value) if abs(value) >= 1 else f"{value:.6g}")
    )
    axes.xaxis.set_major_locator(MaxNLocator(6))


def whole_numbers(axes: Axes) -> None:
    """No ticks between whole numbers on the horizontal axis."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def shortened(name: str, most: int = 34) -> str:
    """A long name with its middle left out."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"
