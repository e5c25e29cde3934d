"""One evaluation on the side of the worker: from a job to its last event. Shared by all runners."""

from __future__ import annotations

import logging
import os
import socket
import time
import traceback
from collections.abc import Callable

from nas.errors import NasError
from nas.jobs import Evaluate, Event, Failed, Finished, Job, Lost, Metrics, Reported, checked_metrics
from nas.shortage import device_failed, disk_full, out_of_memory
from nas.space import Space

log = logging.getLogger(__name__)


def evaluate_job(space: Space, evaluate: Evaluate, job: Job, send: Callable[[Event], None]) -> bool:
    """Evaluate a job and send its events; the last one is `Finished` or `Failed`, whatever `evaluate` does.

    Or `Lost`, and the answer is False: the GPU failed under it, and this process is of no more use.
    """
    started = time.monotonic()
    host, device = socket.gethostname(), device_name(job.budget.device)

    def report(step: int, metrics: Metrics) -> None:
        send(Reported(job.number, job.attempt, int(step), checked_metrics(metrics), host, device))

    try:
        metrics = checked_metrics(evaluate(space.decode(job.genome), job.budget, report))
    except (Exception, SystemExit) as error:  # a user's function may raise anything; the search goes on
        if dead := device_failed(error):
            log.debug("evaluation failed", exc_info=error)
            send(Lost(job.number, job.attempt, dead))
            return False
        full = disk_full(error)
        reason = full or out_of_memory(error) or traced(error)
    else:
        send(Finished(job.number, job.attempt, metrics, time.monotonic() - started, host))
        return True
    send(Failed(job.number, job.attempt, reason, time.monotonic() - started, host, again=full is not None))
    return True


def device_name(device: str) -> str:
    """A device by its number on this host, where this process sees only some of them: cuda of GPU 3 is cuda:3."""
    visible = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    kind, _, index = device.partition(":")
    place = int(index) if index.isdigit() else 0
    return f"cuda:{visible[place]}" if kind == "cuda" and place < len(visible) else device


def traced(error: BaseException) -> str:
    """The error and the line that raised it, ours without the line; the whole traceback goes to the log."""
    log.debug("evaluation failed", exc_info=error)
    if isinstance(error, NasError):
        return str(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
