"""What Ray says by itself: nothing to a person who has not asked for it, and never on standard output."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import ray
from ray._private import worker as driver

from runners.logs import verbose

ENABLED = "_worker_logs_enabled"  # Ray's own switch for what it prints on the driver; its debugger uses it


@contextmanager
def noise() -> Iterator[None]:
    """Around a connection to Ray: with `verbose` all on standard error, else no word of Tune, of workers or of nodes.

    What goes wrong is told as the trial's reason. A connection that was there before prints what it did.
    """
    if verbose():
        with redirect_stdout(sys.stderr):  # it prints what nodes and workers say on standard output
            yield
        return
    tune, ours = logging.getLogger("ray.tune"), not ray.is_initialized()
    level, enabled = tune.level, getattr(driver, ENABLED, True)
    tune.setLevel(logging.CRITICAL)
    if ours:
        setattr(driver, ENABLED, False)
    try:
        yield
    finally:
        tune.setLevel(level)
        if ours:
            setattr(driver, ENABLED, enabled)
