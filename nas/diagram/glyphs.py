"""A sign for each token mixer: a colour of Okabe and Ito and a drawing, so that neither is needed alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nas.diagram.ink import INK, box, placed, shape, stroke

SIZE = 28
WHITE = "#ffffff"
Points = tuple[tuple[float, float], ...]


class Sign(NamedTuple):
    """Ground and ink of a sign, the path of its lines, its dots, and whether the middle cell of a grid is filled."""

    ground: str
    ink: str
    path: str
    dots: Points = ()
    cell: bool = False


def _joined(starts: Sequence[tuple[float, float]], ends: Sequence[tuple[float, float]]) -> str:
    """A line from each start to each end."""
    return "".join(f"M{a:g} {b:g}L{c:g} {d:g}" for a, b in starts for c, d in ends)


def _column(x: float) -> Points:
    return ((x, 6), (x, 14), (x, 22))


_RING: Points = ((14, 4), (22.7, 9), (22.7, 19), (14, 24), (5.3, 19), (5.3, 9))
_CORNERS: Points = ((8.5, 8.5), (19.5, 8.5), (8.5, 19.5), (19.5, 19.5))
_CELLS: Points = ((9.5, 9.5), (18.5, 9.5), (9.5, 18.5), (18.5, 18.5))
_GRID = "M5 11H23M5 17H23M11 5V23M17 5V23M5 5H23V23H5Z"
_TWO_GRIDS = "M9 8H25V24H9ZM14.3 8V24M19.7 8V24M9 13.3H25M9 18.7H25M4.5 20V4H20.5"
_AT_RANDOM = "M6 6L22 14M6 14L22 6M6 22L22 22M6 6L22 22M6 22L22 14"
_TWO_LAYERS = _joined(_column(5), _column(14)) + _joined(_column(14), _column(23))

_SIGNS = {
    "identity": Sign("#d9d9d9", INK, "M4 14H22M17 9L22.5 14L17 19"),
    "pooling": Sign("#56b4e9", INK, _GRID, ((14, 14),)),
    "random_mixing": Sign("#333333", WHITE, _AT_RANDOM, (*_column(6), *_column(22))),
    "depthwise_conv": Sign("#e69f00", INK, _GRID, cell=True),
    "separable_conv": Sign("#d55e00", WHITE, _TWO_GRIDS),
    "token_mlp": Sign("#009e73", WHITE, _TWO_LAYERS, (*_column(5), *_column(14), *_column(23))),
    "token_linear": Sign("#a6dcc9", INK, _joined(_column(6), _column(22)), (*_column(6), *_column(22))),
    "gated_mlp": Sign("#f0e442", INK, "M14 5A9 9 0 0 1 14 23A9 9 0 0 1 14 5M7.6 7.6L20.4 20.4M20.4 7.6L7.6 20.4"),
    "multi_axis_mlp": Sign("#f7d58f", INK, "M5 5H23V23H5ZM14 5V23M5 14H23", _CELLS),
    "attention": Sign("#0072b2", WHITE, _joined(_RING, _RING), _RING),
    "conv_attention": Sign("#cc79a7", INK, f"M4 4H24V24H4Z{_joined(_CORNERS, _CORNERS)}", _CORNERS),
}
_OTHER = Sign(WHITE, INK, "M5 14A9 9 0 0 1 23 14A9 9 0 0 1 5 14M14 9V19M9 14H19")


def colour(kind: str) -> str:
    """The colour of a mixer; white for one from outside."""
    return _SIGNS.get(kind, _OTHER).ground


def mixer_sign(x: float, y: float, kind: str) -> list[str]:
    """The sign of a mixer, SIZE pixels wide and high."""
    sign = _SIGNS.get(kind, _OTHER)
    elements = [box(0, 0, SIZE, SIZE, fill=sign.ground, line=INK, round_by=5)]
    if sign.cell:
        elements.append(box(11, 11, 6, 6, fill=sign.ink))
    elements.append(stroke(sign.path, line=sign.ink, wide=0.9 if len(sign.path) > 150 else 1.2))
    elements += [f'<circle cx="{a:g}" cy="{b:g}" r="2" fill="{sign.ink}"/>' for a, b in sign.dots]
    return [placed(x, y, elements)]


def mlp_sign(x: float, y: float, ratio: float) -> list[str]:
    """An MLP as what it does to the width: edges of the width, a middle wider or narrower by `ratio`^(3/4)."""
    edge, centre = 3.4, y + SIZE / 2
    middle = min(SIZE / 2, edge * ratio**0.75)
    points = ((0, edge), (SIZE / 2, middle), (SIZE, edge), (SIZE, -edge), (SIZE / 2, -middle), (0, -edge))
    hidden = f"M{x + SIZE / 2:.1f} {centre - middle:.1f}V{centre + middle:.1f}"
    return [
        shape([(x + a, centre + b) for a, b in points], fill="#e4e4e0", line=INK),
        stroke(hidden, wide=0.8, more='stroke-dasharray="2 2"'),
    ]
