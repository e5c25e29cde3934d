"""What a person sees while a search runs, on standard error: a live view on a terminal, else lines for a log file.

In a log file stand the trials that end, those that go on from a rung, and once a minute how far the search is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from nas.progress import BeganAgain, Note, WentOn
from nas.ranking import ranked
from nas.study import Study
from nas.trial import Source, State, Trial
from runners.screen import plain
from runners.view import clock, ended_line, note_line, view_of

DRAW_S = 0.2  # a view on a terminal is put together no more often
SUMMARY_S = 60.0  # a line about the whole stands in a log file no more often


class Watcher:
    """Follows a study; give it to `nas.search` as `watch` inside a `with`.

    Called without news it looks at two lengths and the clock.
    """

    def __init__(self, console: Console, title: str = "") -> None:
        self._console, self._title = console, title or "search"
        self._started = time.monotonic()
        self._due = 0.0
        self._first = True
        self._before = 0.0
        self._told = self._noted = 0
        self._again = False
        self._ended: Counter[State] = Counter()
        self._best: Trial | None = None
        self._study: Study | None = None
        self._live = _Live(console, self._title) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._live is not None:
            if self._study is not None:
                self._draw(self._study, self._live)
            self._live.stop()

    def __call__(self, study: Study) -> None:
        """Say what is new, and how far it is where that is due."""
        self._study = study
        if self._first:
            self._begin(study)
        if len(study.finished) > self._told:
            self._end(study, study.finished[self._told :])
        notes = study.progress.notes
        if len(notes) > self._noted:
            new, self._noted = notes[self._noted :], len(notes)
            self._note(study, new)
        if time.monotonic() >= self._due:
            self._show(study)

    def _begin(self, study: Study) -> None:
        self._first = False
        for line in _before_the_first(study):
            self._say(line)
        self._count(study, study.finished)
        self._before, _ = view_of(study, self._ended, self._best).done
        self._started = time.monotonic()
        self._due = self._started + (SUMMARY_S if self._live is None else 0.0)

    def _end(self, study: Study, trials: Sequence[Trial]) -> None:
        self._count(study, trials)
        for trial in trials:
            if self._live is None or trial.state is State.FAIL:
                self._say(ended_line(trial, study.goals))

    def _note(self, study: Study, notes: Sequence[Note]) -> None:
        for note in notes:
            again = isinstance(note, BeganAgain)
            if (again and self._again) or (self._live is not None and isinstance(note, WentOn)):
                continue  # how many epochs are trained twice is said with the counts
            self._again = self._again or again
            self._say(note_line(note, study.trials[note.number], study.goals))

    def _count(self, study: Study, trials: Sequence[Trial]) -> None:
        self._told += len(trials)
        self._ended.update(trial.state for trial in trials)
        known = trials if self._best is None else [self._best, *trials]
        self._best = next(iter(ranked(known, study.goals.objectives, study.goals.all_limits)), self._best)

    def _show(self, study: Study) -> None:
        now = time.monotonic()
        if self._live is not None:
            self._due = now + DRAW_S
            self._draw(study, self._live)
            return
        self._due = now + SUMMARY_S
        view, seconds = view_of(study, self._ended, self._best), now - self._started
        parts = (view.work, view.counts, view.share, view.pace(self._before, seconds))
        self._say(f"at {clock(seconds)}: {'; '.join(part for part in parts if part)}")

    def _draw(self, study: Study, live: _Live) -> None:
        view = view_of(study, self._ended, self._best)
        pace = view.pace(self._before, time.monotonic() - self._started)
        live.show(view.done, ", ".join(filter(None, (view.share, pace))), view.work, view.counts)

    def _say(self, line: str) -> None:
        if self._live is not None or self._console.record:
            self._console.out(plain(line), highlight=False)
            return
        self._console.file.write(f"{plain(line)}\n")  # ten times as fast, which counts with thousands of cheap trials
        self._console.file.flush()


class _Live:
    """A bar and two lines at the bottom of a terminal. What they say is put together by the thread of the search."""

    def __init__(self, console: Console, title: str) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=console)
        self._task = self._bar.add_task(title, total=None, note="")
        self._lines = [Text(no_wrap=True, overflow="ellipsis") for _ in range(2)]
        group = Group(self._bar, *self._lines)
        self._live = Live(group, console=console, transient=True, refresh_per_second=5)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def show(self, done: tuple[float, float], note: str, *lines: str) -> None:
        self._bar.update(self._task, completed=done[0], total=max(done), note=note)
        for text, line in zip(self._lines, lines, strict=True):
            text.plain = f"  {line}"


def _before_the_first(study: Study) -> Iterator[str]:
    counts = Counter(trial.source for trial in study.finished)
    paused = len(study.ladder.waiting)
    if counts[Source.TRAINED] or paused:
        yield f"going on with {counts[Source.TRAINED]} trials done" + (f" and {paused} at a rung" if paused else "")
    if counts[Source.ADOPTED]:
        yield f"{counts[Source.ADOPTED]} trials that Optuna ran are taken in"
    if counts[Source.REUSED]:
        yield f"{counts[Source.REUSED]} trials are reused from other studies, they are not trained again"
    if study.misfits:
        number, reason = next(iter(study.misfits.items()))
        yield f"{len(study.misfits)} trials of others are no candidates of this space (trial {number}: {reason})"
