"""What waits to be written is written once, whatever happened to the answer of an earlier try."""

import sqlite3

import pytest
from evaluations import macs

from nas.errors import StoreError
from nas.feasible import Pricing
from nas.jobs import Finished, Lost
from nas.objectives import objectives_from
from nas.plan import Plan
from nas.samplers import make_sampler
from nas.store.opening import open_study
from nas.study import Study

GOALS = objectives_from(["accuracy:max"])


def busy():
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


@pytest.fixture
def driven(tmp_path, layers, monkeypatch):
    """A study with its store, and a list of what the next commits answer after they were carried out (or before)."""
    store = open_study(f"sqlite:///{tmp_path}/nas.db", "s", {"objectives": ["accuracy:max"]}, layers, GOALS)
    dialect, answers = store._engine.dialect, []
    commit = dialect.do_commit

    def do_commit(connection):
        how, error = answers.pop(0) if answers else ("after", None)
        if error is not None and how == "before":
            raise error
        commit(connection)
        if error is not None:
            raise error

    monkeypatch.setattr(dialect, "do_commit", do_commit)
    plan = Plan(trials=6, checkpoints=tmp_path)
    study = Study(
        plan=plan, pricing=Pricing(layers, macs, []), objectives=GOALS, store=store,
        sampler=make_sampler("random", layers, GOALS, 0),
    )  # fmt: skip
    store._signs.stop()  # its commits are not those of the test
    yield study, store, answers
    answers.clear()
    store.close()


def rows(store, query):
    with store._engine.connect() as connection:
        return connection.exec_driver_sql(query).fetchall()


def ended(job, accuracy=0.5):
    return Finished(job.number, job.attempt, {"accuracy": accuracy}, 1.0, "here")


def retried(study, count):
    """Jobs, once the database is tried again."""
    for _ in range(20):
        study._store._outbox._retry_at = 0.0
        if jobs := study.jobs(count):
            return jobs
    raise AssertionError("no job was given")


def test_a_begin_in_doubt_is_not_repeated_when_results_that_came_meanwhile_fail_to_be_written(driven):
    study, store, answers = driven
    (first,) = study.jobs(1)
    answers += [("after", busy())]
    assert study.jobs(1) == []
    assert study.flush()
    study.handle(ended(first))
    answers += [("before", busy()), ("before", busy())]

    (second,) = retried(study, 1)
    study.handle(ended(second))
    assert study.flush()

    assert rows(store, "SELECT number, state FROM trials ORDER BY number") == [(0, "COMPLETE"), (1, "COMPLETE")]
    assert rows(store, "SELECT number, state FROM nas_evaluations ORDER BY id") == [(0, "complete"), (1, "complete")]


def test_an_interruption_behind_a_commit_loses_nothing_that_is_told_after_it(driven):
    study, store, answers = driven
    first, second = study.jobs(2)
    study.handle(ended(first))
    answers += [("after", KeyboardInterrupt())]
    with pytest.raises(KeyboardInterrupt):
        study.flush()

    study.handle(ended(second))
    assert study.flush()
    store.close()

    assert rows(store, "SELECT number, state FROM trials ORDER BY number") == [(0, "COMPLETE"), (1, "COMPLETE")]
    assert rows(store, "SELECT driver FROM nas_studies") == [(None,)]


def test_an_error_that_will_not_pass_keeps_what_waits_for_the_next_try(driven):
    study, store, answers = driven
    (first,) = study.jobs(1)
    study.handle(ended(first))
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    answers += [("before", full)]

    with pytest.raises(StoreError, match="disk full"):
        study.flush()
    assert study.pending == 1
    assert study.flush()

    assert rows(store, "SELECT state FROM trials") == [("COMPLETE",)]


def test_events_of_an_attempt_that_was_lost_are_ignored_until_the_next_begins(driven):
    study, _, _ = driven
    (job,) = study.jobs(1)
    study.handle(Lost(job.number, job.attempt, "its worker ended"))
    study.handle(Lost(job.number, job.attempt, "its worker ended"))
    study.handle(ended(job))

    again, other = study.jobs(2)
    study.handle(ended(again))
    study.handle(ended(other))

    assert (again.number, again.attempt) == (0, 2)
    assert [trial.state for trial in study.finished] == ["complete", "complete"]


def test_attributes_that_somebody_wrote_first_do_not_stop_a_search(driven):
    import optuna

    study, store, _ = driven
    (job,) = study.jobs(1)
    url = store._engine.url.render_as_string()
    theirs = optuna.load_study(storage=url, study_name="s")
    storage, trial_id = theirs._storage, theirs.trials[0]._trial_id
    storage.set_trial_user_attr(trial_id, "seconds", "ages")
    theirs.enqueue_trial({f"layer{index}": "conv5" for index in range(4)}, user_attrs={"origin": "by hand"})
    store._signs.enqueued = True

    study.handle(ended(job))
    (wished,) = study.jobs(1)
    study.handle(ended(wished))
    assert study.flush()

    trials = optuna.load_study(storage=url, study_name="s").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert trials[0].user_attrs["seconds"] == 1.0
    assert trials[1].user_attrs["origin"] == "enqueued"


def test_an_attempt_that_was_lost_counts_although_its_driver_stopped_in_order(tmp_path, layers):
    url, attempts = f"sqlite:///{tmp_path}/nas.db", []
    for _ in range(4):
        store = open_study(url, "s", {"objectives": ["accuracy:max"]}, layers, GOALS)
        study = Study(
            plan=Plan(trials=1, checkpoints=tmp_path), pricing=Pricing(layers, macs, []), objectives=GOALS, store=store,
            sampler=make_sampler("random", layers, GOALS, 0),
        )  # fmt: skip
        for job in study.jobs(1):
            attempts.append(job.attempt)
            study.handle(Lost(job.number, job.attempt, "its worker ended"))
        study.flush()
        store.close()

    assert attempts == [1, 2, 3]
    assert rows(store, "SELECT state FROM trials") == [("FAIL",)]
