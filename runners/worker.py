"""A worker process of the `local` runner: jobs from a pipe, events into it, no longer than the driver lives."""

from __future__ import annotations

import ctypes
import dataclasses
import multiprocessing
import multiprocessing.spawn
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait
from typing import Any

from runners import logs
from runners.evaluation import evaluate_job, traced

READY = "ready"  # what a worker sends first, unless it sends an `Unable`
PR_SET_PDEATHSIG = 1  # of prctl(2)


@dataclasses.dataclass(frozen=True)
class Unable:
    """What a worker sends in place of READY: the error that kept it from starting."""

    reason: str


def work(pipe: Connection, threads: int) -> None:
    """The life of a worker: jobs from the pipe, events into it, until the pipe closes or driver or GPU are gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    os.setpgid(0, 0)  # what the evaluation starts is ended with it
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # also when it is stuck in C code
    threading.Thread(target=_end_with_driver, daemon=True).start()
    logs.configure()
    try:
        try:
            space, evaluate = _unpack(pipe)
        except EOFError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's modules raise is told
            pipe.send(Unable(traced(error)))
            return
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        pipe.send(READY)
        while evaluate_job(space, evaluate, pipe.recv(), pipe.send):
            pass
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _unpack(pipe: Connection) -> Any:
    """Space and evaluation, after the driver's script as multiprocessing would import it."""
    process: Any = multiprocessing.current_process()
    process._inheriting = True  # noqa: SLF001 - what it is while multiprocessing does this; `search` asks for it
    try:
        multiprocessing.spawn.prepare(pipe.recv())
        return pipe.recv()
    finally:
        del process._inheriting  # noqa: SLF001


def _end_with_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
