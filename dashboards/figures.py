"""The pictures of a report, each with its caption in words and its numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from dashboards.course import Climb, Course
from dashboards.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    MANY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    plain_numbers,
    svg,
    whole_numbers,
)
from dashboards.fronts import Front, Point
from dashboards.pages import Picture, Table
from nas.wording import quantity

LOG_FROM = 30.0  # ratio of the largest cost to the smallest from which on the axis is logarithmic


def front_picture(front: Front, direction: str) -> Picture | None:
    """Cost against the judged metric; None without a complete network."""
    if not front.points:
        return None

    def draw(axes: Axes) -> None:
        groups = (
            ("over a limit", [p for p in front.points if not p.within], GREY, "x", 18),
            ("complete", [p for p in front.points if p.within and not p.front], SKY, "o", 14),
            ("random search", list(front.random), ORANGE, "^", 18),
            ("published families", list(front.published), PURPLE, "D", 26),
        )
        for label, points, colour, marker, size in groups:
            if points:
                _scatter(axes, points, label, colour, marker, size)
        best = sorted((p for p in front.points if p.front), key=lambda p: p.x)
        line = "-" if len(front.objectives) < 3 else ""
        axes.plot([p.x for p in best], [p.y for p in best], f"s{line}", color=BLUE, markersize=4, label="front")
        if front.bound is not None:
            axes.axvline(
                front.bound, color=VERMILION, linestyle="--", linewidth=1, label=f"limit {quantity(front.bound)}"
            )
        xs = [p.x for p in (*front.points, *front.random, *front.published)]
        if min(xs) > 0 and max(xs) / min(xs) > LOG_FROM:
            axes.set_xscale("log")
        else:
            plain_numbers(axes)
        axes.set_xlabel(front.cost)
        axes.set_ylabel(front.metric)
        _legend(axes)

    members = front.members
    names = list(dict.fromkeys(name for member in members for name in member.metrics))
    rows = tuple(
        (
            str(member.trial),
            *(quantity(member.metrics[name]) if name in member.metrics else "-" for name in names),
            member.network,
        )
        for member in members
    )
    numbers = Table("the front", ("trial", *names, "network"), rows, frozenset(range(len(names) + 1)))
    over = sum(not point.within for point in front.points)
    ends = (
        f" It goes from {quantity(members[-1].metrics[front.metric])} at {quantity(members[-1].metrics[front.cost])} "
        f"{front.cost} to {quantity(members[0].metrics[front.metric])} at {quantity(members[0].metrics[front.cost])}."
        if len(members) > 1
        else ""
    )
    caption = (
        f"{_capital(front.metric)} against {front.cost} of {_count(len(front.points), 'complete network')}"
        + (f", {over} of them over a limit" if over else "")
        + f". {_count(len(members), 'network')} on the front by {' and '.join(front.objectives)}.{ends}"
        + (f" The dashed line is the limit of {quantity(front.bound)}." if front.bound is not None else "")
    )
    label = f"Scatter plot: {front.metric} ({direction}) against {front.cost}, with the Pareto front"
    return Picture("front", label, caption, partial(svg, "front", draw), numbers)


def _scatter(axes: Axes, points: Sequence[Point], label: str, colour: str, marker: str, size: int) -> None:
    many = len(points) > MANY
    axes.scatter(
        [p.x for p in points], [p.y for p in points], s=6 if many else size, c=colour, marker=marker, label=label,
        alpha=0.5 if many else 0.9, rasterized=many, linewidths=0.8 if marker == "x" else 0,
    )  # fmt: skip


def progress_picture(courses: Sequence[Course], *, by: str) -> Picture | None:
    """The value over trainings or hours, of the search and of random search; None before one is complete."""
    shown = [course for course in courses if course.steps]
    if not courses or not courses[0].steps:
        return None
    hours = by == "hours"
    unit = 60 if hours and max(course.hours for course in courses) < 1 else 1
    word = ("minutes" if unit == 60 else "hours") if hours else "trainings"

    def draw(axes: Axes) -> None:
        for course, colour, style, marker in zip(shown, (BLUE, ORANGE), ("-", "--"), ("o", "^"), strict=False):
            end = unit * course.hours if hours else course.trainings
            xs = [unit * step.hours if hours else step.trainings for step in course.steps]
            ys = [step.value for step in course.steps]
            label = "this search" if course is courses[0] else "random search"
            axes.step([*xs, end], [*ys, ys[-1]], style, where="post", color=colour, label=label)
            axes.plot(xs, ys, marker, color=colour, markersize=3)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{word} of evaluation, added over workers" if hours else "trainings that had ended")
        axes.set_ylabel(_measure(courses[0]))
        plain_numbers(axes)
        if not hours:
            whole_numbers(axes)
        axes.legend(loc="lower right" if _rising(courses[0]) else "upper right")

    first = courses[0]
    said = [f"{_capital(_measure(first))} by {word}: {_came_to(first, unit if hours else None, word)}."]
    said += [
        f"Random search ({course.study}): {_came_to(course, unit if hours else None, word)}."
        for course in shown
        if course is not first
    ]
    rows = tuple(
        (course.study, str(step.trainings), f"{unit * step.hours:.4g}", quantity(step.value), str(step.trial))
        for course in shown
        for step in course.steps
    )
    header = ("study", "trainings", "minutes" if unit == 60 else "hours", _measure(first), "trial")
    numbers = Table("where it became better", header, rows, frozenset({1, 2, 3, 4}))
    label = f"Step line: {_measure(first)} by {word}"
    key = f"progress-{by}"
    return Picture(key, label, " ".join(said), partial(svg, key, draw, 2.6), numbers)


def _came_to(course: Course, unit: int | None, word: str) -> str:
    """Its last value and since when: in hours or minutes (so many units of an hour), or in trainings."""
    last = course.steps[-1]
    since, whole = f"{last.trainings:,}", f"{course.trainings:,}"
    if unit is not None:
        since, whole = f"{unit * last.hours:.3g}", f"{unit * course.hours:.3g}"
    return f"{quantity(last.value)} since {since} of {whole} {word} (trial {last.trial})"


def _measure(course: Course) -> str:
    return "hypervolume of the front" if course.measure == "hypervolume" else f"best {course.measure}"


def _rising(course: Course) -> bool:
    return course.steps[-1].value >= course.steps[0].value


def rungs_picture(climb: Climb) -> Picture | None:
    """How many trials reached each rung, and what of the epochs was spent on the way; None with one rung alone."""
    if len(climb.rungs) < 2 or not climb.rungs[0].reached:
        return None

    def draw(axes: Axes) -> None:
        places = np.arange(len(climb.rungs))
        reached = [rung.reached for rung in climb.rungs]
        bars = axes.bar(places - 0.2, reached, 0.38, color=SKY, label="trials that reached it")
        axes.bar_label(bars, [f"{count:,}" for count in reached], fontsize=8)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        axes.set_xticks(places, [f"{rung.epochs} epoch{'s' * (rung.epochs > 1)}" for rung in climb.rungs])
        axes.set_ylabel("trials")
        axes.grid(visible=False, axis="x")
        other = axes.twinx()
        spent = other.bar(
            places + 0.2, [100 * rung.share for rung in climb.rungs], 0.38, color="white", edgecolor=VERMILION,
            hatch="///", label="share of all epochs trained",
        )  # fmt: skip
        other.bar_label(spent, [f"{rung.share:.0%}" for rung in climb.rungs], fontsize=8)
        other.set_ylabel("% of epochs")
        other.set_ylim(0, max(100 * rung.share for rung in climb.rungs) * 1.15)
        axes.set_ylim(0, max(reached) * 1.15)
        other.grid(visible=False)
        other.spines["right"].set_visible(True)
        axes.legend(handles=[bars, spent], loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    said = ", ".join(f"{rung.reached} reached {rung.epochs}" for rung in climb.rungs)
    caption = (
        f"Epochs reached and paid for: of {climb.rungs[0].reached} trials {said}. {climb.epochs:,} epochs were "
        f"trained; to train all of them fully would have taken {climb.epochs_full:,}."
    )
    header = ("rung (epochs)", "reached", "waiting there", "ended there", "epochs spent", "share")
    rows = tuple(
        (str(r.epochs), str(r.reached), str(r.paused), str(r.pruned), f"{r.spent:,}", f"{r.share:.1%}")
        for r in climb.rungs
    )
    numbers = Table("rungs", header, rows, frozenset(range(6)))
    label = "Bar chart: trials that reached each rung, and the share of all epochs spent on the way there"
    return Picture("rungs", label, caption, partial(svg, "rungs", draw, 2.6), numbers)


def curves_picture(climb: Climb) -> Picture | None:
    """The metric by epoch, a line a trial; None without curves."""
    if not climb.curves:
        return None
    kinds: dict[str, tuple[str, Literal["-", "--", "-.", ":"]]] = {
        "complete": (BLUE, "-"),
        "pruned": (ORANGE, "--"),
        "paused": (GREEN, "-."),
        "running": (BLACK, ":"),
        "fail": (VERMILION, ":"),
    }

    def draw(axes: Axes) -> None:
        points = sum(len(curve.values) for curve in climb.curves)
        handles = []
        for state, (colour, style) in kinds.items():
            lines = [tuple(curve.values.items()) for curve in climb.curves if curve.state == state]
            if not lines:
                continue
            found = LineCollection(lines, colors=colour, linestyles=style, linewidths=0.8, alpha=0.7)
            found.set_rasterized(points > MANY)
            axes.add_collection(found)
            ends = [line[-1] for line in lines]
            axes.plot(*zip(*ends, strict=True), "o" if state == "complete" else "x", color=colour, markersize=3)
            handles.append(Line2D([], [], color=colour, linestyle=style, label=f"{state} ({len(lines)})"))
        axes.autoscale_view()
        for rung in climb.rungs[:-1]:
            axes.axvline(rung.epochs, color=GREY, linewidth=0.6, linestyle=":")
        whole_numbers(axes)
        axes.set_xlabel("epochs")
        axes.set_ylabel(climb.metric)
        axes.legend(handles=handles)

    drawn = len(climb.curves)
    some = f" of {climb.drawn_from:,}" if drawn < climb.drawn_from else ""
    lasts = [list(curve.values.values())[-1] for curve in climb.curves]
    caption = (
        f"{_capital(climb.metric)} by epoch of {drawn}{some} trials, one line each; they end between "
        f"{quantity(min(lasts))} and {quantity(max(lasts))}."
        + (" Dotted verticals are the rungs." if len(climb.rungs) > 1 else "")
    )
    label = f"Lines: {climb.metric} by epoch for each trial"
    return Picture("curves", label, caption, partial(svg, "curves", draw))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, handletextpad=0.4, columnspacing=1.0)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
