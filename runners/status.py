"""`nas status`: how far a study is, in lines, a table and plots."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas.errors import InputError
from nas.history import History, moved
from nas.store.database import storage_url
from nas.store.reading import StudyRecord, read_study
from nas.trial import State, Trial
from runners.best import best_of, shortfall_of
from runners.by_rung import foremost, rungs_json, rungs_line, spent_line, state_counts
from runners.moving import moved_line
from runners.plots import FRONT, cost_plot, progress_plot, rungs_table
from runners.screen import plain
from runners.tables import print_json, trial_json, trial_table

NARROWEST, BESIDE = 60, 140  # columns for plots; from which on they stand side by side
HEIGHT, LOWEST = 12, 7  # lines of a plot; fewer tell nothing


@dataclasses.dataclass(frozen=True, eq=False)
class Moment:
    """A study as it was read, and what is shown of it; nothing is computed twice."""

    record: StudyRecord

    @cached_property
    def history(self) -> History:
        """How it got there."""
        return History(self.record.finished, self.record.objectives, limits=self.record.limits)

    @cached_property
    def shown(self) -> Sequence[Trial]:
        """The front, or the best three."""
        return best_of(self.record, 3)

    @cached_property
    def heading(self) -> str:
        """Its trials by state."""
        return f"study {self.record.name}: {state_counts(self.record.trials, self.record.rungs)}"

    def lines(self, *, rungs: bool) -> Iterator[str]:
        """What stands below the heading and above the table; the trials at each rung only with `rungs`."""
        record = self.record
        for key in ("space", "data", "objectives", "limits"):
            value = record.settings.get(key)
            if value:
                yield f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        driver = record.driver
        yield f"driven by process {driver['pid']} on {driver['host']}" if driver else "nobody drives it now"
        yield f"{sum(trial.seconds or 0.0 for trial in record.trials):.0f} worker-seconds of evaluation"
        yield spent_line(record.trials, record.rungs)
        if rungs:
            yield rungs_line(record.trials, record.rungs)
        yield moved_line(self.history)
        if not self.shown:
            yield shortfall_of(record) or self._ahead

    @property
    def _ahead(self) -> str:
        ahead = foremost(self.record.trials, self.record.objectives)
        return f"none is complete; {ahead}" if ahead else ""

    def table(self, most: int | None = None) -> Table | None:
        """The best so far, at most so many; None when there is none."""
        if not self.shown:
            return None
        return trial_table(self.shown[:most], self.record.objectives, "best so far", limits=self.record.limits)

    def plots(self, width: int, room: int = 2 * HEIGHT) -> RenderableType | None:
        """Progress, and the first objective against a cost, in at most `room` lines; None when nothing fits.

        They stand side by side where that is wide enough; where there is room for one, it is the progress.
        """
        beside = width >= BESIDE
        each = (width - 3) // 2 if beside else width
        lines = min(HEIGHT, room if beside else room // 2)
        record, both = self.record, lines >= LOWEST
        lines = lines if both else min(HEIGHT, room)
        if lines < LOWEST:
            return None
        drawn = [progress_plot(self.history, each, lines)]
        if both:
            drawn.append(cost_plot(record.trials, record.objectives, record.limits, each, lines))
        pictures = [_picture(text) for text in drawn if text]
        if not beside or len(pictures) < 2:
            return Group(*pictures) if pictures else None
        grid = Table.grid(padding=(0, 3, 0, 0))
        grid.add_row(*pictures)
        return grid

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        record = self.record
        return {
            "study": record.name,
            **{state.value: sum(trial.state is state for trial in record.trials) for state in State},
            **rungs_json(record.trials, record.rungs),
            "driver": record.driver,
            "settings": record.settings,
            "best": [trial_json(trial) for trial in self.shown],
            "moved": moved(self.history),
        }


def _picture(text: str) -> Text:
    picture = Text(plain(text), no_wrap=True, overflow="crop")
    picture.highlight_regex(FRONT, "bold cyan")
    return picture


def may_plot(out: Console, *, wanted: bool | None) -> bool:
    """Whether plots are drawn: as wanted, else where a terminal is wide enough for them and can show them.

    Raises: InputError when they are wanted and cannot be drawn.
    """
    utf = out.encoding.lower().startswith("utf")
    try:
        import plotext  # noqa: F401 - a part of it is compiled, and may lack on a machine
    except ImportError as error:
        missing = str(error).partition("\n")[0]
    else:
        missing = "" if utf else f"standard output is {out.encoding}, and plots need UTF-8"
    if wanted and missing:
        raise InputError(f"--plot: {missing}")
    return not missing and (out.is_terminal and out.width >= NARROWEST if wanted is None else wanted)


def status(name: str, storage: str | None, *, plot: bool | None, as_json: bool, out: Console) -> None:
    """`nas status`. Raises: InputError, StoreError."""
    moment = Moment(read_study(storage_url(storage), name))
    if as_json:
        print_json(moment.as_json())
        return
    plots = may_plot(out, wanted=plot)
    out.print(moment.heading, highlight=False, soft_wrap=True)
    for line in filter(None, moment.lines(rungs=not plots)):
        out.print(f"  {line}", highlight=False, soft_wrap=True)
    parts: list[RenderableType | None] = [moment.table()]
    if plots:
        record = moment.record
        parts += [rungs_table(record.trials, record.rungs, out.width), moment.plots(out.width)]
    for part in filter(None, parts):
        out.print(part)
