"""Between batches: signs of life to others, and of others to us."""

from __future__ import annotations

import signal
from collections.abc import Collection

from sqlalchemy import Engine

from nas.errors import Terminated
from nas.store import adopting, lease
from nas.store.trouble import translated
from nas.store.watchdog import Watchdog


class Signs:
    """Renews the lease in a thread of its own; what that sees is told to the thread of the search by `check`.

    Attributes:
        enqueued: whether somebody has enqueued trials since the search last looked.
    """

    def __init__(self, url: str, engine: Engine, study_id: int, holder: str, waiting: Collection[int]) -> None:
        """`waiting` are the enqueued trials that the search knows of, by number."""
        self._url, self._engine, self._study_id, self._holder = url, engine, study_id, holder
        self._known = waiting
        self._lost: lease.Lost | None = None
        self._end = False
        self.enqueued = False
        self._heart = lease.Heart(self._beat)

    def check(self) -> None:
        """Raises: Lost when another driver has the study, Terminated when somebody asked for the end."""
        if self._lost is not None:
            raise self._lost
        if self._end:
            self._end = False
            raise Terminated(signal.SIGTERM)

    def stop(self) -> None:
        """No more signs."""
        self._heart.stop()

    def _beat(self) -> None:
        try:
            with translated(self._url), Watchdog(self._engine) as watchdog, self._engine.begin() as connection:
                watchdog.over(connection)
                wanted = lease.renew(connection, self._study_id, self._holder)
                seen = adopting.any_waiting(connection, self._study_id, frozenset(self._known))
        except lease.Lost as error:
            self._lost = error
            raise
        self.enqueued = self.enqueued or seen
        self._end = self._end or wanted == "stop"
