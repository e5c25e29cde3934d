"""The loop that `inline` and `local` share: keep the workers busy, take in their events, stop in time."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Protocol

from nas.jobs import Event, Job, Started
from nas.runner import RunnerOptions, Watch
from nas.study import Study

TICK_S = 0.5  # the longest that the loop waits before it looks at the clock


class Pool(Protocol):
    """Somebody who evaluates jobs."""

    @property
    def free(self) -> int:
        """How many more jobs it takes now."""

    def start(self, job: Job) -> None:
        """Begin a job; only when `free`."""

    def events(self, wait_s: float) -> Sequence[Event]:
        """What happened since the last call; waits at most `wait_s` when nothing has."""

    def stop(self) -> None:
        """End all workers; what they were doing is dropped, their checkpoints stay."""


def drive(study: Study, pool: Pool, options: RunnerOptions, watch: Watch) -> None:
    """Until the study is over, or its time is and the running jobs are done. Always stops the pool."""
    ends = None if options.timeout is None else time.monotonic() + options.timeout
    host, study.progress.workers = socket.gethostname(), pool.free
    try:
        watch(study)
        while True:
            late = ends is not None and time.monotonic() >= ends
            free = 0 if late else pool.free
            for job in study.jobs(free) if free else ():
                pool.start(job)
                study.handle(Started(job.number, job.attempt, host, job.budget.device))
            study.flush()
            watch(study)
            if study.over or (late and study.running == study.waiting and not study.pending):
                return
            for event in pool.events(TICK_S):
                study.handle(event)
    finally:
        pool.stop()
