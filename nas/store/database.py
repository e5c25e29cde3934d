"""Opening a database: engine settings, Optuna's schema and ours, and errors without secrets."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from nas.errors import InputError, StoreError
from nas.store import tables

DEFAULT = "sqlite:///nas.db"
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "fuse.sshfs", "9p", "gpfs", "ceph", "glusterfs"}


def storage_url(given: str | None) -> str:
    """The URL to use: the one given, else `NAS_STORAGE`, else `sqlite:///nas.db`.

    Raises: InputError for a password given here (it would show in the list of processes), or a malformed URL.
    """
    if given is not None and (_parsed(given).password or any("password" in key for key in _parsed(given).query)):
        raise InputError("a database URL with a password shows in the process list: put it into NAS_STORAGE instead")
    return given or os.environ.get("NAS_STORAGE") or DEFAULT


def redact(url: str) -> str:
    """The URL without password and query, for messages."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return "the given URL"
    return parsed.set(query={}, password="***" if parsed.password else None).render_as_string(hide_password=True)


def _parsed(url: str) -> sqlalchemy.URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InputError(
            "the storage is no database URL; sqlite:///nas.db or postgresql+psycopg://... is expected"
        ) from error


def connect(url: str, *, create: bool) -> Engine:
    """An engine whose schema, Optuna's and ours, is the one this version knows; made first if `create`.

    Raises: InputError when there is no such database, StoreError when it cannot be used.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        _check_file(parsed.database, create=create)
    with translated(url):
        engine = _engine(parsed)
        if create:
            optuna_storage(url)
            tables.metadata.create_all(engine)
        _check_schema(engine, url, create=create)
        return engine


def optuna_storage(url: str) -> RDBStorage:
    """Optuna's own storage on the database; makes and checks Optuna's schema."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return RDBStorage(url, engine_kwargs={"connect_args": _connect_args(_parsed(url))})
    finally:
        optuna.logging.set_verbosity(verbosity)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn the errors of SQLAlchemy, Optuna and drivers into one line without secrets."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError, RuntimeError, OSError) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        password = make_url(url).password
        if password:
            reason = reason.replace(str(password), "***")
        reason = re.sub(r"(password\w*=)\S+", r"\1***", reason)
        raise StoreError(f"database {redact(url)}: {reason}") from None


def _connect_args(parsed: sqlalchemy.URL) -> dict[str, object]:
    return {"timeout": 30} if parsed.get_backend_name() == "sqlite" else {}


def _engine(parsed: sqlalchemy.URL) -> Engine:
    engine = sqlalchemy.create_engine(parsed, connect_args=_connect_args(parsed), pool_pre_ping=True)
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _on_sqlite_connect(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # the transactions are ours, see _begin_immediate
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _check_file(database: str | None, *, create: bool) -> None:
    if not database or database == ":memory:":
        raise InputError("an in-memory SQLite database keeps nothing; give it a file, as in sqlite:///nas.db")
    path = Path(database).absolute()
    if not create and not path.is_file():
        raise InputError(f"there is no database {path}; `nas search` makes one, --storage or NAS_STORAGE names another")
    if create and not path.parent.is_dir():
        raise StoreError(f"database {path}: there is no directory {path.parent}")
    if (kind := _file_system(path.parent)) in NETWORK:
        raise StoreError(f"database {path}: SQLite is not safe on a network file system ({kind}); use PostgreSQL")


def _file_system(path: Path) -> str:
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    inside = [(mount, kind) for mount, kind in mounts if path.is_relative_to(mount.replace("\\040", " "))]
    return max(inside, key=lambda pair: len(pair[0]), default=("", ""))[1]


def _check_schema(engine: Engine, url: str, *, create: bool) -> None:
    with engine.begin() as connection:
        if not sqlalchemy.inspect(connection).has_table(tables.schema.name):
            raise InputError(f"database {redact(url)} holds no study of mixer-nas")
        found = connection.execute(sqlalchemy.select(tables.schema.c.version)).scalar()
        if found is None and create:
            connection.execute(tables.schema.insert().values(version=tables.SCHEMA))
        elif found != tables.SCHEMA:
            raise StoreError(
                f"database {redact(url)} has schema {found} of mixer-nas; this version knows {tables.SCHEMA}"
            )
