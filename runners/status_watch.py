"""`nas status --watch`: a study while another process drives it."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from nas.errors import InputError, StoreError
from nas.store.database import storage_url
from nas.store.lease import LEASE_S
from nas.store.watching import Watched
from nas.trial import State
from nas.wording import quantity
from runners.plots import rungs_table
from runners.screen import plain
from runners.status import Moment, may_plot
from runners.tables import print_json
from runners.view import clock

SHORTEST_S, LONGEST_S = 0.1, 86_400.0  # between looks
ROWS = (5, 3, 1)  # of the best: as many of these as there is room for


def watch(name: str, storage: str | None, *, every_s: float, plot: bool | None, as_json: bool, out: Console) -> None:
    """Look every so many seconds until the study is over, or Ctrl-C.

    It is over when nobody drives it and nothing runs. What a killed driver left running is waited for as long as a
    lease lasts, since somebody may take the study over, but only if there was a driver when this began.

    Raises: InputError for a time that cannot be; InputError, StoreError when the study cannot be read at first. Later
    that is shown, and tried again, but for a study that was deleted.
    """
    if not SHORTEST_S <= every_s <= LONGEST_S:
        raise InputError(f"--watch {every_s:g}: {SHORTEST_S:g} to {LONGEST_S:g} seconds are expected")
    watched = Watched(storage_url(storage), name)
    steerable = out.is_terminal and not out.is_dumb_terminal
    shown: _Shown = _Json() if as_json else _View(out, plots=may_plot(out, wanted=plot)) if steerable else _Lines(out)
    try:
        moment = Moment(watched.look())
        with shown:
            _follow(watched, moment, shown, every_s)
    except KeyboardInterrupt:
        return
    finally:
        watched.close()


def _follow(watched: Watched, moment: Moment, shown: _Shown, every_s: float) -> None:
    driven = time.monotonic() if moment.record.driver else -LEASE_S
    away: float | None = None
    said = ""
    while True:
        now = time.monotonic()
        driven = now if moment.record.driver else driven
        if away is None and moment.record.driver is None:
            running = sum(trial.state is State.RUNNING for trial in moment.record.trials)
            if not running or now - driven >= LEASE_S:
                left = f"though {running} trials were left running; the same `nas search` goes on with them"
                shown.show(moment, f"over: nobody drives it{f', {left}' if running else ' and nothing runs'}")
                return
        shown.show(moment, said)
        time.sleep(every_s)
        try:
            record = watched.look()
            moment = moment if record is moment.record else Moment(record)
            away, said = None, ""
        except StoreError as error:
            away = now if away is None else away
            said = f"away for {clock(time.monotonic() - away)}, trying again: {error}"


class _Shown(AbstractContextManager["_Shown"]):
    """Where a study is watched."""

    def __exit__(self, *problem: object) -> None:
        """Nothing is to be undone."""

    @abstractmethod
    def show(self, moment: Moment, said: str) -> None:
        """The study as it is; `said` is what else is to be known, as that the database is away."""


class _Json(_Shown):
    """A line for every change, as `nas status --json` prints it."""

    def __init__(self) -> None:
        self._last: Moment | None = None

    def show(self, moment: Moment, said: str) -> None:  # noqa: ARG002 - the signature is the contract's
        if moment is not self._last:
            print_json(moment.as_json(), flush=True)
        self._last = moment


class _Lines(_Shown):
    """A line for every change of the counts or of the best, for a log file."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._told = self._said = ""

    def show(self, moment: Moment, said: str) -> None:
        summary, state = summary_of(moment), said.partition(" for ")[0]
        if summary != self._told:
            self._tell(summary)
        if state != self._said:
            self._tell(f"the database is {said}" if state == "away" else said or "the database is back")
        self._told, self._said = summary, state

    def _tell(self, line: str) -> None:
        self._out.print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", highlight=False, soft_wrap=True)
        self._out.file.flush()


def summary_of(moment: Moment) -> str:
    """The counts, and the best or the size of the front, in one line."""
    if not moment.shown:
        return moment.heading
    goal, trial = moment.record.objectives[0].name, moment.shown[0]
    best = f"{moment.heading}; best {goal} {quantity(trial.metrics[goal])} (trial {trial.number})"
    return best if len(moment.record.objectives) == 1 else f"{best}, front of {len(moment.shown)}"


class _View(_Shown):
    """Everything on a terminal, no higher than it; redrawn when something changed or the terminal did."""

    def __init__(self, out: Console, *, plots: bool) -> None:
        self._out, self._plots = out, plots
        self._drawn: tuple[object, ...] = ()
        self._live = Live(console=out, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._live.stop()

    def show(self, moment: Moment, said: str) -> None:
        wanted = (moment, said, *self._out.size)
        if wanted != self._drawn:
            self._drawn = wanted
            self._live.update(Group(*self._parts(moment, said)), refresh=True)

    def _parts(self, moment: Moment, said: str) -> Iterator[RenderableType]:
        """What there is room for, the most telling first: the lines, the best, plots, the rungs."""
        lines = [moment.heading, *(f"  {line}" for line in moment.lines(rungs=not self._plots) if line)]
        last = f"the database is {said}" if said.startswith("away") else said
        foot = Text(plain(last or "Ctrl-C ends this view; the search goes on"), style="bold" if last else "")
        width, height = self._out.size
        room = height - self._high(foot) - 1
        while len(lines) > 1 and self._high(_text(lines)) > room:
            lines.pop()
        head = _text(lines)
        room -= self._high(head)
        yield head
        yield from self._more(moment, width, room)
        yield foot

    def _more(self, moment: Moment, width: int, room: int) -> Iterator[RenderableType]:
        best = [table for rows in ROWS if (table := moment.table(rows)) is not None and self._high(table) <= room]
        if best:
            room -= self._high(best[0])
            yield best[0]
        if not self._plots:
            return
        if plots := moment.plots(width, room):
            room -= self._high(plots)
            yield plots
        rungs = rungs_table(moment.record.trials, moment.record.rungs, width)
        if rungs is not None and self._high(rungs) <= room:
            yield rungs

    def _high(self, part: RenderableType) -> int:
        return len(self._out.render_lines(part))


def _text(lines: list[str]) -> Text:
    return Text(plain("\n".join(lines)))
