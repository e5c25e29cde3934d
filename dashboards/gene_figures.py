"""The pictures about genes and correlations: rows of dots with their intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from dashboards.correlations import Scores, Short
from dashboards.drawing import BLUE, GREEN, GREY, ORANGE, plain_numbers, shortened, svg
from dashboards.effects import Effect
from dashboards.importance import Importance
from dashboards.pages import Picture, Table
from nas.wording import quantity

MOST_GENES = 12  # in the picture of importances; the table has all
MOST_EFFECTS = 5  # genes in the picture of effects


@dataclasses.dataclass(frozen=True)
class Row:
    """A dot with a label and an interval, where there is one; `mark`: another value, `head`: a heading without dot."""

    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    mark: float | None = None


def _dots(axes: Axes, rows: Sequence[Row], what: str, mark: str = "") -> None:
    marked = False
    for place, row in enumerate(rows):
        if row.value is None:
            continue
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], "-", color=BLUE, linewidth=1.6, solid_capstyle="butt")
        axes.plot([row.value], [place], "o", color=BLUE, markersize=4)
        if row.mark is not None:
            axes.plot([row.mark], [place], ">", color=ORANGE, markersize=4, label="" if marked else mark)
            marked = True
    axes.set_yticks(range(len(rows)), [shortened(row.label) for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        if row.value is None:
            label.set_fontweight("bold")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(what)
    plain_numbers(axes)
    if marked:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _height(rows: Sequence[Row]) -> float:
    return 0.8 + 0.2 * len(rows)


def importance_picture(found: Importance, metric: str) -> Picture | None:
    """The genes by what the forest loses without them; None where there is no ranking."""
    if found.r2 is None:
        return None
    rows = [Row(weight.gene, weight.loss, weight.low, weight.high) for weight in found.weights[:MOST_GENES]]

    def draw(axes: Axes) -> None:
        _dots(axes, rows, "loss of R2 when shuffled")
        axes.axvline(0, color=GREY, linewidth=0.8)

    some = f" of {found.of:,}" if found.networks < found.of else ""
    first = found.weights[0]
    caption = (
        f"How much a forest's prediction of {metric} loses when a gene is shuffled; it rests on "
        f"{found.networks:,}{some} networks, and R2 on networks it has not seen is {found.r2:.2f}: {found.verdict}. "
        f"First is {first.gene} ({first.loss:.3f}). Lines go from the smallest to the largest of five folds."
    )
    table = Table(
        "importance of every gene",
        ("gene", "loss of R2", "smallest fold", "largest fold", "networks that use it"),
        tuple((w.gene, f"{w.loss:.4f}", f"{w.low:.4f}", f"{w.high:.4f}", f"{w.count:,}") for w in found.weights),
        frozenset({1, 2, 3, 4}),
    )
    label = "Dot plot: importance of genes, most important first"
    return Picture("importance", label, caption, partial(svg, "importance", draw, _height(rows)), table)


def effects_picture(effects: Sequence[Effect], found: Importance, metric: str, level: str) -> Picture | None:
    """Mean and interval of every option of the genes that matter most; None where there are no choices."""
    chosen = _foremost(effects, found)
    if not chosen:
        return None
    rows: list[Row] = []
    for effect in chosen:
        rows.append(Row(effect.gene))
        rows += [
            Row(f"{each.label} ({each.count:,})", each.mean, each.low, each.high, each.best if each.count > 1 else None)
            for each in effect.options
        ]

    def draw(axes: Axes) -> None:
        _dots(axes, rows, f"mean {metric}, 95 % interval", "best")
        seen = [value for row in rows for value in (row.value, row.mark) if value is not None]
        room = 0.3 * (max(seen) - min(seen)) or 0.1 * abs(seen[0]) or 1.0
        axes.set_xlim(min(seen) - room, max(seen) + room)

    said = "; ".join(_said(effect) for effect in chosen[:3])
    caption = (
        f"Mean {metric} {level} of the networks that took each option (their number in brackets), with its 95 % "
        f"interval; "
        f"a triangle is the best of them, and intervals of few networks may run out of the picture. {said}. Who took "
        f"an option was not drawn by lot: a search takes what looked good."
    )
    label = f"Dot plot: mean {metric} by option of the genes that matter most"
    return Picture("effects", label, caption, partial(svg, "effects", draw, _height(rows)))


def _said(effect: Effect) -> str:
    options = sorted(effect.options, key=lambda each: each.mean)
    low, high = options[0], options[-1]
    return f"{effect.gene}: from {quantity(low.mean)} with {low.label} to {quantity(high.mean)} with {high.label}"


def _foremost(effects: Sequence[Effect], found: Importance) -> list[Effect]:
    """By importance where that says something, else by how far the means of options with company lie apart."""
    several = [effect for effect in effects if len(effect.options) > 1]
    if found.better:
        place = {weight.gene: index for index, weight in enumerate(found.weights)}
        return sorted(several, key=lambda effect: place.get(effect.gene, len(place)))[:MOST_EFFECTS]

    def apart(effect: Effect) -> float:
        means = [each.mean for each in effect.options if each.count > 1]
        return max(means) - min(means) if len(means) > 1 else 0.0

    return sorted(several, key=lambda effect: -apart(effect))[:MOST_EFFECTS]


def short_picture(found: Sequence[Short], metric: str) -> Picture | None:
    """Spearman's correlation by rung; None where no rung has one."""
    having = [each for each in found if each.spearman is not None]
    if not having:
        return None
    rows = [
        Row(f"{each.epochs} of {each.full} epochs ({each.networks})", each.spearman, each.low, each.high)
        for each in having
    ]

    def draw(axes: Axes) -> None:
        _dots(axes, rows, f"rank correlation with {metric} after the full budget")
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_xlim(min(-0.05, *(row.low or 0.0 for row in rows)) - 0.02, 1.02)

    said = "; ".join(f"{each.epochs} epochs: {_rho(each.spearman, each.low, each.high)}" for each in having)
    caption = f"How a short training ranks networks as the full one does (1: the same order). {said}."
    table = Table(
        "short and full training",
        ("epochs", "of", "networks with both", "Spearman", "95 % interval"),
        tuple(
            (
                str(e.epochs),
                str(e.full),
                f"{e.networks:,}",
                "-" if e.spearman is None else f"{e.spearman:+.3f}",
                _range(e.low, e.high),
            )
            for e in found
        ),
        frozenset({0, 1, 2, 3, 4}),
    )
    label = "Dot plot: rank correlation of short with full training"
    return Picture("short", label, caption, partial(svg, "short", draw, 0.3 + _height(rows)), table)


def scores_picture(found: Scores, metric: str) -> Picture | None:
    """Spearman's correlation of every score; None where none has one."""
    having = [each for each in found.agreements if each.spearman is not None]
    if not having:
        return None
    rows = [Row(each.proxy, each.spearman, *(each.interval or (None, None))) for each in having]

    def draw(axes: Axes) -> None:
        _dots(axes, rows, f"rank correlation with {metric}")
        axes.axvline(0, color=GREEN, linewidth=0.8, linestyle="--")

    said = "; ".join(f"{each.proxy} {each.spearman:+.2f}: {each.verdict}" for each in having)
    caption = f"How scores without training rank {found.networks:,} networks as their training did. {said}."
    table = Table(
        "scores without training",
        ("score", "networks", "Spearman", "95 % interval", "Kendall", "verdict"),
        tuple(
            (
                each.proxy,
                f"{each.count:,}",
                "-" if each.spearman is None else f"{each.spearman:+.3f}",
                _range(*(each.interval or (None, None))),
                "-" if each.kendall is None else f"{each.kendall:+.3f}",
                each.verdict,
            )
            for each in found.agreements
        ),
        frozenset({1, 2, 3, 4}),
    )
    label = "Dot plot: rank correlation of scores without training"
    return Picture("scores", label, caption, partial(svg, "scores", draw, 0.3 + _height(rows)), table)


def _rho(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "too few networks"
    return f"{value:+.2f}" + (f" ({low:+.2f} to {high:+.2f})" if low is not None and high is not None else "")


def _range(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"
