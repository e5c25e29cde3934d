"""How far a supernet is: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from nas.jobs import Metrics
from runners.view import clock

LINE_S = 10.0  # between two lines in a log file


class SupernetProgress:
    """Called after every epoch; use it as a context."""

    def __init__(self, console: Console, study: str, epochs: int) -> None:
        self._console, self._epochs, self._told = console, epochs, 0.0
        self._study = study
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console) if console.is_terminal else None
        self._task = None if self._bar is None else self._bar.add_task("supernet", total=epochs, what="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        """After `epoch` epochs in all."""
        each = metrics.get("epoch_seconds", 0.0)
        what = f"epoch {epoch} of {self._epochs}, loss {metrics['train_loss']:.3f}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=epoch, what=what)
        elif (now := time.monotonic()) - self._told >= LINE_S or epoch == self._epochs:
            self._told = now
            left = clock(each * (self._epochs - epoch))
            self.say(f"supernet of {self._study}, {what}, {each:.3g} s each, {left} left")

    def say(self, line: str) -> None:
        """A line of its own."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
