"""How far a study is: epochs trained, once and twice, who went on, who runs where. Kept as it goes, cheap to ask."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable

from nas.jobs import Reported, Started
from nas.trial import Source, State, Trial


@dataclasses.dataclass(frozen=True)
class Note:
    """What happened to a trial that has not ended, worth a line."""

    number: int


@dataclasses.dataclass(frozen=True)
class WentOn(Note):
    """It trains on: from the rung that it had reached to the next, in epochs."""

    reached: int
    level: int


@dataclasses.dataclass(frozen=True)
class BeganAgain(Note):
    """It trains epochs a second time: the first of them, how many it had, where it runs and where it ran ("": unknown).

    An evaluation does so that does not find the checkpoint of the epochs before.
    """

    epoch: int
    had: int
    host: str
    before: str


@dataclasses.dataclass(frozen=True)
class LostWorker(Note):
    """An attempt ended with its worker, and there will be another."""

    attempt: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a trial runs; `device` is as PyTorch calls it on that host."""

    host: str
    device: str


class Progress:
    """Follows the trials of one study.

    Attributes:
        epochs: that its own trials have come through, those of earlier drivers too; an epoch counts once.
        repeated: epochs that this driver saw trained again.
        failed, failed_epochs: its own trials that failed, and what they had come through. adopted: trials of others.
        promotions: how many went on to a rung, by its epochs, with this driver.
        notes: in their order. places: where those run that have said so, by number.
        workers: evaluations at a time, as the runner says; 0 until it does.
    """

    def __init__(self, trials: Iterable[Trial] = ()) -> None:
        """`trials` are those of earlier drivers."""
        self.epochs = self.repeated = self.workers = 0
        self.failed = self.failed_epochs = self.adopted = 0
        self.promotions: Counter[int] = Counter()
        self.notes: list[Note] = []
        self.places: dict[int, Place] = {}
        self._done: dict[int, int] = {}  # epochs of those that have not ended
        self._hosts: dict[int, str] = {}  # where they ran last
        self._here: dict[int, int] = {}  # where the evaluation that runs now is, once it has reported
        for trial in trials:
            self.adopted += trial.source is Source.ADOPTED
            if trial.source is Source.TRAINED:
                self._done[trial.number] = min(trial.epochs, trial.budget.stop)
                self._hosts[trial.number] = trial.host
                self.epochs += self._done[trial.number]
                if trial.ended:
                    self.end(trial)

    def begin(self, trial: Trial, *, promoted: bool) -> None:
        """It is handed out, up to its budget."""
        self._here.pop(trial.number, None)
        if promoted:
            self.promotions[trial.budget.stop] += 1
            self.notes.append(WentOn(trial.number, trial.budget.start, trial.budget.stop))

    def start(self, event: Started) -> None:
        """Its worker has begun."""
        self.places[event.number] = Place(event.host, event.device)

    def report(self, trial: Trial, event: Reported) -> None:
        """It has trained to a step; the first one that a job reports tells where that began."""
        number, step = trial.number, min(event.step, trial.budget.stop)
        done = self.done(number)
        if number not in self._here:
            again = 0 < step <= done
            if again:
                self.notes.append(BeganAgain(number, step, done, event.host, self._hosts.get(number, "")))
            self._here[number] = step - 1 if again else done
        if event.host:
            self.places[number] = Place(event.host, event.device)
            self._hosts[number] = event.host
        self.repeated += max(0, min(step, done) - self._here[number])
        self._here[number] = max(self._here[number], step)
        self._reach(number, step)

    def finish(self, trial: Trial) -> None:
        """It has used its budget."""
        self._reach(trial.number, trial.budget.stop)

    def lose(self, trial: Trial, reason: str) -> None:
        """Its worker is gone, and it will be tried again."""
        self.notes.append(LostWorker(trial.number, trial.attempt, reason))
        self.rest(trial.number)

    def rest(self, number: int) -> None:
        """It does not run now."""
        self.places.pop(number, None)
        self._here.pop(number, None)

    def end(self, trial: Trial) -> None:
        """Nothing more will come of it."""
        self.rest(trial.number)
        self._hosts.pop(trial.number, None)
        done = self._done.pop(trial.number, 0)
        if trial.state is State.FAIL:
            self.failed += 1
            self.failed_epochs += done

    def done(self, number: int) -> int:
        """Epochs that a trial which has not ended has come through."""
        return self._done.get(number, 0)

    def _reach(self, number: int, step: int) -> None:
        fresh = max(0, step - self.done(number))
        self.epochs += fresh
        self._done[number] = self.done(number) + fresh
