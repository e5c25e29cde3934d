"""A small search that runs in a process of its own, killed at a point that is named from outside the product."""

import dataclasses
import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import sqlalchemy
from evaluations import macs
from sqlalchemy.engine.default import DefaultDialect

from nas import Space, one_of, search

KINDS = ("skip", "conv3", "conv5")
SPACE = Space({f"layer{index}": one_of(*KINDS) for index in range(4)})
FORKS = multiprocessing.get_context("forkserver")  # a crash every 0.1 s, instead of a start of Python each
FORKS.set_forkserver_preload(["nas.api", "nas.store.opening", "nas.store.reading", "runners.inline", "runners.local"])
STRIDE = int(os.environ.get("NAS_FAULT_STRIDE", "3"))  # 1: faults at every single point, not at every third
DONE = set()  # numbers of the trials that this process has evaluated


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched: other candidates have other values; `seconds` are those of an evaluation, in four steps."""

    url: str
    folder: Path
    study: str = "s"
    trials: int = 3
    objectives: tuple = ("accuracy:max",)
    sampler: str = "random"
    runner: str = "inline"
    workers: int | None = None
    seconds: float = 0.0
    lease_s: float | None = None
    beat_s: float | None = None
    answer_s: float | None = None

    @property
    def notes(self):
        return self.folder / f"{self.study}.jsonl"

    def run(self, **options):
        if self.lease_s is not None:
            from nas.store import lease

            lease.LEASE_S, lease.BEAT_S = self.lease_s, self.beat_s
        if self.answer_s is not None:
            from nas.store import watchdog

            watchdog.ANSWER_S = self.answer_s
        return search(
            SPACE,
            Evaluation(self.notes, self.seconds),
            objectives=self.objectives,
            costs=macs,
            trials=self.trials,
            sampler=self.sampler,
            storage=self.url,
            study=self.study,
            runner=self.runner,
            workers=self.workers,
            epochs=(4, 4),
            checkpoints=self.folder / "checkpoints",
            **options,
        )

    def read_notes(self):
        """Every start, step and end of an evaluation, in order."""
        return [json.loads(line) for line in self.notes.read_text().splitlines()] if self.notes.exists() else []

    def evaluated(self):
        """Numbers of trials in the order in which their evaluations were completed."""
        return [note["trial"] for note in self.read_notes() if note["event"] == "done"]


def points():
    """The numbers of the points at which a fault is put in, one after the other, until a test leaves the loop."""
    return itertools.count(1, STRIDE)


def value_of(candidate):
    return sum(KINDS.index(kind) * 3 ** int(name.removeprefix("layer")) for name, kind in candidate.items()) / 81


@dataclasses.dataclass(frozen=True)
class Evaluation:
    notes: Path
    seconds: float

    def __call__(self, candidate, budget, report):
        number, value = int(Path(budget.checkpoint).name), value_of(candidate)
        self._note(number, "start", value)
        for step in range(1, 5):
            time.sleep(self.seconds / 4)
            self._note(number, "step", value)
            report(step, {"accuracy": value * step / 4})
        self._note(number, "done", value)
        DONE.add(number)
        return {"accuracy": value}

    def _note(self, number, event, value):
        """One line, one write: lines of several processes never mix."""
        line = {"trial": number, "event": event, "value": value, "pid": os.getpid(), "time": time.time()}
        notes = os.open(self.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(notes, json.dumps(line).encode() + b"\n")
        os.close(notes)


@dataclasses.dataclass(frozen=True)
class Kill:
    """SIGKILL at the `nth` time that the main thread comes to a point, after the evaluation of a trial if one is given.

    at: "statement" (before it is carried out), "write" (the same, reading ones not counted), "before commit" or
        "after commit".
    """

    at: str
    nth: int = 1
    after: int | None = None

    def install(self):
        left = self.nth

        def here():
            nonlocal left
            if threading.current_thread() is threading.main_thread() and (self.after is None or self.after in DONE):
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        def statement(_connection, _cursor, statement, *_):
            if self.at == "statement" or not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
                here()

        def commit(dialect, connection):
            if self.at == "before commit":
                here()
            really(dialect, connection)
            if self.at == "after commit":
                here()

        if self.at in {"statement", "write"}:
            sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", statement)
        else:
            really, DefaultDialect.do_commit = DefaultDialect.do_commit, commit


def _killed(kill, target, *arguments):
    kill.install()
    target(*arguments)


def killed(kill, target, *arguments):
    """Whether it was killed on its way; False when it never came to that point. Anything else is an error."""
    process = FORKS.Process(target=_killed, args=(kill, target, *arguments))
    process.start()
    process.join(60)
    assert process.exitcode in {0, -signal.SIGKILL}, f"{kill}: exit code {process.exitcode}"
    return process.exitcode != 0


def started(search_):
    """The search in a process of its own; `said` has what it says, and its exit codes are those of `nas`."""
    process = FORKS.Process(target=_spoken, args=(search_,))
    process.start()
    return process


def _spoken(search_):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server of forks ignores it
    said = os.open(search_.folder / f"{search_.study}.said", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(said, 2)
    from nas.errors import NasError

    try:
        search_.run()
    except NasError as error:
        os.write(2, f"nas: {error}\n".encode())
        os._exit(2)
    except KeyboardInterrupt:
        os._exit(130)


def said(search_):
    file = search_.folder / f"{search_.study}.said"
    return file.read_text() if file.exists() else ""


def wait_until(condition, seconds=20.0, every=0.02):
    """Wait for it, and fail where it does not come."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come within {seconds} s"
        time.sleep(every)
    return found
