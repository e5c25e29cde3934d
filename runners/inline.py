"""`inline`: this process, one job after the other. For cheap or unpicklable evaluations, notebooks and tests."""

from __future__ import annotations

from collections.abc import Sequence

from nas.errors import InputError, NasError
from nas.jobs import Evaluate, Event, Job, Lost
from nas.runner import RunnerOptions, Watch
from nas.space import Space
from nas.study import Study
from runners import local
from runners.evaluation import evaluate_job
from runners.loop import drive
from runners.runtime_env import refuse_runtime_env


class InlinePool:
    """A pool of this process: a job is done when `events` is called."""

    def __init__(self, space: Space, evaluate: Evaluate) -> None:
        self._space, self._evaluate = space, evaluate
        self._job: Job | None = None
        self._dead = ""

    @property
    def free(self) -> int:
        """1 when idle."""
        return int(self._job is None)

    def start(self, job: Job) -> None:
        """Remember it. Raises: NasError when this process has lost its GPU."""
        if self._dead:
            raise NasError(f"{self._dead}: this process cannot go on, the same command in a new one can")
        self._job = job

    def events(self, wait_s: float) -> Sequence[Event]:  # noqa: ARG002 - nothing to wait for
        """Do the job."""
        job, self._job = self._job, None
        found: list[Event] = []
        if job is not None:
            evaluate_job(self._space, self._evaluate, job, found.append)
            self._dead = found[-1].reason if isinstance(found[-1], Lost) else ""
        return found

    def stop(self) -> None:
        """Nothing runs between calls."""


def check(options: RunnerOptions) -> None:
    """Raises: InputError for options that need other processes."""
    if options.workers not in (None, 1):
        raise InputError(f"the inline runner is one worker, not {options.workers}; use local or ray for more")
    if options.trial_timeout is not None:
        raise InputError("the inline runner cannot end an evaluation; use local or ray")
    refuse_runtime_env(options.runtime_env, "inline")
    if options.cpus_per_trial is not None:
        raise InputError("the inline runner takes the cores of this process; use local or ray for --cpus-per-trial")
    if options.address is not None:
        raise InputError("the inline runner has no cluster to connect to; use ray")
    local.check(options)


def run(study: Study, evaluate: Evaluate, options: RunnerOptions, watch: Watch) -> None:
    """Carry out the study in this process."""
    drive(study, InlinePool(study.space, evaluate), options, watch)
