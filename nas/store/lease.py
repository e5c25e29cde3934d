"""Who drives a study: a lease that is renewed while the driver lives, and a fence that lets it alone write.

The lease is a text in the study's row: host, process, boot and a token drawn anew by each driver. Every batch that a
driver writes moves the row's count of batches on by one, where the text and the count are still what it knows. So a
driver that was taken for dead and replaced writes nothing more; a batch whose commit was answered by an error is not
written twice; and a database that was put back to an earlier state is noticed.

Silence is measured on the database's clock: that of the server, or for SQLite the seconds since this machine was
started, which no change of the wall clock moves.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Update, bindparam, cast, func, literal, select, update

from nas.checked import canonical_json
from nas.errors import StoreError
from nas.store import tables

LEASE_S = 30.0  # a driver that has been silent for so long may be replaced
BEAT_S = 5.0  # between renewals
SERVER_CLOCK = cast(func.extract("epoch", func.clock_timestamp()), Float(53))


_ours = set[str]()  # tokens of the drivers in this process that have not ended


class Lost(StoreError):
    """Another driver has taken the study over; this one must stop."""


def this_process() -> dict[str, Any]:
    """The lease text of a new driver, as JSON types."""
    pid, token = os.getpid(), secrets.token_hex(8)
    _ours.add(token)
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "started": _started(pid),
        "boot": _boot(),
        "space": _process_space(),
        "token": token,
    }


def disown(holder: str) -> None:
    """A driver of this process has ended, whether or not the database could be told."""
    _ours.discard(json.loads(holder)["token"])


def lease_text(driver: Mapping[str, Any]) -> str:
    """The lease as it stands in its column."""
    return canonical_json(dict(driver))


def holder_of(driver: Mapping[str, Any]) -> str:
    """Who it is, in words."""
    return f"process {driver['pid']} on {driver['host']}"


def living(driver: Mapping[str, Any], silent_s: float | None) -> str | None:
    """Who drives the study, in words, unless that process is gone or has been silent for the lease.

    `silent_s` is how long it has given no sign of life; None when that is not known.
    """
    if driver["host"] == socket.gethostname() and driver.get("space", _process_space()) == _process_space():
        if driver["boot"] != _boot() or not _same_process(driver):
            return None
    elif silent_s is None:
        return None
    return holder_of(driver) if silent_s is None or silent_s <= LEASE_S else None


def _same_process(driver: Mapping[str, Any]) -> bool:
    if driver["pid"] == os.getpid() and driver.get("token") not in _ours:
        return False
    started = _started(driver["pid"])
    return started is not None and driver.get("started") in (None, started)


def _started(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process, which tell it from a later one of its number; None: gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])  # killed, but not yet taken notice of by its parent
    except FileNotFoundError:
        return None
    except (OSError, ValueError, IndexError):
        return 0


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _process_space() -> str:
    """Containers may share a host's name and not its process numbers."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def clock(connection: Connection) -> ColumnElement[float]:
    """Seconds on the database's clock, as an expression."""
    if connection.dialect.name == "postgresql":
        return SERVER_CLOCK
    return literal(_seconds(connection.dialect.name), Float(53))


def _seconds(dialect: str) -> float:
    """The clock of this process that stands for that of a database which has none we can ask."""
    if dialect == "sqlite":
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
    return time.time()


def _clock_values(connection: Connection) -> dict[str, float]:
    name = connection.dialect.name
    return {} if name == "postgresql" else {"now": _seconds(name)}


@functools.cache
def _advance(dialect: str) -> Update:
    studies = tables.studies
    now = SERVER_CLOCK if dialect == "postgresql" else bindparam("now")
    ours = (studies.c.study_id == bindparam("study")) & (studies.c.driver == bindparam("holder"))
    return (
        update(studies)
        .where(ours, studies.c.written == bindparam("before"))
        .values(pulse=now, written=bindparam("batch"))
    )


def silence(pulse: float | None, now: float) -> float | None:
    """Seconds since a pulse; None for a pulse that is not of this clock."""
    return None if pulse is None or pulse > now + 1 else now - pulse


def advance(connection: Connection, study_id: int, holder: str, batch: int) -> bool:
    """Move the fence on to `batch` inside the caller's transaction; False when that batch is written already.

    Raises: Lost when another driver has the study, StoreError when the database went back to an earlier state.
    """
    values = {"study": study_id, "holder": holder, "before": batch - 1, "batch": batch, **_clock_values(connection)}
    if connection.execute(_advance(connection.dialect.name), values).rowcount:
        return True
    studies = tables.studies
    query = select(studies.c.driver, studies.c.written).where(studies.c.study_id == study_id)
    found = connection.execute(query).first()
    _check_holder(found[0] if found else None, holder, deleted=found is None)
    if found is not None and found[1] == batch:
        return False
    at = found[1] if found is not None else None
    raise StoreError(
        f"the database went back to an earlier state (batch {at} there, {batch - 1} written): was a backup put in its "
        f"place? This driver writes nothing more; the same command goes on from what is there"
    )


def renew(connection: Connection, study_id: int, holder: str) -> str:
    """A sign of life; returns what is wanted of the driver ("stop" or nothing). Raises: Lost."""
    studies = tables.studies
    ours = (studies.c.study_id == study_id) & (studies.c.driver == holder)
    found = connection.execute(select(studies.c.driver, studies.c.wanted).where(studies.c.study_id == study_id)).first()
    _check_holder(found[0] if found else None, holder, deleted=found is None)
    connection.execute(update(studies).where(ours).values(pulse=clock(connection)))
    return str(found[1]) if found is not None else ""


def _check_holder(found: str | None, holder: str, *, deleted: bool) -> None:
    if deleted:
        raise Lost("this driver has lost its study: it was deleted; nothing more was written")
    if found != holder:
        who = holder_of(json.loads(found)) if found else "nobody"
        raise Lost(f"this driver has lost its study: it is driven by {who} now; nothing more was written")


class Heart:
    """A thread that renews the lease between batches, so that long trials do not look like a dead driver."""

    def __init__(self, beat: Callable[[], None], every_s: float | None = None) -> None:
        """`beat` renews once, and says itself what it found; `every_s` defaults to BEAT_S."""
        self._beat, self._every_s = beat, BEAT_S if every_s is None else every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nas-lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(1.0)  # it may be waiting for a database that is away

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._beat()
            except Lost:
                return
            except StoreError:
                continue  # the database is away; the next beat may find it
