"""Small plots of a study, in characters alone: what a mark means is told by its shape, a colour only repeats it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from nas.fidelity import Rungs
from nas.history import History
from nas.objectives import Limit, Objective
from nas.ranking import pareto, violation
from nas.reached import by_rung
from nas.trial import State, Trial
from nas.wording import quantity

FRONT, OTHER, OVER, LINE = "●", "·", "×", "braille"
COSTS = ("params", "macs")  # that a single objective is shown against
TICK_COLUMNS = 14  # that a number below a plot takes at least, with the space to the next
FEW = 40  # values of a hypervolume of more than two objectives, which take long
Points = Mapping[str, Sequence[tuple[float, float]]]


def progress_plot(history: History, width: int, height: int) -> str:
    """The best, or the hypervolume, over trainings; empty before there are two of them, or a value."""
    every = 1 if len(history.objectives) <= 2 else max(1, math.ceil(history.trainings / FEW))
    counts = [*range(1, history.trainings, every), history.trainings]
    known = [(count, value) for count in counts if (value := history.value(count)) is not None]
    if len(known) < 2:
        return ""
    corners = [known[0]]
    for count, value in known:
        if value != corners[-1][1]:
            corners += [(count, corners[-1][1]), (count, value)]
    corners.append(known[-1])
    name = f"best {history.measure}" if len(history.objectives) == 1 else "hypervolume of the front"
    return _plot(f"{name} over trainings", {LINE: corners}, (1, counts[-1]), width, height)


def cost_plot(
    trials: Sequence[Trial], objectives: Sequence[Objective], limits: Sequence[Limit], width: int, height: int
) -> str:
    """The first objective against the second, or against a known cost; empty where there is neither, or no trial."""
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    across = _across(complete, objectives, limits)
    if across is None:
        return ""
    up = objectives[0]
    there = [trial for trial in complete if across.name in trial.metrics]
    best = {trial.number for trial in pareto(there, (up, across), limits)}
    marks: dict[str, list[tuple[float, float]]] = {OTHER: [], OVER: [], FRONT: []}
    for trial in there:
        over = violation(trial, limits) > 0
        mark = OVER if over else FRONT if trial.number in best else OTHER
        marks[mark].append((trial.metrics[across.name], trial.metrics[up.name]))
    words = {FRONT: "front", OTHER: "others", OVER: "over a limit"}
    legend = ", ".join(f"{mark} {word}" for mark, word in words.items() if marks[mark])
    values = [x for points in marks.values() for x, _ in points]
    return _plot(f"{up.name} against {across.name}: {legend}", marks, (min(values), max(values)), width, height)


def _across(complete: Sequence[Trial], objectives: Sequence[Objective], limits: Sequence[Limit]) -> Objective | None:
    if not complete:
        return None
    if len(objectives) > 1:
        return objectives[1]
    names = dict.fromkeys((*(limit.name for limit in limits if limit.name in COSTS), *COSTS))
    known = (name for name in names if name != objectives[0].name and any(name in t.metrics for t in complete))
    return next((Objective(name, maximize=False) for name in known), None)


def rungs_table(trials: Sequence[Trial], rungs: Rungs, width: int) -> Table | None:
    """How many trials came to each rung, as bars; None where there is one rung alone."""
    if len(rungs.levels) == 1:
        return None
    found = by_rung(trials, rungs)
    most = max((rung.reached for rung in found), default=0)
    table = Table(box=None, title="trials at each rung", title_justify="left", padding=(0, 1, 0, 0))
    for name in ("epochs", "reached", "paused", "pruned"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for rung in found:
        counts = (rung.epochs, rung.reached, rung.paused, rung.pruned)
        table.add_row(*map(str, counts), bar(rung.reached, most, min(40, width - 40)))
    return table


def bar(value: int, most: int, width: int) -> str:
    """A bar of eighths of a character, `most` being `width` of them; what is not nothing shows."""
    eighths = 0 if most <= 0 or value <= 0 else max(1, round(8 * width * value / most))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _plot(title: str, marks: Points, across: tuple[float, float], width: int, height: int) -> str:
    """`height` lines, the title among them. What is drawn later lies above."""
    import plotext

    low, high = _limits([y for points in marks.values() for _, y in points], margin=0.05)
    left, right = _limits(across, margin=0.0 if LINE in marks else 0.03)
    plotext.terminal.limit(width=False, height=False)
    figure = plotext.figure
    figure.clear.data()
    figure.clear.settings()
    figure.theme("colorless")
    figure.plot_size(width, height - 1)
    for mark, points in marks.items():
        shown = points if mark == LINE else _apart(points, (left, right), (low, high), width, height)
        if shown:
            signal = figure.signal([x for x, _ in shown], [y for _, y in shown], marker=mark)
            figure.draw(signal.lines(active=mark == LINE))
    for axis, ends, most in ((0, (left, right), width // TICK_COLUMNS), (1, (low, high), height // 3)):
        ticks = round_values(*ends, most)
        figure.ruler(axis, 0).lim(*ends)
        figure.ruler(axis, 0).ticks(ticks, [_label(tick) for tick in ticks])
    lines = str(figure.build().string(colorless=True)).rstrip("\n").splitlines()
    return "\n".join([title, *(line.rstrip() for line in lines)])


def _limits(values: Iterable[float], margin: float) -> tuple[float, float]:
    """From the least to the most, and a share more on both sides; never nothing."""
    seen = list(values)
    low, high = min(seen), max(seen)
    room = margin * (high - low) or (0.0 if high > low else abs(low) / 2 or 0.5)
    return low - room, high + room


def _apart(
    points: Sequence[tuple[float, float]], across: tuple[float, float], up: tuple[float, float], width: int, height: int
) -> list[tuple[float, float]]:
    """One point for each character that they fall on: of thousands most lie on others."""
    cells: dict[tuple[int, int], tuple[float, float]] = {}
    for x, y in points:
        column = round(2 * width * (x - across[0]) / (across[1] - across[0]))
        cells.setdefault((column, round(2 * height * (y - up[0]) / (up[1] - up[0]))), (x, y))
    return list(cells.values())


def round_values(low: float, high: float, most: int) -> list[float]:
    """At most so many round numbers (1, 2 or 5 by a power of ten apart) within the limits; at least one."""
    step = 10.0 ** math.floor(math.log10((high - low) / max(1, most)))
    for factor in (1, 2, 5, 10, 20, 50):
        first, last = math.ceil(low / (factor * step) - 1e-9), math.floor(high / (factor * step) + 1e-9)
        if last - first + 1 <= max(1, most):
            return [each * factor * step for each in range(first, last + 1)] or [(low + high) / 2]
    return [low]


def _label(value: float) -> str:
    return f"{value:.6g}" if abs(value) < 10_000 else quantity(float(f"{value:.6g}"))
