"""An end to waiting for a server that has fallen silent behind a connection which still looks open.

The time-outs that a server keeps itself do not help when its answers never arrive, and the driver has none for reading.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

ANSWER_S = 15.0  # for a whole transaction


class Watchdog:
    """Within it, a connection given to `over` is cut when the block takes longer than ANSWER_S."""

    def __init__(self, engine: Engine) -> None:
        self._wanted = engine.dialect.name == "postgresql"
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        """Nothing is watched yet."""
        return self

    def over(self, connection: Connection) -> None:
        """Watch this one."""
        if self._wanted:
            handle = getattr(connection.connection.dbapi_connection, "fileno", None)
            if handle is not None:
                self._timer = threading.Timer(ANSWER_S, _cut, [handle()])
                self._timer.daemon = True
                self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is watched any more."""
        if self._timer is not None:
            self._timer.cancel()


def _cut(handle: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(handle)) as found:
        found.shutdown(socket.SHUT_RDWR)
