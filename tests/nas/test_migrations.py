"""Databases of older schemas: brought up to date with everything that was in them, or left as they were."""

import datetime
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import alembic.op
import optuna
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from evaluations import macs
from optuna.storages._rdb import models
from optunas import contents, loaded, sql

from nas import search
from nas.errors import StoreError
from nas.store import schema, tables
from nas.store.database import connect, optuna_storage
from nas.store.doctor import examine
from nas.store.reading import read_study, study_names
from nas.trial import Source, State

SCHEMAS = Path(__file__).parent / "schemas"
VERSIONS = Path(schema.__file__).parent / "migrations" / "versions"
OPTUNAS = models.BaseModel.metadata


def old_rows(table):
    """As SQLite itself reads them from the kept file."""
    connection = sqlite3.connect(f"file:{SCHEMAS}/0001.db?mode=ro&immutable=1", uri=True)
    connection.row_factory = sqlite3.Row
    found = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]
    connection.close()
    return found


def upgrade_to(url, revision):
    """Bring a database to one of our schemas and no further."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        command.upgrade(schema._config(connection), revision)
    engine.dispose()


@pytest.fixture
def old(database, tmp_path):
    """The kept database of the first schema."""
    return placed(database, tmp_path, "0001")


@pytest.fixture
def second(database, tmp_path):
    """The kept database of the second schema."""
    return placed(database, tmp_path, "0002")


@pytest.fixture
def third(database, tmp_path):
    """The kept database of the third schema."""
    return placed(database, tmp_path, "0003")


def placed(database, tmp_path, revision):
    """A kept database file; on PostgreSQL, its rows in tables made there."""
    kept = tmp_path / "kept.db"
    shutil.copyfile(SCHEMAS / f"{revision}.db", kept)
    if database.startswith("sqlite"):
        kept.rename(tmp_path / "nas.db")
        return database
    optuna_storage(database, make=True).engine.dispose()
    upgrade_to(database, revision)
    source, target = sqlalchemy.create_engine(f"sqlite:///{kept}"), sqlalchemy.create_engine(database)
    ours = sqlalchemy.MetaData()
    ours.reflect(target, only=lambda name, _: name.startswith("nas_") and name != schema.VERSION_TABLE)
    with source.begin() as reading, target.begin() as writing:
        for table in (*OPTUNAS.sorted_tables, *ours.sorted_tables):
            rows = [dict(row) for row in reading.execute(sqlalchemy.select(table)).mappings()]
            if rows and table.name != "version_info":
                writing.execute(table.insert(), rows)
                key = next(iter(table.primary_key)).name
                if isinstance(rows[0][key], int):  # what was given away is not given away again
                    last = f"SELECT setval(pg_get_serial_sequence('{table.name}', '{key}'), {max(row[key] for row in rows)})"
                    writing.execute(sqlalchemy.text(last))
    source.dispose()
    target.dispose()
    return database


def test_a_database_of_the_first_schema_is_brought_up_to_date_with_everything_that_was_there(old):
    before = {(row["study_id"], row["number"]): row for row in old_rows("nas_evaluations")}

    assert study_names(old) == ["own", "digits"]
    assert sql(old, f"SELECT version_num FROM {schema.VERSION_TABLE}") == [(schema.known()[-1],)]
    found = {
        (i, trial.number): trial for i, name in ((1, "own"), (2, "digits")) for trial in read_study(old, name).trials
    }
    assert found.keys() == before.keys()
    for key, row in before.items():
        trial, budget = found[key], json.loads(row["budget"])
        assert (trial.state.value, trial.origin, trial.attempt) == (row["state"], row["origin"], row["attempt"])
        assert (list(trial.genome), trial.digest) == (json.loads(row["genome"]), row["digest"])
        assert trial.metrics == json.loads(row["metrics"])
        assert {str(step): told for step, told in trial.curve.items()} == json.loads(row["curve"])
        assert (trial.seconds, trial.host, trial.reason) == (row["seconds"], row["host"], row["reason"])
        assert {name: getattr(trial.budget, name) for name in budget} == budget
        assert trial.source is Source.TRAINED
    bodies = {row["digest"]: row["body"] for row in old_rows("nas_architectures")}
    assert dict(sql(old, "SELECT digest, body FROM nas_architectures")) == bodies
    assert {trial.candidate.digest for trial in read_study(old, "digits").trials} == bodies.keys()
    for row in old_rows("nas_studies"):
        kept = sql(old, f"SELECT settings, space_digest, version FROM nas_studies WHERE study_id = {row['study_id']}")
        assert kept == [(row["settings"], row["space_digest"], row["version"])]
    left = sqlalchemy.inspect(engine := sqlalchemy.create_engine(old)).get_table_names()
    engine.dispose()
    assert "nas_schema" not in left


def test_nothing_of_optunas_is_touched_by_a_migration(old):
    before = contents(old)

    connect(old, create=False).dispose()

    after = contents(old)
    assert {name: rows for name, rows in after.items() if name in OPTUNAS.tables} == {
        name: rows for name, rows in before.items() if name in OPTUNAS.tables
    }


def go_on(url, layers, tmp_path, **options):
    def evaluate(candidate, budget, report):
        return {"accuracy": sum(value == "conv3" for value in candidate.values()) / 4}

    return search(
        layers, evaluate, objectives=["accuracy:max", "macs:min"], costs=macs, constraints=["macs<=60"], epochs=(3, 3),
        storage=url, study="own", runner="inline", checkpoints=tmp_path / "c", **options,
    )  # fmt: skip


def test_a_study_of_the_first_schema_is_gone_on_with(old, layers, tmp_path):
    before = read_study(old, "own").trials

    result = go_on(old, layers, tmp_path, trials=12)

    assert result.trials[:6] == before[:6]
    assert (before[6].state, result.trials[6].genome) == (State.RUNNING, before[6].genome)
    assert [trial.number for trial in result.trials] == list(range(12))
    assert {trial.state for trial in result.trials[6:]} == {State.COMPLETE}
    assert len({trial.digest for trial in result.trials}) == 12
    theirs = loaded(old, "own").trials
    assert [trial.number for trial in theirs] == list(range(12))
    assert [trial.state.name.lower() for trial in theirs] == [trial.state.value for trial in result.trials]
    assert [trial.values for trial in theirs if trial.values] == [
        [trial.metrics["accuracy"], trial.metrics["macs"]] for trial in result.trials if trial.state is State.COMPLETE
    ]
    assert examine(old, "own").findings == ()
    assert examine(old, "digits").findings == ()


def test_a_study_of_the_first_schema_that_optuna_deleted_is_gone_after_the_migration(old, layers, tmp_path):
    optuna.delete_study(storage=old, study_name="own")

    assert study_names(old) == ["digits"]
    result = go_on(old, layers, tmp_path, trials=2)

    assert [trial.number for trial in result.trials] == [0, 1]
    assert examine(old, "own").findings == ()


def test_a_database_of_the_second_schema_keeps_every_row_and_its_studies_are_gone_on_with(second, layers, tmp_path):
    before = contents(second)

    connect(second, create=False).dispose()
    after = contents(second)

    assert after.pop("nas_latencies") == []
    assert after.pop(schema.VERSION_TABLE) == [repr((schema.known()[-1],))]
    assert after == with_parents({name: rows for name, rows in before.items() if name != schema.VERSION_TABLE})
    started = read_study(second, "own").trials
    result = go_on(second, layers, tmp_path, trials=12)
    assert result.trials[:6] == started[:6]
    assert (started[6].state, result.trials[6].genome) == (State.RUNNING, started[6].genome)
    assert {trial.state for trial in result.trials[6:]} == {State.COMPLETE}
    assert [trial.number for trial in loaded(second, "own").trials] == list(range(12))
    assert examine(second, "own").findings == ()
    assert examine(second, "digits").findings == ()


def with_parents(rows):
    """Rows of schema 0003 as 0004 has them."""
    return {**rows, "nas_trials": [f"{row[:-1]}, None)" for row in rows["nas_trials"]]}


def test_a_database_of_the_third_schema_keeps_every_row_and_its_trials_have_no_parent(third, layers, tmp_path):
    before = contents(third)

    connect(third, create=False).dispose()
    after = contents(third)

    assert after.pop(schema.VERSION_TABLE) == [repr((schema.known()[-1],))]
    assert after == with_parents({name: rows for name, rows in before.items() if name != schema.VERSION_TABLE})
    started = read_study(third, "own").trials
    assert {trial.parent for trial in started} == {None}
    result = go_on(third, layers, tmp_path, trials=12)
    assert result.trials[:6] == started[:6]
    assert (started[6].state, result.trials[6].genome) == (State.RUNNING, started[6].genome)
    assert examine(third, "own").findings == ()
    assert examine(third, "digits").findings == ()


# -- the schema itself -------------------------------------------------------------------------------------------------


def described(url):
    """Tables of ours with columns, types, nullability, keys and indexes."""
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    found = {}
    for name in sorted(name for name in inspector.get_table_names() if name.startswith("nas_")):
        columns = {
            column["name"]: (str(column["type"]), column["nullable"], column["default"])
            for column in inspector.get_columns(name)
        }
        indexes = sorted((i["name"], tuple(i["column_names"]), bool(i["unique"])) for i in inspector.get_indexes(name))
        found[name] = columns, inspector.get_pk_constraint(name)["constrained_columns"], indexes
    engine.dispose()
    return found


def fresh(url, tmp_path, name):
    """An empty database beside another one."""
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path}/{name}.db"
    parsed = sqlalchemy.make_url(url)
    other = f"{parsed.database}_{name}"
    admin = sqlalchemy.create_engine(parsed, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {other}")
    admin.dispose()
    return parsed.set(database=other).render_as_string(hide_password=False)


def test_a_migrated_database_has_the_schema_of_a_fresh_one(old, tmp_path):
    new = fresh(old, tmp_path, "fresh")

    connect(new, create=True).dispose()
    connect(old, create=False).dispose()

    assert described(old) == described(new)
    assert set(described(new)) == {*tables.metadata.tables, schema.VERSION_TABLE}


def test_every_step_of_the_way_leads_to_the_schema_of_a_fresh_database(database, tmp_path):
    new = fresh(database, tmp_path, "fresh")
    connect(new, create=True).dispose()
    optuna_storage(database, make=True).engine.dispose()

    for revision in schema.known():
        upgrade_to(database, revision)
        assert sql(database, f"SELECT version_num FROM {schema.VERSION_TABLE}") == [(revision,)]

    assert described(database) == described(new)


def test_alembic_finds_no_difference_between_the_tables_and_a_migrated_database(old):
    engine = connect(old, create=False)

    def ours(thing, name, kind, reflected, other):
        return kind != "table" or (name.startswith("nas_") and name != schema.VERSION_TABLE)

    with engine.connect() as connection:
        options = {"include_object": ours, "compare_type": True, "version_table": schema.VERSION_TABLE}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata)
    engine.dispose()

    assert differences == []


def test_every_schema_but_the_newest_has_a_kept_database_file():
    """Whoever adds m0003 keeps a 0002.db, made by the version before, and adds its tests above."""
    numbers = sorted(path.name[1:5] for path in VERSIONS.glob("m[0-9]*.py"))

    assert numbers == schema.known()
    assert {path.stem for path in SCHEMAS.glob("*.db")} >= set(numbers[:-1])
    for number in numbers[:-1]:
        engine = sqlalchemy.create_engine(f"sqlite:///file:{SCHEMAS}/{number}.db?mode=ro&immutable=1&uri=true")
        with engine.connect() as connection:
            names = set(sqlalchemy.inspect(connection).get_table_names())
            assert schema.revision(connection, names) == number
        engine.dispose()


# -- what can go wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["create_table", "create_index", "add_column", "drop_column"])
def test_an_interrupted_migration_leaves_the_database_as_it_was(old, monkeypatch, step):
    before, shape = contents(old), described(old)

    def breaks(*arguments, **options):
        raise OSError("power failure")

    with monkeypatch.context() as patch:
        patch.setattr(alembic.op, step, breaks)
        with pytest.raises(StoreError, match="power failure"):
            connect(old, create=False)

    assert contents(old) == before
    assert described(old) == shape
    assert len(read_study(old, "own").trials) == 7


def driver_of_old(url, pid, host, silent_s=0):
    driver = json.dumps({"host": host, "pid": pid, "boot": ""})
    beat = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - datetime.timedelta(seconds=silent_s)
    sql(url, "UPDATE nas_studies SET driver = :driver, beat = :beat", driver=driver, beat=beat.isoformat(" "))


def test_a_migration_waits_for_a_living_driver_of_the_old_schema(old):
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        driver_of_old(old, sleeper.pid, socket.gethostname())
        before = contents(old)

        with pytest.raises(StoreError, match=f"process {sleeper.pid} on .* still drives a study with it; let that end"):
            connect(old, create=False)
        assert contents(old) == before
    finally:
        sleeper.kill()
        sleeper.wait()
    assert study_names(old) == ["own", "digits"]


def test_a_driver_of_another_host_may_live(old):
    driver_of_old(old, 7, "elsewhere")

    with pytest.raises(StoreError, match="process 7 on elsewhere still drives a study with it"):
        connect(old, create=True)


def test_a_driver_of_another_host_that_fell_silent_keeps_nobody_waiting(old):
    driver_of_old(old, 7, "elsewhere", silent_s=60)

    connect(old, create=True).dispose()

    assert read_study(old, "own").driver is None


def test_a_database_is_migrated_once(old):
    connect(old, create=False).dispose()
    before = contents(old)

    connect(old, create=True).dispose()

    assert contents(old) == before
