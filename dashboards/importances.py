"""The importances of a study's parameters: stock's answer, asked for once until another trial is complete.

Stock reads every trial of the study for each request, while the pages ask again for every tab that is open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from dashboards.guard import Wsgi
from dashboards.trial_list import TrialList


class Importances:
    """Of the studies of ours in a database; for several threads."""

    def __init__(self, stock: Wsgi, trials: TrialList) -> None:
        self._stock, self._trials = stock, trials
        self._lock = threading.Lock()  # one at a time: each takes a core, and all trials in memory
        self._known: dict[int, tuple[object, bytes]] = {}

    def answer(self, study_id: int, environ: dict[str, Any]) -> tuple[str, bytes] | None:
        """(status, JSON); None for a study that is not ours. Raises: StoreError."""
        with self._lock:
            stamp = self._trials.stamp(study_id)
            if stamp is None:
                return None
            stamped, body = self._known.get(study_id, (None, b""))
            if stamped == stamp:
                return "200 OK", body
            status, body = _asked(self._stock, {**environ, "REQUEST_METHOD": "GET"})
            if status.startswith("200"):
                self._known[study_id] = stamp, body
            return status, body


def _asked(app: Wsgi, environ: dict[str, Any]) -> tuple[str, bytes]:
    seen: list[str] = []

    def start(status: str, _headers: object, *_error: object) -> Callable[[bytes], object]:
        seen[:] = [status]
        return lambda _: None

    body = b"".join(app(environ, start))
    return seen[0], body
