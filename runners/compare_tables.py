"""What `nas compare` prints of two sides and what sets them apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from nas.architecture import Architecture
from nas.diagram import Difference
from nas.diagram.words import value_words
from nas.trial import Trial
from nas.wording import quantity

ROWS = 20  # of a curve; of a longer one as many are shown at even distances
CURVES = 3  # metrics whose curves are shown


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two: its name, its candidate, and the trial that it is, if it is one."""

    label: str
    candidate: Any
    trial: Trial | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What sets the two sides apart.

    Attributes:
        differences: of the networks or the parameters, costs left out.
        metrics: name -> (left, right); None where one has none. What a trial on its way reported last counts.
        run: how they were evaluated, of two trials; only what differs.
        curves: metric -> epoch -> (left, right).
    """

    differences: Sequence[Difference]
    metrics: Mapping[str, tuple[float | None, float | None]]
    run: Mapping[str, tuple[Any, Any]]
    curves: Mapping[str, Mapping[int, tuple[float | None, float | None]]]


def show(study: str, left: Side, right: Side, found: Comparison, out: Console) -> None:
    """Tables of what differs, the metrics, how they came about, and the curves."""
    labels = (left.label, right.label)
    if found.differences:
        own = not isinstance(left.candidate, Architecture)
        rows = [
            (each.path if own else each.where, value_words(each.left), value_words(each.right))
            for each in found.differences
        ]
        out.print(_table(f"what differs in {study}", ("where", *labels), rows, right_from=99))
    else:
        out.print(f"{labels[0]} and {labels[1]} are the same candidate", highlight=False, markup=False)
    rows_of = [
        (name, _figure(one), _figure(other), _change(one, other)) for name, (one, other) in found.metrics.items()
    ]
    out.print(_table("costs and metrics", ("metric", *labels, "change"), rows_of, right_from=1))
    if found.run:
        told = [(name, value_words(one), value_words(other)) for name, (one, other) in found.run.items()]
        out.print(_table("how they were evaluated", ("", *labels), told, right_from=99))
    shown = dict(list(found.curves.items())[:CURVES])
    if shown:
        _show_curves(shown, labels, out)


def _show_curves(
    curves: Mapping[str, Mapping[int, tuple[float | None, float | None]]], labels: tuple[str, str], out: Console
) -> None:
    """A column for each metric of each side that has it."""
    columns = {
        f"{name}\n{label}": {epoch: pair[side] for epoch, pair in curve.items()}
        for name, curve in curves.items()
        for side, label in enumerate(labels)
        if any(pair[side] is not None for pair in curve.values())
    }
    epochs = list(next(iter(curves.values())))
    every = math.ceil(len(epochs) / ROWS)
    chosen = [epoch for place, epoch in enumerate(epochs) if place % every == 0 or epoch == epochs[-1]]
    rows = [(str(epoch), *(_figure(column[epoch]) for column in columns.values())) for epoch in chosen]
    out.print(_table("by epoch", ("epoch", *columns), rows, right_from=0))
    if every > 1:
        out.print(f"{len(chosen)} of {len(epochs)} epochs; --json has all", highlight=False)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, right_from: int) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place >= right_from else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else quantity(value)


def _change(left: float | None, right: float | None) -> str:
    """From left to right, absolute and relative."""
    if left is None or right is None or not math.isfinite(right - left):
        return ""
    if left == right:
        return "="
    sign = "+" if right > left else "-"
    change = f"{sign}{quantity(abs(right - left))}"
    if left * right <= 0:
        return change
    times = right / left
    return f"{change} (×{quantity(times)})" if not 0.1 < times < 10 else f"{change} ({sign}{abs(times - 1):.1%})"
