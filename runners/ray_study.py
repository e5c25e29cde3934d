"""A study in the words of Ray Tune: a searcher that asks it for jobs and a scheduler that knows why trials broke."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from nas.api import RunnerOptions, Watch
from nas.errors import InputError, NasError
from nas.jobs import Event, Failed, Job, Lost
from nas.study import Study
from runners.local import too_late
from runners.wire import EVENT, job_text, read_event

ROOM_S = 3.0  # between two looks at how much room the cluster has
UNMADE = "died because of an error raised in its creation task"  # Ray's words for an actor that could not be made


class Causes(FIFOScheduler):  # type: ignore[misc]
    """First in, first out; ends what is late, and notes why a trial broke, which Tune tells only its scheduler."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()
        self._searcher = searcher

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as with the searcher."""
        return {}

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Asked ten times a second; an actor whose job is late is killed first, whatever it does."""
        self._searcher.tick()
        for trial in tune_controller.get_live_trials():
            if trial.temporary_state.ray_actor is not None and self._searcher.late(trial.trial_id):
                ray.kill(trial.temporary_state.ray_actor)
        return super().choose_trial_to_run(tune_controller)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002
        """The last line of the error that Tune has written down, and whether the actor could not be made."""
        try:
            told = Path(trial.error_file).read_text()
        except (OSError, TypeError):
            return
        lines = [line.strip() for line in told.splitlines() if line.strip()]
        if lines:
            self._searcher.causes[trial.trial_id] = lines[-1][:500]
            if UNMADE in told:
                self._searcher.unable(lines[-1][:500])


class StudySearcher(Searcher):  # type: ignore[misc]
    """A Tune searcher that asks a study for jobs and tells it what came of them."""

    def __init__(
        self,
        study: Study,
        workers: int,
        options: RunnerOptions,
        watch: Watch,
        room: Callable[[], int] | None = None,
    ) -> None:
        """`workers` is how many jobs may be in flight; `room`, asked every few seconds, how many may be now."""
        super().__init__(metric="mixer_nas_step", mode="max")
        self._study, self._workers, self._watch = study, workers, watch
        self._room, self._asked = room, time.monotonic()
        self._ends = None if options.timeout is None else time.monotonic() + options.timeout
        self._limit = options.trial_timeout
        self._jobs: dict[str, Job] = {}
        self._started: dict[str, tuple[float, str]] = {}
        self._killed: dict[str, Failed] = {}
        self.error: NasError | None = None
        self.causes: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher, and the study in SQL is the only state that counts."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The next job; None while others run and none is to be had; FINISHED at the end."""
        late = self.error is not None or (self._ends is not None and time.monotonic() >= self._ends)
        if len(self._jobs) >= self._workers:
            return None
        try:
            job = None if late else self._study.next()
        except NasError as error:
            self.error = error  # Tune would bury it in a traceback of its own
            job = None
        if job is None:
            waits = self._jobs or not (late or self._study.over)
            return None if waits else Searcher.FINISHED
        self._jobs[trial_id] = job
        self._watch(self._study)
        return {"job": job_text(job), "timed": self._limit is not None}

    def tick(self) -> None:
        """Between events: what waits for the database is tried again, and the cluster may have grown.

        Raises what ends the search at once.
        """
        if self._room is not None and time.monotonic() >= self._asked + ROOM_S:
            self._workers, self._asked = self._room(), time.monotonic()
        try:
            self._study.flush()
        except NasError as error:
            self.error = error
            raise
        if self._study.away_s is not None:
            self._watch(self._study)

    def late(self, trial_id: str) -> bool:
        """Whether a job shall be killed now; said once."""
        if self._limit is None or trial_id not in self._started or trial_id in self._killed:
            return False
        began, host = self._started[trial_id]
        seconds, job = time.monotonic() - began, self._jobs[trial_id]
        if seconds <= self._limit:
            return False
        self._killed[trial_id] = Failed(job.number, job.attempt, too_late(self._limit), seconds, host)
        return True

    def unable(self, cause: str) -> None:
        """An actor could not be made: neither could another one, and the trials wait."""
        self.error = self.error or InputError(f"a Ray worker cannot start: {cause}")

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """A report; where jobs are timed, the first says that the job has begun and where."""
        self._started.setdefault(trial_id, (time.monotonic(), str(result.get("hostname", ""))))
        self._take(result)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:  # noqa: FBT001, FBT002
        """The last event, or none: then the actor or its node is gone."""
        job, killed = self._jobs.pop(trial_id, None), self._killed.pop(trial_id, None)
        begun = self._started.pop(trial_id, None) is not None
        if result is not None:
            self._take(result)
        if job is None or (self.error is not None and not begun):
            return
        if error or result is None:
            if killed is not None:
                self._handle(killed)
                return
            cause = self.causes.pop(trial_id, "its Ray actor or node is gone")
            self._handle(Lost(job.number, job.attempt, cause))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see `__getstate__`."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def _take(self, result: Mapping[str, Any]) -> None:
        if EVENT in result:
            self._handle(read_event(result[EVENT]))

    def _handle(self, event: Event) -> None:
        try:
            self._study.handle(event)
            self._study.flush()
        except NasError as error:
            self.error = self.error or error
        self._watch(self._study)
