"""A plot of ours among those of the dashboard: what is searched for against what it costs, as Plotly's JSON."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nas.errors import InputError
from nas.objectives import limits_from, objectives_from

MOST = 2000  # trials drawn that are neither best nor starting points: evenly chosen, so that a page stays quick
COSTS = ("macs", "params", "latency_ms", "activation_bytes")
# colours of Okabe and Ito; every kind has a symbol of its own too
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"


@dataclasses.dataclass(frozen=True)
class Point:
    """A trial as plots and the choice of the best see it.

    Attributes:
        values: of the objectives; empty without.
        metrics: numbers among its user attributes.
        label: of a starting point, the family it is from.
    """

    number: int
    complete: bool
    feasible: bool
    values: tuple[float, ...]
    metrics: Mapping[str, float]
    origin: str
    label: str = ""


def plots(points: Sequence[Point], best: Collection[int], settings: Mapping[str, Any]) -> list[dict[str, str]]:
    """As `plotly_graph_objects` of a study: the first objective against each other one, or against a known cost."""
    try:
        goals = objectives_from(settings["objectives"])
        limits = limits_from(settings["limits"])
    except (KeyError, InputError):
        return []
    complete = [point for point in points if point.complete and len(point.values) == len(goals)]
    names = [goal.name for goal in goals]
    costs = names[1:] or [name for name in (*(limit.name for limit in limits), *COSTS) if name != names[0]]
    found = []
    for cost in costs if len(names) > 1 else [next((name for name in costs if _all_have(complete, name)), "")]:
        rows = [
            (point, x, point.values[0])
            for point in complete
            if (x := _cost(point, cost, names)) is not None and math.isfinite(point.values[0])
        ]
        if cost and rows:
            ways = {goal.name: " (higher is better)" if goal.maximize else " (lower is better)" for goal in goals}
            figure = _figure(rows, best, (cost, names[0]), ways)
            found.append({"id": f"nas-{names[0]}-{cost}", "graph_object": json.dumps(figure)})
    return found


def _all_have(points: Sequence[Point], name: str) -> bool:
    return bool(points) and all(name in point.metrics for point in points)


def _cost(point: Point, name: str, objectives: Sequence[str]) -> float | None:
    value = point.values[objectives.index(name)] if name in objectives else point.metrics.get(name)
    return value if value is not None and math.isfinite(value) else None


Dot = tuple[Point, float, float]


def _figure(
    rows: Sequence[Dot], best: Collection[int], names: tuple[str, str], ways: Mapping[str, str]
) -> dict[str, Any]:
    xs = [x for _, x, _ in rows]
    front = sorted((row for row in rows if row[0].number in best), key=lambda row: row[1])
    starts = [row for row in rows if row[0].origin == "start"]
    over = [row for row in rows if not row[0].feasible and row[0].origin != "start"]
    rest = [row for row in rows if row[0].feasible and row[0].number not in best and row[0].origin != "start"]
    shown, over_shown = _thinned(rest), _thinned(over)
    left = len(rest) + len(over) - len(shown) - len(over_shown)
    traces = [
        _trace("trial", shown, {"symbol": "circle", "color": BLUE, "size": 6, "opacity": 0.6}),
        _trace("over a limit", over_shown, {"symbol": "circle-open", "color": GREY, "size": 7}),
        _trace(
            "best" if len(front) < 2 else "front",
            front,
            {"symbol": "diamond", "color": ORANGE, "size": 10},
            line={"color": ORANGE, "width": 1, "dash": "dot", "shape": "hv"},
            mode="lines+markers" if len(front) > 1 else "markers",
        ),
        _trace(
            "starting point",
            starts,
            {
                "symbol": ["star" if point.feasible else "star-open" for point, _, _ in starts],
                "color": GREEN,
                "size": 12,
                "line": {"width": 1, "color": "#000000"},
            },
            mode="markers+text",
            labels=[html.escape(point.label or f"start {point.number}") for point, _, _ in starts],
            middle=(min(xs) + max(xs)) / 2,
        ),
    ]
    title = f"{names[1]} against {names[0]}" + (f" ({left:,} of {len(rows):,} trials left out)" if left else "")
    wide = min(xs) > 0 and max(xs) / min(xs) > 50
    return {
        "data": [trace for trace in traces if trace["x"]],
        "layout": {
            "title": {"text": html.escape(title)},
            "xaxis": {
                "title": {"text": html.escape(names[0] + ways.get(names[0], ""))},
                **({"type": "log"} if wide else {}),
            },
            "yaxis": {"title": {"text": html.escape(names[1] + ways.get(names[1], ""))}},
            "legend": {"orientation": "h", "y": -0.2},
            "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
            "showlegend": True,
        },
    }


def _thinned(rows: Sequence[Dot]) -> list[Dot]:
    if len(rows) <= MOST:
        return list(rows)
    return [rows[index * len(rows) // MOST] for index in range(MOST)]


def _trace(
    name: str,
    rows: Sequence[Dot],
    marker: dict[str, Any],
    *,
    mode: str = "markers",
    labels: Sequence[str] = (),
    middle: float = 0.0,
    **more: Any,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "mode": mode,
        "x": [_short(x) for _, x, _ in rows],
        "y": [_short(y) for _, _, y in rows],
        "customdata": [point.number for point, _, _ in rows],
        "hovertemplate": "trial %{customdata}<br>%{x}<br>%{y}",
        "marker": marker,
        **({"text": list(labels), "textposition": _inwards([x for _, x, _ in rows], middle)} if labels else {}),
        **more,
    }


def _inwards(xs: Sequence[float], middle: float) -> list[str]:
    """Where labels stand, so that none leaves the plot at its side."""
    return ["top right" if x < middle else "top left" for x in xs]


def _short(value: float) -> float:
    return float(f"{value:.6g}")
