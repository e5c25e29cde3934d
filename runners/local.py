"""`local`: warm worker processes of this machine, each with its share of the cores, or of a GPU. No Ray.

Workers are started once and get job after job through a pipe; they end when the driver does, however it ends.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import multiprocessing.spawn
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import ModuleType
from typing import Any

from nas.errors import InputError
from nas.jobs import Evaluate, Event, Failed, Finished, Job, Lost
from nas.memory import share_of_gpu
from nas.runner import RunnerOptions, Watch
from nas.space import Space
from nas.study import Study
from runners.loop import drive
from runners.runtime_env import refuse_runtime_env
from runners.worker import READY, Unable, work

EXACT = 1e-6  # 49 trials fit where each takes 1/49, whatever floats say
LEAST_GPU = 1e-4  # the smallest share that Ray knows
STARTS = 5  # workers in a row that may be killed while they start
TROUBLES = 3  # trials lost in a row, all different ones, after which a GPU is not used again
PATIENCE_S = 5.0  # for a worker that closed its pipe to end
GUARD = "a script must call search under `if __name__ == '__main__':`, and evaluate must be importable in a new process"


def check(options: RunnerOptions) -> None:
    """Raises: InputError for options that this machine cannot carry out."""
    refuse_runtime_env(options.runtime_env, "local")
    if options.address is not None:
        raise InputError("the local runner has no cluster to connect to; use ray")
    if options.callbacks:
        raise InputError("callbacks are Ray Tune's; use the runner ray")
    if options.resources:
        raise InputError(f"--resources {', '.join(options.resources)}: only the nodes of a Ray cluster have such")
    check_numbers(options)
    cpus, share = options.cpus_per_trial, gpus_per_trial(options)
    if cpus is not None and cpus > cores():
        raise InputError(f"--cpus-per-trial {cpus:g}: this machine has {cores()} core(s)")
    most = _most(options, share)
    if share and not most:
        raise InputError(f"--gpus-per-trial {share:g}: this machine has {visible_gpus()} GPU(s) that PyTorch can use")
    if most is not None and options.workers is not None and options.workers > most:
        each = " and ".join([f"{cpus:g} core(s)"] * (cpus is not None) + [f"{share:g} GPU"] * bool(share))
        raise InputError(f"{options.workers} workers with {each} each do not fit this machine: at most {most} do")


def check_numbers(options: RunnerOptions) -> None:
    """Raises: InputError for numbers that no runner can carry out."""
    if options.workers is not None and options.workers < 1:
        raise InputError(f"workers {options.workers}: at least 1 is needed")
    if options.cpus_per_trial is not None and not options.cpus_per_trial > 0:
        raise InputError(f"--cpus-per-trial {options.cpus_per_trial:g}: more than 0 is needed")
    if options.gpus_per_trial is not None and not options.gpus_per_trial >= 0:
        raise InputError(f"--gpus-per-trial {options.gpus_per_trial:g}: 0 or more is needed")
    share = options.gpus_per_trial or 0.0
    if 0 < share < LEAST_GPU or (share > 1 and share % 1):
        raise InputError(f"--gpus-per-trial {share:g}: a share of one GPU, {LEAST_GPU:g} at least, or whole ones")
    if options.trial_timeout is not None and not options.trial_timeout > 0:
        raise InputError(f"trial_timeout {options.trial_timeout:g}: more than 0 seconds are needed")


def too_late(limit: float) -> str:
    """Why a trial failed that took longer than `limit` seconds."""
    return f"timeout: not done after {limit:g} s"


def run(study: Study, evaluate: Evaluate, options: RunnerOptions, watch: Watch) -> None:
    """Carry out the study in worker processes."""
    share = gpus_per_trial(options)
    workers = min(options.workers or _most(options, share) or cores(), max(1, study.plan.trials))
    threads = int(options.cpus_per_trial or cores() // workers)
    pool = LocalPool(study.space, evaluate, workers, max(1, threads), share, options.trial_timeout)
    drive(study, pool, options, watch)


def gpus_per_trial(options: RunnerOptions) -> float:
    """The share of a GPU for each trial: as asked, as many as fit, or 1 where there is a GPU.

    Raises: InputError where trials shall share a GPU by their memory and there is none.
    """
    if options.gpus_per_trial is not None:
        return options.gpus_per_trial
    gpus, memory = visible_gpus(), gpu_memory()
    if options.trial_bytes is None:
        return float(gpus > 0)
    if not memory:
        raise InputError("--gpus-per-trial auto: this machine has no GPU that PyTorch can use; leave it out")
    return share_of_gpu(memory, options.trial_bytes, max(1, int(cores() / gpus / (options.cpus_per_trial or 1))))


def _most(options: RunnerOptions, share: float) -> int | None:
    """How many trials the cores and GPUs take at a time; None when neither is said."""
    fit = [most_on_gpus(visible_gpus(), share)] if share else []
    if options.cpus_per_trial is not None:
        fit.append(int(cores() / options.cpus_per_trial + EXACT))
    return min(fit, default=None)


def most_on_gpus(gpus: int, share: float) -> int:
    """Trials of `share` GPUs each that fit; a share below 1 stays on one GPU."""
    return gpus * int(1 / share + EXACT) if share < 1 else int(gpus / share)


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> int:
    """GPUs that PyTorch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpu_memory() -> int | None:
    """Bytes of the smallest GPU that PyTorch can use; None where there is none."""
    import torch

    return min((torch.cuda.get_device_properties(index).total_memory for index in range(visible_gpus())), default=None)


@dataclasses.dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    slot: int
    ready: bool = False
    job: Job | None = None
    started: float | None = None  # when a worker that is ready had the job


class _CannotStart(Exception):
    """A worker said `Unable`, or ended without a word before it was ready."""


class LocalPool:
    """Warm processes. A worker that dies is named in a `Lost` event and replaced; one that is late is killed."""

    def __init__(
        self,
        space: Space,
        evaluate: Evaluate,
        workers: int,
        threads: int,
        gpus_per_trial: float,
        trial_timeout: float | None = None,
    ) -> None:
        """`threads` and `gpus_per_trial` are a worker's.

        Raises: InputError when `evaluate` cannot be sent to another process.
        """
        try:
            self._luggage = pickle.dumps((space, evaluate))
        except Exception as error:
            raise InputError(
                f"evaluate cannot be sent to a worker process ({error}); make it a function of a module that can "
                f"be imported, or use the inline runner"
            ) from error
        self._limit, self._broken = trial_timeout, ""
        self._threads, self._gpus_per_trial = threads, gpus_per_trial
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._troubles: dict[str, set[int]] = {}  # by device, the trials lost on it since it last brought one to an end
        try:
            for slot in range(workers):
                self._workers.append(self._spawn(slot))
        except BaseException:
            self.stop()
            raise

    @property
    def free(self) -> int:
        """Idle workers."""
        return sum(map(self._idle, self._workers))

    def start(self, job: Job) -> None:
        """Send it to an idle worker, of a device without troubles where there is one."""
        worker = min(filter(self._idle, self._workers), key=self._trouble)
        if self._gpus_per_trial:
            job = dataclasses.replace(job, budget=dataclasses.replace(job.budget, device=self._device(worker)))
        worker.job, worker.started = job, time.monotonic() if worker.ready else None
        with suppress(OSError):  # it is dead; `events` finds out
            worker.pipe.send(job)

    def events(self, wait_s: float) -> Sequence[Event]:
        """Whatever the pipes hold, who died, and who was late.

        Raises: InputError when a worker cannot start: another one could not either, and the trials wait.
        """
        if self._broken:
            raise InputError(self._broken)
        found: list[Event] = []
        handles: dict[Any, _Worker] = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(handles), wait_s):
            worker = handles[pipe]
            try:
                while worker.pipe.poll():
                    self._watch_device(worker, message := worker.pipe.recv())
                    _take(worker, message, found)
            except _CannotStart as error:
                self._broken = str(error)
            except (EOFError, OSError):
                self._replace(worker, found)
        for worker in self._workers:
            self._end_if_late(worker, found)
        if self._broken and not found:
            raise InputError(self._broken)
        return found

    def stop(self) -> None:
        """End all workers, at once, and the processes that they started."""
        workers, self._workers = self._workers, []
        try:
            for worker in workers:
                _kill(worker)
        except BaseException:  # a second Ctrl-C
            for worker in workers:
                _kill(worker)
            raise

    def _idle(self, worker: _Worker) -> bool:
        return worker.job is None and self._trouble(worker) < TROUBLES

    def _trouble(self, worker: _Worker) -> int:
        return len(self._troubles.get(self._device(worker), ()))

    def _device(self, worker: _Worker) -> str:
        share = self._gpus_per_trial
        if not share:
            return f"worker {worker.slot}"
        return f"cuda:{worker.slot // int(1 / share + EXACT) if share < 1 else int(worker.slot * share)}"

    def _watch_device(self, worker: _Worker, message: Any) -> None:
        """One candidate may break a sound GPU three times; three candidates in a row do not."""
        device = self._device(worker)
        if isinstance(message, Finished):
            self._troubles.pop(device, None)
        elif isinstance(message, Lost):
            self._troubles.setdefault(device, set()).add(message.number)
            if all(self._trouble(each) >= TROUBLES for each in self._workers):
                self._broken = f"{device} failed {TROUBLES} trials in a row, and no other is left: {message.reason}"

    def _replace(self, worker: _Worker, found: list[Event]) -> None:
        worker.process.join(PATIENCE_S)
        code = worker.process.exitcode
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = f"signal {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += "; the kernel kills so when memory is short"
        _kill(worker)
        killed = code is not None and code < 0
        self._failed_starts = 0 if worker.ready else self._failed_starts + 1
        if not worker.ready and not (killed and self._failed_starts < STARTS):
            self._broken = self._broken or f"a worker process ended while it started ({how}); {GUARD}"
            return
        self._workers[self._workers.index(worker)] = self._spawn(worker.slot)
        if worker.job is not None:
            found.append(Lost(worker.job.number, worker.job.attempt, f"its worker ended ({how})"))

    def _end_if_late(self, worker: _Worker, found: list[Event]) -> None:
        if self._limit is None or worker.job is None or worker.started is None:
            return
        seconds = time.monotonic() - worker.started
        if seconds > self._limit:
            _kill(worker)
            self._workers[self._workers.index(worker)] = self._spawn(worker.slot)
            job, host = worker.job, socket.gethostname()
            found.append(Failed(job.number, job.attempt, too_late(self._limit), seconds, host))

    def _spawn(self, slot: int) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._threads), name=f"nas-worker-{slot}")
        main = multiprocessing.spawn.get_preparation_data(process.name)
        with _environment(self._threads), _no_main():
            process.start()
        theirs.close()
        with suppress(OSError):  # it is dead; `events` finds out
            ours.send({key: value for key, value in main.items() if key.startswith("init_main")})
            ours.send_bytes(self._luggage)
        return _Worker(process, ours, slot)


def _take(worker: _Worker, message: Any, found: list[Event]) -> None:
    """What a worker sent. Raises: _CannotStart."""
    if isinstance(message, Unable):
        raise _CannotStart(f"a worker process cannot start: {message.reason}; {GUARD}")
    if message == READY:
        worker.ready, worker.started = True, time.monotonic()
        return
    found.append(message)
    if isinstance(message, Finished | Failed | Lost):
        worker.job = None
    if isinstance(message, Lost):  # it ends now, and shall not be given another job
        raise EOFError  # noqa: TRY004 - what a closed pipe raises


def _kill(worker: _Worker) -> None:
    """End a worker, whatever it does, and its children."""
    if worker.process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):  # it has no group of its own yet, or nobody is left
            os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


@contextmanager
def _no_main() -> Iterator[None]:
    """Children started meanwhile do not import the driver's script first of all; `runners.worker` does it for them."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


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
