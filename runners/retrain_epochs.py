"""How far full trainings are, said now and then."""

from __future__ import annotations

import time

from rich.console import Console

from nas.study import Study
from nas.trial import Trial
from runners.view import clock

LINE_S = 10.0  # between two lines about the epochs of a trial


class Epochs:
    """Says now and then how far each training is; a training may take hours, and a search says who has ended."""

    def __init__(self, console: Console, full: int) -> None:
        self._console, self._full = console, full
        self._told: dict[int, tuple[int, float]] = {}  # the epoch and the time of the last line

    def __call__(self, study: Study) -> None:
        """Called again and again."""
        now = time.monotonic()
        for number in study.progress.places:
            trial = study.trials[number]
            epoch, before = self._told.get(number, (0, -LINE_S))
            if trial.epochs > epoch and not trial.ended and now - before >= LINE_S:
                self._told[number] = trial.epochs, now
                self._console.print(self._line(trial), highlight=False, markup=False, soft_wrap=True)

    def _line(self, trial: Trial) -> str:
        last = trial.curve[trial.epochs]
        each = last.get("epoch_seconds", 0.0)
        left = clock(each * (self._full - trial.epochs))
        told = f"accuracy {last['accuracy']:.4f}" if "accuracy" in last else ""
        return f"trial {trial.number}, epoch {trial.epochs} of {self._full}: {told}, {each:.3g} s each, {left} left"
