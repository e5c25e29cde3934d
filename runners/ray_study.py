"""A study as a Ray Tune searcher: it asks the study for jobs and tells it what came of them.

`StudySearcher` and `runners.ray_rungs.RungScheduler` belong together. One Tune trial is one network: at a rung it
pauses, and when the study goes on with it the same Tune trial is woken with the next budget.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.search import Searcher

from nas.api import tidying
from nas.errors import InputError, NasError
from nas.jobs import Event, Failed, Finished, Job, Lost, Started
from nas.runner import Watch
from nas.study import Study
from nas.trial import State
from runners.local import too_late
from runners.ray_words import PlainWords, Words

SPARED = 20  # times that a job may be given to actors which are dead already
ROOM_S = 3.0  # between two looks at how much room the cluster has
IDLE_S = 0.05  # between two questions to a study that has nothing to do just now


class StudySearcher(Searcher):  # type: ignore[misc]
    """A Tune searcher over a study; give `RungScheduler(searcher)` to Tune beside it, and `num_samples=-1`.

    Attributes:
        study: whose jobs these are. workers: how many may be in flight; may be changed at any time.
        error: what ended the search, for the caller to raise when Tune has ended.
        woken: Tune trials to start again, oldest first. over: whether nothing more will be asked for.
    """

    def __init__(
        self,
        study: Study,
        workers: int,
        *,
        timeout: float | None = None,
        trial_timeout: float | None = None,
        watch: Watch | None = None,
        words: Words | None = None,
        room: Callable[[], int] | None = None,
    ) -> None:
        """Over `study`, with `workers` jobs at a time; `room`, asked every few seconds, says how many it may be now.

        `timeout` and `trial_timeout` are seconds, as for `nas.search`; `watch` None deletes checkpoints that nobody
        will ask for; `words` None is for trainables of the user's own.
        """
        super().__init__()
        self.study, self.workers = study, workers
        self.words: Words = words or PlainWords(study.space)
        self.error: NasError | None = None
        self.woken: deque[str] = deque()
        self.over = False
        self.scheduled = False
        self._watch = watch or tidying(study)
        self._ends = None if timeout is None else time.monotonic() + timeout
        self.limit = trial_timeout
        self._room, self._asked = room, time.monotonic()
        self._again: deque[Job] = deque()
        self._spared: Counter[int] = Counter()
        self._jobs: dict[str, Job] = {}
        self._paused: dict[int, str] = {}
        self._started: dict[str, float] = {}
        self._hosts: dict[str, str] = {}
        self._killed: dict[str, Failed] = {}
        self._told = len(study.finished)
        self.causes: dict[str, Event] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher, and the study in SQL is the only state that counts."""
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **_: Any) -> bool:  # noqa: ARG002
        """The study has objectives of its own; what else stands in the config goes to the trainable as it is."""
        return True

    # -- asking ------------------------------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> Any:
        """The config of the next new trial; None while others run or only paused ones go on; FINISHED at the end."""
        self.study.progress.workers = self.workers
        if not self.scheduled:
            raise InputError("StudySearcher needs scheduler=RungScheduler(searcher) beside it")
        while len(self._jobs) < self.workers:
            job = self._next()
            if job is None:
                break
            waiting = self._paused.pop(job.number, None)
            if waiting is None:
                self._jobs[trial_id] = job
                self._watch(self.study)
                return self.words.config(job)
            self._jobs[waiting] = job
            self.woken.append(waiting)
            self._watch(self.study)
        if self._jobs:
            return None
        self.tick()  # with nothing alive Tune asks here and nowhere else
        if self._late or self.study.over:
            self.over = True
            return Searcher.FINISHED
        time.sleep(IDLE_S)  # else Tune would ask without a pause
        return None

    def job(self, trial_id: str) -> Job | None:
        """What a Tune trial is doing."""
        return self._jobs.get(trial_id)

    @property
    def _late(self) -> bool:
        return self.error is not None or (self._ends is not None and time.monotonic() >= self._ends)

    def _next(self) -> Job | None:
        if self._again and self.error is None:
            return self._again.popleft()
        if self._late:
            return None
        try:
            return self.study.next()
        except NasError as error:
            self.error = error  # Tune would bury it in a traceback of its own
            return None

    # -- what the scheduler tells ------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Between events: write what waits, and see whether the cluster has grown.

        Raises what ends the search at once.
        """
        if self._room is not None and time.monotonic() >= self._asked + ROOM_S:
            self.workers, self._asked = self._room(), time.monotonic()
        try:
            self.study.flush()
        except NasError as error:
            self.error = error
            raise
        self._watch(self.study)

    def ended(self) -> list[str]:
        """Tune trials that are paused and that the study has ended since the last call; at the end all that are."""
        found, self._told = self.study.finished[self._told :], len(self.study.finished)
        numbers = list(self._paused) if self.over else [trial.number for trial in found if trial.number in self._paused]
        return [self._paused.pop(number) for number in numbers]

    def began(self, trial_id: str) -> None:
        """Its actor runs."""
        self._started.setdefault(trial_id, time.monotonic())

    def late(self) -> list[str]:
        """Tune trials to be killed now; each is said once."""
        found = []
        for trial_id, began in self._started.items() if self.limit is not None else ():
            seconds = time.monotonic() - began
            if self.limit is not None and seconds > self.limit and trial_id not in self._killed:
                job, host = self._jobs[trial_id], self._hosts.get(trial_id, "")
                self._killed[trial_id] = Failed(job.number, job.attempt, too_late(self.limit), seconds, host)
                found.append(trial_id)
        return found

    def took(self, trial_id: str, result: Mapping[str, Any]) -> State | None:
        """Take in a result. PAUSED: at a rung. RUNNING: not done. None: no more of this job in this Tune trial."""
        job = self._jobs.get(trial_id)
        if job is None:
            return None
        self.began(trial_id)
        self._hosts[trial_id] = str(result.get("hostname", ""))
        events = self.words.events(job, result, ended=False)
        for event in events or [Started(job.number, job.attempt, self._hosts[trial_id], "")]:
            self._handle(event)
        state = self.study.trials[job.number].state
        if state is State.RUNNING and not any(isinstance(event, Finished | Failed) for event in events):
            return state
        self._forget(trial_id)
        if state is State.PAUSED:
            self._paused[job.number] = trial_id
            return state
        return None

    def broke(self, trial_id: str, cause: str, *, begun: bool, own: bool, unmade: bool) -> None:
        """A Tune trial ends with an error: `begun` or not, the evaluation's `own`, or its actor could not be made."""
        job = self._jobs.get(trial_id)
        if job is None:
            return
        if unmade:
            self.error = self.error or InputError(f"a Ray worker cannot start: {cause}")
        if trial_id in self._killed:
            self.causes[trial_id] = self._killed[trial_id]
        elif own and self.words.own_errors:
            seconds = time.monotonic() - self._started.get(trial_id, time.monotonic())
            self.causes[trial_id] = Failed(job.number, job.attempt, cause, seconds, self._hosts.get(trial_id, ""))
        elif not begun and not unmade and self._spared[job.number] < SPARED:
            self._spared[job.number] += 1
            self._forget(trial_id)
            self._again.append(job)
        else:
            self.causes[trial_id] = Lost(job.number, job.attempt, cause)

    # -- what Tune tells ---------------------------------------------------------------------------------------------

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Nothing: the scheduler was told before."""

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:  # noqa: FBT001, FBT002
        """The end of a trainable that stopped by itself, or of one that is gone."""
        job, cause = self._jobs.get(trial_id), self.causes.pop(trial_id, None)
        begun = trial_id in self._started
        self._forget(trial_id)
        if job is None or (self.error is not None and not begun):
            return
        events = [cause] if cause or error or not result else self.words.events(job, result, ended=True)
        for event in events or [None]:
            self._handle(event or Lost(job.number, job.attempt, "its Ray actor or node is gone"))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see `__getstate__`."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def _forget(self, trial_id: str) -> None:
        for kept in (self._jobs, self._started, self._hosts, self._killed):
            kept.pop(trial_id, None)

    def _handle(self, event: Event) -> None:
        try:
            self.study.handle(event)
        except NasError as error:
            self.error = self.error or error
        self._watch(self.study)
