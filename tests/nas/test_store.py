"""The store: what is refused, what survives, and what is never said."""

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy
from evaluations import macs, share_of_conv3
from optunas import sql

from nas import Space, one_of, search
from nas.errors import InputError, StoreError
from nas.store import database as databases
from nas.store.database import connect, storage_url
from nas.store.reading import read_study, study_names
from nas.store.trouble import redact
from nas.trial import State


def run(url, layers, tmp_path, evaluate=share_of_conv3, **options):
    arguments = {"objectives": ["accuracy:max"], "trials": 5, "study": "s", "runner": "inline", "costs": macs}
    return search(layers, evaluate, **{**arguments, "storage": url, "checkpoints": tmp_path / "c", **options})


def test_a_study_read_back_equals_the_one_that_was_searched(database, layers, tmp_path):
    result = run(database, layers, tmp_path, epochs=(2, 2))

    record = read_study(database, "s")

    assert record.trials == result.trials
    assert study_names(database) == ["s"]
    assert record.driver is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"objectives": ["accuracy:min"]}, r'objectives: \["accuracy:max"\] there, \["accuracy:min"\] here'),
        ({"constraints": ["macs<=9"]}, r'limits: \[\] there, \["macs<=9"\] here'),
        ({"settings": {"data": "other"}}, "data: null there, other here"),
        ({"epochs": (7, 7)}, r"epochs: \[1, 1\] there, \[7, 7\] here"),
    ],
)
def test_a_study_made_with_other_settings_is_refused_with_what_differs(database, layers, tmp_path, changes, told):
    run(database, layers, tmp_path)

    with pytest.raises(InputError, match=f"study 's' was made with other settings .*{told}"):
        run(database, layers, tmp_path, **changes)
    assert len(read_study(database, "s").trials) == 5


def test_of_settings_in_a_table_only_those_that_differ_are_named(database, layers, tmp_path):
    def made(**recipe):
        return run(database, layers, tmp_path, settings={"recipe": {"augment": "x" * 99, **recipe}})

    made(lr=3, mix={"cut": 1})
    told = r"\(recipe.lr: 3 there, 1 here; recipe.mix.cut: 1 there, null here; recipe.mix.up: null there, 2 here\)"
    with pytest.raises(InputError, match=f"study 's' was made with other settings {told}"):
        made(lr=1, mix={"up": 2})


def test_a_changed_space_under_the_same_name_is_refused(database, layers, tmp_path):
    run(database, layers, tmp_path)
    changed = Space({f"layer{index}": one_of("skip", "conv3") for index in range(4)})

    with pytest.raises(InputError, match="space: its definition changed"):
        run(database, changed, tmp_path)


def test_a_trial_that_was_running_when_the_driver_was_stopped_goes_on_without_counting_an_attempt(
    database, layers, tmp_path
):
    def dies(candidate, budget, report):
        if budget.seed == 2:
            raise KeyboardInterrupt
        return share_of_conv3(candidate, budget, report)

    with pytest.raises(KeyboardInterrupt):
        run(database, layers, tmp_path, dies)
    left = read_study(database, "s").trials
    result = run(database, layers, tmp_path)

    assert [trial.state for trial in left] == [State.COMPLETE, State.COMPLETE, State.RUNNING]
    assert result.trials[:2] == left[:2]
    assert (result.trials[2].genome, result.trials[2].attempt) == (left[2].genome, 1)
    assert [trial.state for trial in result.trials] == [State.COMPLETE] * 5


def test_a_second_driver_is_refused_while_the_first_lives_and_takes_over_once_it_is_dead(database, layers, tmp_path):
    run(database, layers, tmp_path)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    engine = sqlalchemy.create_engine(database)
    from nas.store.lease import _started, this_process

    with engine.begin() as connection:
        holder = json.dumps({**this_process(), "pid": sleeper.pid, "started": _started(sleeper.pid)})
        connection.execute(sqlalchemy.text("UPDATE nas_studies SET driver = :holder"), {"holder": holder})

    with pytest.raises(InputError, match=f"study 's' is being driven by process {sleeper.pid} on "):
        run(database, layers, tmp_path, trials=6)
    sleeper.kill()
    sleeper.wait()
    assert len(run(database, layers, tmp_path, trials=6).trials) == 6
    engine.dispose()


def test_a_database_of_another_schema_is_refused_by_number(database, layers, tmp_path):
    run(database, layers, tmp_path)
    engine = sqlalchemy.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE nas_alembic_version SET version_num = '0099'"))
    engine.dispose()

    with pytest.raises(StoreError, match="has schema 0099 of mixer-nas; this version knows 0001, 0002, 0003, 0004"):
        run(database, layers, tmp_path)


def test_a_schema_of_optunas_that_is_not_known_is_refused_by_number(database, layers, tmp_path):
    run(database, layers, tmp_path)
    engine = sqlalchemy.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = 'v9.0.0.a'"))
    engine.dispose()

    with pytest.raises(
        StoreError, match=r"has schema v9\.0\.0\.a of Optuna; this version of mixer-nas writes v3\.2\.0\.a"
    ):
        run(database, layers, tmp_path)
    with pytest.raises(StoreError, match=r"has schema v9\.0\.0\.a of Optuna"):
        read_study(database, "s")


def test_what_is_no_database_is_refused_and_left_as_it_was(tmp_path, layers):
    file = tmp_path / "nas.db"
    file.write_text("my thesis")

    with pytest.raises(StoreError, match=r"database sqlite:.*nas\.db: file is not a database"):
        run(f"sqlite:///{file}", layers, tmp_path)
    assert file.read_text() == "my thesis"


def test_looking_at_a_database_that_is_not_there_does_not_make_one(tmp_path):
    with pytest.raises(InputError, match=r"there is no database .*none\.db; `nas search` makes one"):
        read_study(f"sqlite:///{tmp_path}/none.db", "s")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_and_memory_are_refused(tmp_path):
    with pytest.raises(StoreError, match=r"there is no directory .*/nowhere"):
        connect(f"sqlite:///{tmp_path}/nowhere/nas.db", create=True)
    with pytest.raises(InputError, match="an in-memory SQLite database keeps nothing"):
        connect("sqlite://", create=True)


def test_an_unknown_study_names_the_nearest(tmp_path, layers):
    url = f"sqlite:///{tmp_path}/nas.db"
    run(url, layers, tmp_path, study="digits-metaformer")

    with pytest.raises(InputError, match="unknown study 'digits-metafomer': did you mean digits-metaformer"):
        read_study(url, "digits-metafomer")


def test_a_password_is_refused_on_the_command_line_and_never_shown(monkeypatch):
    with pytest.raises(InputError, match="put it into NAS_STORAGE instead") as caught:
        storage_url("postgresql+psycopg://me:canary@nowhere/x")
    assert "canary" not in str(caught.value)

    url = "postgresql+psycopg://me:canary@127.0.0.1:1/x?sslpassword=canary&connect_timeout=1"
    with pytest.raises(StoreError) as failed:
        connect(url, create=True)
    assert "canary" not in str(failed.value)
    assert failed.value.__cause__ is None
    assert redact(url) == "postgresql+psycopg://me:***@127.0.0.1:1/x"

    monkeypatch.setenv("NAS_STORAGE", "sqlite:///from-environment.db")
    assert storage_url(None) == "sqlite:///from-environment.db"
    assert storage_url("sqlite:///given.db") == "sqlite:///given.db"


def test_a_url_may_stand_in_a_file_that_only_the_driver_sees(tmp_path, monkeypatch):
    file = tmp_path / "url"
    monkeypatch.setenv("NAS_STORAGE_FILE", str(file))
    for text, said in [(None, "No such file"), ("", "one line with a"), ("a\ncanary", "one line with a")]:
        if text is not None:
            file.write_text(text)
        with pytest.raises(InputError, match=f"^NAS_STORAGE_FILE {file}: {said}") as caught:
            storage_url(None)
        assert "canary" not in str(caught.value)

    file.write_text("postgresql+psycopg://me:canary@db/nas\n")

    assert storage_url(None) == "postgresql+psycopg://me:canary@db/nas"
    assert storage_url("sqlite:///given.db") == "sqlite:///given.db"
    monkeypatch.setenv("NAS_STORAGE", "sqlite:///other.db")
    with pytest.raises(InputError, match=r"^NAS_STORAGE and NAS_STORAGE_FILE are both set"):
        storage_url(None)


def test_a_url_that_is_none_is_refused():
    with pytest.raises(InputError, match="the storage is no database URL"):
        connect("nas.db", create=True)


def test_checkpoints_of_all_but_the_best_few_are_deleted(tmp_path, layers):
    def keeps(candidate, budget, report):
        (Path(budget.checkpoint) / "weights").write_text("x")
        return share_of_conv3(candidate, budget, report)

    result = run(f"sqlite:///{tmp_path}/nas.db", layers, tmp_path, keeps, trials=20)

    kept = {int(path.name) for path in (tmp_path / "c" / "s").iterdir()}
    assert kept == {trial.number for trial in result.ranked[:5]}


def test_who_only_reads_sees_one_moment_and_keeps_nobody_from_writing(database, layers, tmp_path):
    run(database, layers, tmp_path)
    reader = connect(database, create=False, reading=True)
    count = sqlalchemy.text("SELECT count(*) FROM nas_evaluations")

    with reader.begin() as connection:
        before = connection.execute(count).scalar()
        run(database, layers, tmp_path, trials=8)
        after = connection.execute(count).scalar()
    with reader.begin() as connection:
        later = connection.execute(count).scalar()
    reader.dispose()

    assert (before, after, later) == (5, 5, 8)


def test_trials_that_ended_are_also_read_in_the_order_in_which_they_did(database, layers, tmp_path):
    run(database, layers, tmp_path)
    late = "UPDATE nas_evaluations SET ended = '2099-01-01 00:00:00' WHERE number = 1"
    sql(database, late)

    record = read_study(database, "s")

    assert [trial.number for trial in record.finished] == [0, 2, 3, 4, 1]
    assert [trial.number for trial in record.trials] == [0, 1, 2, 3, 4]


def test_a_trial_that_runs_has_not_ended(database, layers, tmp_path):
    def dies(candidate, budget, report):
        if budget.seed == 2:
            raise KeyboardInterrupt
        return share_of_conv3(candidate, budget, report)

    with pytest.raises(KeyboardInterrupt):
        run(database, layers, tmp_path, dies)

    assert [trial.number for trial in read_study(database, "s").finished] == [0, 1]


def test_a_file_that_somebody_begins_at_the_same_moment_is_waited_for(tmp_path):
    """SQLite refuses at once, whatever its timeout, to turn a file that somebody writes to into one with a log."""
    file = tmp_path / "nas.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("CREATE TABLE theirs (a)")
    other.execute("BEGIN IMMEDIATE")
    meanwhile = []

    def connected():
        connect(f"sqlite:///{file}", create=True).dispose()
        meanwhile.append("connected")

    waiting = threading.Thread(target=connected)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive(), "nothing was in the way"
    other.execute("COMMIT")
    waiting.join(10)
    other.close()

    assert meanwhile == ["connected"]


def test_a_file_that_stays_in_use_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "SQLITE_WAIT_S", 0.2)
    file = tmp_path / "nas.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("CREATE TABLE theirs (a)")
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match=r"database sqlite:////.*nas\.db: database is locked"):
        connect(f"sqlite:///{file}", create=True)
    other.close()
