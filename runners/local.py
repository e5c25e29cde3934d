"""`local`: warm worker processes of this machine, each with its share of the cores, or of a GPU. No Ray.

Workers are started once and get job after job through a pipe; they end when the driver does, however it ends.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from nas.api import RunnerOptions, Watch
from nas.errors import InputError
from nas.jobs import Evaluate, Event, Failed, Finished, Job, Lost
from nas.space import Space
from nas.study import Study
from runners.evaluation import evaluate_job
from runners.loop import drive

READY = "ready"  # what a worker sends first
PATIENCE_S = 5.0  # for a worker to end before it is killed


def check(options: RunnerOptions) -> None:
    """Raises: InputError for options that this machine cannot carry out."""
    if options.address is not None:
        raise InputError("the local runner has no cluster to connect to; use ray")
    if options.workers is not None and options.workers < 1:
        raise InputError(f"workers {options.workers}: at least 1 is needed")
    share, most = options.gpus_per_trial, _most(options)
    if share and not most:
        raise InputError(f"--gpus-per-trial {share:g}: this machine has {visible_gpus()} GPU(s) that PyTorch can use")
    if most is not None and options.workers is not None and options.workers > most:
        raise InputError(
            f"{options.workers} workers with {share:g} GPU each do not fit this machine: at most {most} do"
        )


def run(study: Study, evaluate: Evaluate, options: RunnerOptions, watch: Watch) -> None:
    """Carry out the study in worker processes."""
    workers = min(options.workers or _most(options) or cores(), max(1, study.plan.trials))
    drive(study, LocalPool(study.space, evaluate, workers, options.gpus_per_trial), options, watch)


def _most(options: RunnerOptions) -> int | None:
    """How many trials the GPUs take at a time; None when none is asked for."""
    return most_on_gpus(visible_gpus(), options.gpus_per_trial) if options.gpus_per_trial else None


def most_on_gpus(gpus: int, share: float) -> int:
    """Trials of `share` GPUs each that fit; a share below 1 stays on one GPU."""
    return gpus * int(1 / share) if share < 1 else int(gpus / share)


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> int:
    """GPUs that PyTorch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@dataclasses.dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    slot: int
    ready: bool = False
    job: Job | None = None


class LocalPool:
    """Warm processes. A worker that dies is named in a `Lost` event and replaced."""

    def __init__(self, space: Space, evaluate: Evaluate, workers: int, gpus_per_trial: float) -> None:
        """Raises: InputError when `evaluate` cannot be sent to another process."""
        self._space, self._evaluate = space, evaluate
        self._threads, self._gpus_per_trial = max(1, cores() // workers), gpus_per_trial
        self._workers: list[_Worker] = []
        try:
            for slot in range(workers):
                self._workers.append(self._spawn(slot))
        except BaseException:
            self.stop()
            raise

    @property
    def free(self) -> int:
        """Idle workers."""
        return sum(worker.job is None for worker in self._workers)

    def start(self, job: Job) -> None:
        """Send it to an idle worker."""
        worker = next(worker for worker in self._workers if worker.job is None)
        if self._gpus_per_trial:
            share = self._gpus_per_trial
            device = f"cuda:{worker.slot // int(1 / share) if share < 1 else int(worker.slot * share)}"
            job = dataclasses.replace(job, budget=dataclasses.replace(job.budget, device=device))
        worker.job = job
        with suppress(OSError):  # it is dead; `events` finds out
            worker.pipe.send(job)

    def events(self, wait_s: float) -> Sequence[Event]:
        """Whatever the pipes hold, and who died."""
        found: list[Event] = []
        handles: dict[Any, _Worker] = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(handles), wait_s):
            worker = handles[pipe]
            try:
                while worker.pipe.poll():
                    event = worker.pipe.recv()
                    if event == READY:
                        worker.ready = True
                        continue
                    found.append(event)
                    if isinstance(event, Finished | Failed):
                        worker.job = None
            except (EOFError, OSError):
                found += self._replace(worker)
        return found

    def stop(self) -> None:
        """End all workers, at once."""
        for worker in self._workers:
            worker.process.terminate()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(PATIENCE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()

    def _replace(self, worker: _Worker) -> list[Event]:
        worker.process.join(PATIENCE_S)
        code = worker.process.exitcode
        if not worker.ready:
            raise InputError(
                f"a worker process ended while it started (exit code {code}); a script must call search under "
                f"`if __name__ == '__main__':`, and evaluate must be importable"
            )
        worker.pipe.close()
        self._workers[self._workers.index(worker)] = self._spawn(worker.slot)
        if worker.job is None:
            return []
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        return [Lost(worker.job.number, worker.job.attempt, f"its worker ended ({how})")]

    def _spawn(self, slot: int) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work,
            args=(theirs, self._space, self._evaluate, self._threads),
            name=f"nas-worker-{slot}",
        )
        with _environment(self._threads):
            try:
                process.start()
            except OSError:
                raise
            except Exception as error:
                raise InputError(
                    f"evaluate cannot be sent to a worker process ({error}); make it a function of a module that can "
                    f"be imported, or use the inline runner"
                ) from error
        theirs.close()
        return _Worker(process, ours, slot)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What numerical libraries read when they are loaded, for children started meanwhile."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    values = dict.fromkeys(names, str(threads))
    values["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin while they wait starve a busy machine
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(pipe: Connection, space: Space, evaluate: Evaluate, threads: int) -> None:
    """The life of a worker: jobs from the pipe, events into it, until the pipe closes or the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    threading.Thread(target=_end_with_driver, daemon=True).start()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    try:
        pipe.send(READY)
        while True:
            evaluate_job(space, evaluate, pipe.recv(), pipe.send)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _end_with_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
