"""Looking at a study again and again while it grows: what is new is read, the rest is kept."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, func, select

from nas.errors import InputError, StoreError
from nas.store import tables
from nas.store.database import connect
from nas.store.reading import StudyRecord, driver_of, record_of, study_row, trials_of
from nas.store.trouble import translated
from nas.trial import Trial

Sign = tuple[Any, ...]
"""What differs when an attempt has moved on."""


class Watched:
    """A study that is read again and again, by one thread.

    A look costs one row while nobody has written, and a few short columns of every attempt when somebody has: then only
    the trials that moved are read. When the driver changes, or ends, everything is read anew.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._engine: Engine | None = None
        self._mark: Sign = ()
        self._signs: dict[int, Sign] = {}
        self._trials: dict[int, Trial] = {}
        self._record: StudyRecord | None = None

    def look(self) -> StudyRecord:
        """The study as it is now; the same object as before when nothing has changed.

        Raises: InputError when there is no such study, or not any more; StoreError when the database cannot be used,
        or is away: then the next look begins with a new connection.
        """
        try:
            if self._engine is None:
                self._engine = connect(self._url, create=False, reading=True)
            with translated(self._url), self._engine.begin() as connection:
                return self._look(connection)
        except (StoreError, InputError):
            self.close()
            raise

    def close(self) -> None:
        """Let go of the database, and of what was read."""
        if self._engine is not None:
            self._engine.dispose()
        self._engine, self._record, self._mark = None, None, ()

    def _look(self, connection: Connection) -> StudyRecord:
        row = study_row(connection, self._name, self._url)
        driver = driver_of(row)
        whose = (row["study_id"], row["driver"])
        mark = (*whose, driver is None, row["written"])
        if mark == self._mark and self._record is not None:
            return self._record
        if whose != self._mark[:2] or driver is None:  # one may have come and gone, with a new study of the name
            self._signs, self._trials = {}, {}
        self._read(connection, row)
        self._mark = mark
        self._record = record_of(connection, row, [self._trials[number] for number in sorted(self._trials)])
        return self._record

    def _read(self, connection: Connection, row: RowMapping) -> None:
        signs = _signs(connection, row["study_id"])
        moved = {number for number, sign in signs.items() if self._signs.get(number) != sign}
        found = trials_of(connection, row["study_id"], moved if self._signs else None)
        self._trials.update((trial.number, trial) for trial in found)
        self._signs = signs


def _signs(connection: Connection, study_id: int) -> dict[int, Sign]:
    """Of the last attempt of each trial, by number."""
    attempts = tables.evaluations.c
    query = select(attempts.number, attempts.attempt, attempts.state, attempts.stop, func.length(attempts.curve))
    rows = connection.execute(query.where(attempts.study_id == study_id).order_by(attempts.attempt))
    return {row[0]: tuple(row[1:]) for row in rows}
