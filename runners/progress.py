"""What a person sees while a search runs: a live line on a terminal, else a line a trial; on standard error."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from nas.goals import Goals
from nas.ranking import broken, ranked
from nas.study import Study
from nas.trial import Source, State, Trial
from runners.tables import quantity, short_network


class Watcher:
    """Follows a study; give it to `nas.search` as `watch` inside a `with`."""

    def __init__(self, console: Console, title: str = "") -> None:
        self._console, self._title = console, title
        self._started = time.monotonic()
        self._before = -1
        self._told = self._failed = 0
        self._best: Trial | None = None
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._title or "search", total=None, note="")
        return self

    def __exit__(self, *problem: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, study: Study) -> None:
        """Show how far it is."""
        done = len(study.finished)
        if self._before < 0:
            self._before = done
            for line in self._before_the_first(study):
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)
            self._count(study, study.finished)
        for trial in self._count(study, study.finished[self._told :]):
            if self._bar is None or trial.state is State.FAIL:
                self._console.print(self._line(trial, study.goals), highlight=False, markup=False, soft_wrap=True)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=study.total, note=self._note(study, done))

    def _before_the_first(self, study: Study) -> Iterator[str]:
        counts = Counter(trial.source for trial in study.finished)
        if counts[Source.TRAINED]:
            yield f"going on with {counts[Source.TRAINED]} trials done"
        if counts[Source.ADOPTED]:
            yield f"{counts[Source.ADOPTED]} trials that Optuna ran are taken in"
        if counts[Source.REUSED]:
            yield f"{counts[Source.REUSED]} trials are reused from other studies, they are not trained again"
        if study.misfits:
            number, reason = next(iter(study.misfits.items()))
            yield f"{len(study.misfits)} trials of others are no candidates of this space (trial {number}: {reason})"

    def _count(self, study: Study, ended: list[Trial]) -> list[Trial]:
        self._told += len(ended)
        self._failed += sum(trial.state is State.FAIL for trial in ended)
        known = ended if self._best is None else [self._best, *ended]
        self._best = next(iter(ranked(known, study.goals.objectives, study.goals.all_limits)), self._best)
        return ended

    def _line(self, trial: Trial, goals: Goals) -> str:
        if trial.state is State.FAIL:
            return f"trial {trial.number} failed: {trial.reason}"
        if trial.state is State.PRUNED:
            return f"trial {trial.number} was stopped early  ({trial.seconds or 0:.1f} s, {trial.origin})"
        values = "  ".join(f"{goal.name} {quantity(trial.metrics[goal.name])}" for goal in goals.objectives)
        if over := broken(trial, goals.all_limits):
            values += f"  over {', '.join(map(str, over))}"
        return f"trial {trial.number}: {values}  ({trial.seconds or 0:.1f} s, {trial.origin})  {short_network(trial)}"

    def _note(self, study: Study, done: int) -> str:
        parts = []
        if self._best is not None:
            goal = study.goals.objectives[0].name
            parts.append(f"best {goal} {quantity(self._best.metrics[goal])} (trial {self._best.number})")
        new, spent = done - self._before, time.monotonic() - self._started
        if new:
            left = max(0, study.total - done) * spent / new
            parts.append(f"{new / spent * 60:.1f} trials/min, {_clock(left)} left")
        if self._failed:
            parts.append(f"{self._failed} failed")
        if study.away_s is not None:
            parts.append(f"database away for {study.away_s:.0f} s, {study.pending} results wait")
        return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
