"""What waits to be written, and its way into the database: in batches, each written exactly once.

A batch is sealed before its first try and stays as it is until it is written, since a try that ended in an error may
have been carried out all the same: the fence (see `nas.store.lease`) tells, and only the very same batch may then count
as written. While the database is away, what comes later waits for the next batch.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine

from nas.errors import StoreError
from nas.store import lease
from nas.store.base import Away, NumbersTaken, WishTaken
from nas.store.trouble import redact, translated
from nas.store.watchdog import Watchdog

log = logging.getLogger(__name__)

PAUSES_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # between tries while the database is away; the last one again and again

Step = Callable[[Connection], None]


@dataclasses.dataclass(frozen=True)
class _Batch:
    steps: tuple[Step, ...]
    results: int
    last: Step | None
    key: Hashable


class Outbox:
    """Steps on their way into the database, behind the fence of one driver.

    Attributes:
        away_since: when (monotonic) the database stopped to answer; None while it answers.
    """

    def __init__(self, url: str, engine: Engine, study_id: int, holder: str, batch: int) -> None:
        """`batch` is the number of the last batch that was written into the study."""
        self._url, self._engine, self._study_id, self._holder, self._number = url, engine, study_id, holder, batch
        self._steps, self._results = list[Step](), 0
        self._sealed: _Batch | None = None
        self._done: Hashable = None
        self._tries, self._retry_at = 0, 0.0
        self._file = _file_of(engine)
        self.away_since: float | None = None

    @property
    def results(self) -> int:
        """Results that wait."""
        return self._results + (self._sealed.results if self._sealed else 0)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._steps and self._sealed is None

    @property
    def due(self) -> bool:
        """Whether the database may be tried now."""
        return time.monotonic() >= self._retry_at

    def add(self, step: Step, *, results: int = 0) -> None:
        """Something for the next batch."""
        self._steps.append(step)
        self._results += results

    def write(self, last: Step | None = None, key: Hashable = None) -> None:
        """Write all that waits, and `last` after it.

        When it fails, what waited still waits, but `last` does not, unless the same key comes again: then it may have
        been written by then, and counts as written. Raises: Away, Lost, NumbersTaken, WishTaken, StoreError.
        """
        if self._sealed is not None:
            with suppress(NumbersTaken, WishTaken):  # what is left is written below
                self._try()
        if last is None and not self._steps:
            return
        if key is not None and self._done == key:
            if self._steps:
                self.write()  # may fail, and then the key comes once more
            self._done = None
            return
        self._sealed = _Batch(tuple(self._steps), self._results, last, key)
        self._steps, self._results = [], 0
        self._try()
        if key is not None:
            self._done = None

    def _try(self) -> None:
        batch, started = self._sealed, time.monotonic()
        if batch is None:
            return
        try:
            self._check_file()
            with translated(self._url), Watchdog(self._engine) as watchdog, self._engine.begin() as connection:
                watchdog.over(connection)
                try:
                    self._carry_out(batch, connection)
                except KeyboardInterrupt:
                    watchdog.cut()
                    raise
        except Away as error:
            self._stay_away(error, started)
            raise
        except Exception:  # an interruption may come behind the commit: then the batch stays sealed, as when away
            self._steps, self._results = [*batch.steps, *self._steps], batch.results + self._results
            self._sealed = None
            raise
        self._number, self._sealed = self._number + 1, None
        if batch.key is not None:
            self._done = batch.key
        self._come_back(batch.results)

    def _carry_out(self, batch: _Batch, connection: Connection) -> None:
        if lease.advance(connection, self._study_id, self._holder, self._number + 1):
            for step in (*batch.steps, *([batch.last] if batch.last else [])):
                step(connection)

    def _stay_away(self, error: Away, started: float) -> None:
        if self.away_since is None:
            self.away_since, self._tries = started, 0
        self._retry_at = time.monotonic() + PAUSES_S[min(self._tries, len(PAUSES_S) - 1)]
        if self._tries == 1:
            log.warning("%s; what runs goes on, results wait", error)
        self._tries += 1

    def _come_back(self, results: int) -> None:
        if self.away_since is not None and self._tries > 1:
            away_s = time.monotonic() - self.away_since
            waited = results + self._results
            log.warning("database %s is back after %.0f s, %d result(s) waited", redact(self._url), away_s, waited)
        self.away_since, self._retry_at = None, 0.0

    def _check_file(self) -> None:
        """SQLite goes on writing into a file that was deleted or replaced, where nobody will ever read it."""
        if self._file is not None and _identity(self._file[0]) != self._file[1]:
            raise StoreError(
                f"database {redact(self._url)}: its file was deleted or replaced while the search ran; this driver "
                f"writes nothing more, the same command goes on from what is there"
            )


def _file_of(engine: Engine) -> tuple[Path, tuple[int, int] | None] | None:
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    path = Path(engine.url.database).absolute()
    return path, _identity(path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat, in every batch
    except OSError:
        return None
    return found.st_dev, found.st_ino
