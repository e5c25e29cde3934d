"""An end to waiting for a server that has fallen silent behind a connection which still looks open.

The time-outs that a server keeps itself do not help when its answers never arrive, and the driver has none for reading.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, event

ANSWER_S = 15.0  # for one statement


class Watchdog:
    """Within it, a connection given to `over` is cut when the server leaves a statement of it without an answer."""

    def __init__(self, engine: Engine) -> None:
        self._wanted = engine.dialect.name == "postgresql"
        self._over = threading.Event()
        self._deadline = 0.0
        self._handle: int | None = None

    def __enter__(self) -> Self:
        """Nothing is watched yet."""
        return self

    def over(self, connection: Connection) -> None:
        """Watch this one."""
        number = getattr(connection.connection.dbapi_connection, "fileno", None) if self._wanted else None
        if number is not None:
            self._handle = number()
            self._answered()
            event.listen(connection, "after_cursor_execute", self._answered)
            threading.Thread(target=self._watch, name="nas-watchdog", daemon=True).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is watched any more."""
        self._over.set()

    def cut(self) -> None:
        """Do not wait for an answer any more, as that to the rollback of who was interrupted."""
        if self._handle is not None:
            with suppress(OSError), socket.socket(fileno=os.dup(self._handle)) as found:
                found.shutdown(socket.SHUT_RDWR)

    def _answered(self, *_: Any) -> None:
        self._deadline = time.monotonic() + ANSWER_S

    def _watch(self) -> None:
        while not self._over.wait(max(0.0, self._deadline - time.monotonic())):
            if time.monotonic() >= self._deadline:
                self.cut()
                return
