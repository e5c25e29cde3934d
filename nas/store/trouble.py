"""Errors of databases: which pass by themselves, and all of them in one line without secrets."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from nas.errors import StoreError
from nas.store.base import Away

# PostgreSQL's classes of errors (appendix A of its manual) that another try may not meet
PASSING = ("08", "57P", "53300", "40")
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
HINTS = (
    ("53300", "; the server has no connection left, see its max_connections"),
    ("too many clients", "; see max_connections of the server"),
    ("remaining connection slots", "; see max_connections of the server"),
    ("disk is full", ": disk full; free some space and run the same command again"),
    ("disk I/O error", ": disk full, or failing; free some space and run the same command again"),
    ("not a database", ": the file is damaged or something else; it was left as it is, restore it or name another"),
    ("malformed", ": the file is damaged; it was left as it is, restore it from a backup or name another"),
)


def redact(url: str) -> str:
    """The URL without password and query, for messages."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return "the given URL"
    return parsed.set(query={}, password="***" if parsed.password else None).render_as_string(hide_password=True)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn the errors of SQLAlchemy, Optuna and drivers into StoreError, or Away, in one line without secrets."""
    try:
        yield
    except StoreError as error:
        if type(error) is StoreError and not str(error).startswith("database"):
            raise StoreError(f"database {redact(url)}: {error}") from error
        raise
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError, RuntimeError, OSError) as error:
        cause = _cause(error)
        kind = Away if _passes(error) else StoreError
        raise kind(f"database {redact(url)}: {_said(cause, url)}") from None


def _cause(error: BaseException) -> BaseException:
    while (deeper := getattr(error, "orig", None) or error.__cause__) is not None:
        error = deeper
    return error


def _passes(error: BaseException) -> bool:
    if isinstance(error, PoolTimeout) or getattr(error, "connection_invalidated", False):
        return True
    found: BaseException | None = error
    while found is not None and not isinstance(found, DBAPIError):
        found = found.__cause__
    if found is None:
        return False
    orig = found.orig
    if isinstance(orig, sqlite3.Error):
        return (getattr(orig, "sqlite_errorcode", 0) & 0xFF) in BUSY
    state = getattr(orig, "sqlstate", None)
    if state is None:
        return any(kind.__name__ in ("OperationalError", "InterfaceError") for kind in type(orig).__mro__)
    return str(state).startswith(PASSING)


def _said(cause: BaseException, url: str) -> str:
    reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    for secret in _secrets(url):
        reason = reason.replace(secret, "***")
    reason = re.sub(r"((?:password|passfile|token|secret)\w*\s*=\s*)\S+", r"\1***", reason)
    state = str(getattr(cause, "sqlstate", "") or "")
    hint = next((more for mark, more in HINTS if mark == state or mark in reason), "")
    return reason + hint


def _secrets(url: str) -> list[str]:
    parsed = make_url(url)
    values = [parsed.password, *(value for values in parsed.query.values() for value in _several(values))]
    return [str(value) for value in values if value and len(str(value)) > 2]


def _several(values: str | tuple[str, ...]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else values
