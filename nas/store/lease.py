"""Who drives a study: a lease that is renewed while the driver lives, and whose holder alone may write.

The lease is a row's text, the driver: host, process, boot and a token drawn anew by each driver. Every transaction of a
driver renews the row where it still holds that very text, so a driver that was taken for dead and replaced finds no row
to renew and writes nothing more.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from nas.checked import canonical_json
from nas.errors import StoreError
from nas.store import tables

LEASE_S = 30.0  # a driver on another host that has not renewed for so long is taken for dead
BEAT_S = 5.0  # between renewals


class Lost(StoreError):
    """Another driver has taken the study over; this one must stop."""


def this_process() -> dict[str, Any]:
    """The lease text of a new driver, as JSON types."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "boot": _boot(), "token": secrets.token_hex(8)}


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def living(driver: Mapping[str, Any], beat: datetime.datetime | None) -> str | None:
    """Who drives the study, in words, unless that process is gone or has been silent for the lease."""
    holder = f"process {driver['pid']} on {driver['host']}"
    if driver["host"] == socket.gethostname() and driver["boot"] == _boot():
        alive = driver["pid"] != os.getpid() and Path(f"/proc/{driver['pid']}").exists()
        return holder if alive else None
    silent = (utc_now() - beat).total_seconds() if beat else LEASE_S + 1
    return holder if silent <= LEASE_S else None


def renew(connection: Connection, study_id: int, holder: str) -> None:
    """Renew the lease inside the caller's transaction. Raises: Lost when it is somebody else's."""
    ours = (tables.studies.c.study_id == study_id) & (tables.studies.c.driver == holder)
    if connection.execute(update(tables.studies).where(ours).values(beat=utc_now())).rowcount:
        return
    found = connection.execute(select(tables.studies.c.driver).where(tables.studies.c.study_id == study_id)).scalar()
    other = json.loads(found) if found else None
    who = f"process {other['pid']} on {other['host']}" if other else "nobody"
    raise Lost(f"this driver has lost its study: it is driven by {who} now; nothing more was written")


def utc_now() -> datetime.datetime:
    """Naive UTC, as the tables hold it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def lease_text(driver: Mapping[str, Any]) -> str:
    """The lease as it stands in its column."""
    return canonical_json(dict(driver))


class Heart:
    """A thread that renews the lease between events, so that long trials do not look like a dead driver."""

    def __init__(self, beat: Callable[[], None], every_s: float = BEAT_S) -> None:
        """`beat` renews once; what it raises is left to the next transaction of the driver to find."""
        self._beat, self._every_s = beat, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nas-lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._beat()
            except Lost:
                return
            except StoreError:
                continue  # the database is away; the next beat may find it
