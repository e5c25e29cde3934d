"""Opening a database: engine settings, Optuna's schema and ours, and errors without secrets."""

from __future__ import annotations

import os
import random
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from nas.errors import InputError, StoreError
from nas.store import schema
from nas.store.trouble import redact, translated

DEFAULT = "sqlite:///nas.db"
MAKE_TRIES = 20
SQLITE_WAIT_S = 5.0  # for somebody else's lock when a database is opened
SQLITE_HURRY_S = 1.0  # and later, before the database counts as away
POSTGRES_WAIT_MS = 10_000  # for a statement, or a lock
POSTGRES: dict[str, object] = {
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10000,
}
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "fuse.sshfs", "9p", "gpfs", "ceph", "glusterfs"}


def storage_url(given: str | None) -> str:
    """The URL to use: the one given, else `NAS_STORAGE`, else what the file `NAS_STORAGE_FILE` holds, else a default.

    The default is `sqlite:///nas.db`. A file is for secrets that are mounted where only the driver runs.
    Raises: InputError for a password given here (it would show in the list of processes), for both variables at once,
    a file that cannot be read, or a malformed URL.
    """
    if given is not None and (_parsed(given).password or any("password" in key for key in _parsed(given).query)):
        raise InputError("a database URL with a password shows in the process list: put it into NAS_STORAGE instead")
    file = os.environ.get("NAS_STORAGE_FILE")
    if given is None and file and os.environ.get("NAS_STORAGE"):
        raise InputError("NAS_STORAGE and NAS_STORAGE_FILE are both set; one of them is enough")
    return given or os.environ.get("NAS_STORAGE") or (_storage_in(Path(file)) if file else DEFAULT)


def _storage_in(file: Path) -> str:
    try:
        url = file.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise InputError(f"NAS_STORAGE_FILE {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"NAS_STORAGE_FILE {file}: not text") from error
    if not url or len(url.splitlines()) > 1:
        raise InputError(f"NAS_STORAGE_FILE {file}: one line with a database URL is expected")
    return url


def _parsed(url: str) -> sqlalchemy.URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InputError(
            "the storage is no database URL; sqlite:///nas.db or postgresql+psycopg://... is expected"
        ) from error


def connect(url: str, *, create: bool, reading: bool = False) -> Engine:
    """An engine whose schemas, Optuna's and ours, are the ones this version knows; made first if `create`.

    An older schema of ours is brought up to date. With `reading`, transactions do not keep a driver from writing.
    Raises: InputError when there is no such database, StoreError when it cannot be used.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        _check_file(parsed.database, create=create)
    with translated(url):
        engine = _engine(parsed, reading=reading)
        if create:
            reader = _engine(parsed, reading=True)
            check_sound(reader, url)
            reader.dispose()
        if create and not _has_optunas(engine, url):
            _make_optunas(url)
        with engine.begin() as connection:
            schema.bring_up(connection, redact(url), create=create)
        return engine


def hurry(engine: Engine) -> None:
    """From now on a lock counts as an absence soon: a driver tries again by itself, and has other things to do."""
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def shorten(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={int(1000 * SQLITE_HURRY_S)}")
            cursor.close()

        engine.dispose()


def check_sound(engine: Engine, url: str) -> None:
    """Read a SQLite file before it is written to. Raises: StoreError when it is damaged."""
    if engine.dialect.name != "sqlite":
        return
    with translated(url), engine.connect() as connection:
        said = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if said != "ok":
            raise StoreError(
                f"database {redact(url)}: the file is damaged ({str(said).splitlines()[-1]}); it was left as it was, "
                f"restore it from a backup or name another"
            )


def _has_optunas(engine: Engine, url: str) -> bool:
    with engine.begin() as connection:
        tables = set(sqlalchemy.inspect(connection).get_table_names())
        schema.check_optuna(connection, tables, redact(url))
        return {"alembic_version", "version_info", "studies"} <= tables


def _make_optunas(url: str) -> None:
    """Optuna makes its tables one by one and stumbles over another process that does the same: then it tries again."""
    for tries_left in reversed(range(MAKE_TRIES)):
        try:
            optuna_storage(url, make=True).engine.dispose()
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, AssertionError):
            if not tries_left:
                raise
            time.sleep(random.uniform(0.05, 0.3))
        else:
            return


def optuna_storage(url: str, *, make: bool = False) -> RDBStorage:
    """Optuna's own storage on the database, whose schema `connect` has checked; makes Optuna's tables if `make`."""
    with quiet():
        return RDBStorage(
            url,
            engine_kwargs={"connect_args": _connect_args(_parsed(url))},
            skip_compatibility_check=True,  # which reads all of Optuna's migrations, longer than all the rest takes
            skip_table_creation=not make,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna says nothing but errors, and warns of nothing."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _connect_args(parsed: sqlalchemy.URL) -> dict[str, object]:
    if parsed.get_backend_name() == "sqlite":
        return {"timeout": SQLITE_WAIT_S}
    if parsed.get_backend_name() == "postgresql" and parsed.get_driver_name() == "psycopg":
        return {name: value for name, value in POSTGRES.items() if name not in parsed.query}
    return {}


def _engine(parsed: sqlalchemy.URL, *, reading: bool) -> Engine:
    more: dict[str, str] = {}
    if reading and parsed.get_backend_name() == "postgresql":
        more["isolation_level"] = "REPEATABLE READ"  # one moment, as a transaction of SQLite's sees it
    engine = sqlalchemy.create_engine(parsed, connect_args=_connect_args(parsed), **more)
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _begin if reading else _begin_immediate)
    elif parsed.get_backend_name() == "postgresql":
        event.listen(engine, "connect", _on_postgres_connect)
    return engine


def _on_sqlite_connect(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # the transactions are ours, see _begin_immediate
    cursor = connection.cursor()
    _turn_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _turn_to_wal(cursor: sqlalchemy.engine.interfaces.DBAPICursor) -> None:
    """SQLite does not wait here: of two processes that begin a file at once, it refuses one at once."""
    deadline = time.monotonic() + SQLITE_WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.005, 0.05))
        else:
            return


def _on_postgres_connect(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _record: object) -> None:
    """Not as a start-up option, which connection poolers refuse."""
    cursor = connection.cursor()
    for name in ("statement_timeout", "lock_timeout"):
        cursor.execute(f"SET {name} = {POSTGRES_WAIT_MS}")
    # a driver that is stopped within a transaction does not keep its locks from the next one
    cursor.execute(f"SET idle_in_transaction_session_timeout = {2 * POSTGRES_WAIT_MS}")
    cursor.close()
    connection.commit()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _check_file(database: str | None, *, create: bool) -> None:
    if not database or database == ":memory:":
        raise InputError("an in-memory SQLite database keeps nothing; give it a file, as in sqlite:///nas.db")
    path = Path(database).absolute()
    if not create and not path.is_file():
        raise InputError(f"there is no database {path}; `nas search` makes one, --storage or NAS_STORAGE names another")
    if path.is_file() and path.stat().st_size == 0 and not _filled_soon(path):
        raise StoreError(
            f"database {path}: the file is empty, as a damaged one may be; restore it, or delete it to begin anew"
        )
    if create and not path.parent.is_dir():
        raise StoreError(f"database {path}: there is no directory {path.parent}")
    if (kind := _file_system(path.parent)) in NETWORK:
        raise StoreError(f"database {path}: SQLite is not safe on a network file system ({kind}); use PostgreSQL")


def _filled_soon(path: Path) -> bool:
    """Whether an empty file is one that another process is making just now."""
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if path.stat().st_size:
            return True
    return False


def _file_system(path: Path) -> str:
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    inside = [(mount, kind) for mount, kind in mounts if path.is_relative_to(mount.replace("\\040", " "))]
    return max(inside, key=lambda pair: len(pair[0]), default=("", ""))[1]
