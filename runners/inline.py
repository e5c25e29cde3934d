"""`inline`: this process, one job after the other. For cheap or unpicklable evaluations, notebooks and tests."""

from __future__ import annotations

from collections.abc import Sequence

from nas.api import RunnerOptions, Watch
from nas.errors import InputError
from nas.jobs import Evaluate, Event, Job
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

    @property
    def free(self) -> int:
        """1 when idle."""
        return int(self._job is None)

    def start(self, job: Job) -> None:
        """Remember it."""
        self._job = job

    def events(self, wait_s: float) -> Sequence[Event]:  # noqa: ARG002 - nothing to wait for
        """Do the job."""
        job, self._job = self._job, None
        found: list[Event] = []
        if job is not None:
            evaluate_job(self._space, self._evaluate, job, found.append)
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
    if options.address is not None:
        raise InputError("the inline runner has no cluster to connect to; use ray")
    local.check(options)


def run(study: Study, evaluate: Evaluate, options: RunnerOptions, watch: Watch) -> None:
    """Carry out the study in this process."""
    drive(study, InlinePool(study.space, evaluate), options, watch)
