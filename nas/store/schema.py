"""The schemas in a database: Optuna's is checked by number, ours is made and brought up to date by Alembic.

Alembic's own table has a name of ours; in `alembic_version`, which is Optuna's, a revision of ours would make Optuna
refuse the database.
"""

from __future__ import annotations

import datetime
import functools
import json
import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from nas.errors import InputError, StoreError
from nas.store.lease import LEASE_S
from nas.store.rows import utc_now

VERSION_TABLE = "nas_alembic_version"
OPTUNA = "v3.2.0.a"  # revision of Optuna's tables that nas.store.optuna_rows writes
LOCK = 0x6E6173  # of PostgreSQL, held while tables are made


@functools.cache
def known() -> list[str]:
    """Our schemas by number, oldest first."""
    return [script.revision for script in _scripts().walk_revisions()][::-1]


def bring_up(connection: Connection, shown: str, *, create: bool) -> None:
    """Check Optuna's schema and bring ours up to date, made first if `create`; in the caller's transaction.

    `shown` names the database. Raises: InputError when it holds no study of ours, StoreError naming the schema that
    this version does not know, or the living driver that an older one still serves.
    """
    tables = set(sqlalchemy.inspect(connection).get_table_names())
    check_optuna(connection, tables, shown)
    found = revision(connection, tables)
    if found is None and not create:
        raise InputError(f"database {shown} holds no study of mixer-nas")
    numbers = known()
    if found == numbers[-1]:
        return
    if found is not None and found not in numbers:
        raise StoreError(
            f"database {shown} has schema {found} of mixer-nas; this version knows {', '.join(numbers)}: update it"
        )
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        tables = set(sqlalchemy.inspect(connection).get_table_names())
        found = revision(connection, tables)
        if found == numbers[-1]:  # another process brought it up while this one waited
            return
    if found is not None:
        _refuse_if_driven(connection, shown)
    if "nas_schema" in tables:  # before Alembic
        MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).stamp(_scripts(), "0001")
        connection.execute(text("DROP TABLE nas_schema"))
    command.upgrade(_config(connection), "head")


def revision(connection: Connection, tables: set[str]) -> str | None:
    """The number of our schema in the database, as in "0002"; None where there is none."""
    if VERSION_TABLE in tables:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision()
    if "nas_schema" in tables:
        found = connection.execute(text("SELECT version FROM nas_schema")).scalar()
        return None if found is None else f"{int(found):04d}"
    return None


def check_optuna(connection: Connection, tables: set[str], shown: str) -> None:
    """Raises: StoreError for a schema of Optuna's that we do not know, named by number."""
    if "alembic_version" not in tables or "studies" not in tables:
        return
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found != OPTUNA:
        raise StoreError(
            f"database {shown} has schema {found} of Optuna; this version of mixer-nas writes {OPTUNA}: "
            f"`optuna storage upgrade` brings an older one up, a newer one needs a newer mixer-nas"
        )


def _refuse_if_driven(connection: Connection, shown: str) -> None:
    """An older mixer-nas at work would write into tables that are no longer there."""
    studies = sqlalchemy.Table("nas_studies", sqlalchemy.MetaData(), autoload_with=connection)
    beats = studies.c.get("beat")  # of schema 0001, in UTC
    for row in connection.execute(select(studies)).mappings():
        driver = json.loads(row["driver"]) if row["driver"] else None
        beat = row["beat"] if beats is not None else None
        if driver is not None and _may_live(driver, beat):
            raise StoreError(
                f"database {shown} has an older schema of mixer-nas, and process {driver['pid']} on {driver['host']} "
                f"still drives a study with it; let that end first"
            )


def _may_live(driver: Mapping[str, Any], beat: datetime.datetime | None) -> bool:
    if driver["host"] != socket.gethostname():
        return beat is None or (utc_now() - beat).total_seconds() <= LEASE_S
    return driver["pid"] != os.getpid() and Path(f"/proc/{driver['pid']}").exists()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent / "migrations"))


def _config(connection: Connection) -> Config:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
