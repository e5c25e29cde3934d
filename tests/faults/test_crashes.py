"""The driver is killed at named points, and the same search started again goes on to the right end."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from faults import ledger
from faults.driver import Kill, Search, killed, points

from nas.store.database import connect
from nas.store.reading import read_study

KEPT = Path(__file__).parent.parent / "nas" / "schemas" / "0001.db"


@pytest.fixture
def searched(database, tmp_path):
    connect(database, create=True).dispose()
    return Search(database, tmp_path)


def gone_on(search):
    """The search started again: what is wrong after it, and what it evaluated."""
    before = len(search.read_notes())
    search.run()
    again = [note["trial"] for note in search.read_notes()[before:] if note["event"] == "done"]
    return ledger.faults(search), again


def test_a_result_that_was_computed_and_not_committed_is_computed_once_more_and_is_there_once(searched):
    assert killed(Kill("before commit", after=1), searched.run)

    there = ledger.complete(searched)
    wrong, again = gone_on(searched)

    assert (there, again, wrong) == ({0}, [1, 2], [])
    assert [attempt[1] for attempt in ledger.evaluations(searched)[1]] == ["lost", "complete"]


def test_a_result_that_was_committed_before_anybody_was_told_is_not_computed_again(searched):
    assert killed(Kill("after commit", after=1), searched.run)

    there = ledger.complete(searched)
    wrong, again = gone_on(searched)

    assert (there, again, wrong) == ({0, 1}, [2], [])
    assert [attempt[1] for attempt in ledger.evaluations(searched)[1]] == ["complete"]


@pytest.mark.soak_when("postgres-after", "sqlite-before")
@pytest.mark.parametrize(
    ("at", "objectives"),
    [("before commit", ("accuracy:max",)), ("after commit", ("accuracy:max", "macs:min"))],
    ids=["before, one objective", "after, two objectives"],
)
def test_a_kill_at_any_commit_loses_no_committed_result_and_repeats_none(searched, at, objectives):
    for nth in points():
        search = dataclasses.replace(searched, study=f"s{nth}", objectives=objectives)
        if not killed(Kill(at, nth), search.run):
            break
        there = ledger.complete(search)
        wrong, again = gone_on(search)

        assert wrong == [], f"killed {at} {nth}"
        assert sorted(there | set(again)) == [0, 1, 2], f"killed {at} {nth}"
        assert there.isdisjoint(again), f"killed {at} {nth}"
    assert nth > 6


@pytest.mark.soak_when("postgres")
def test_a_batch_is_written_wholly_or_not_at_all_whichever_of_its_statements_was_the_last(searched):
    """Trial 1 ends and trial 2 begins in one transaction: Optuna's rows, ours and the fence."""
    ends = {}
    for at in ("before commit", "after commit"):
        search = dataclasses.replace(searched, study=at.replace(" ", "-"))
        assert killed(Kill(at, after=1), search.run)
        ends[at] = ledger.outcome(search)
    assert ends["before commit"] != ends["after commit"]

    for nth in points():
        search = dataclasses.replace(searched, study=f"s{nth}")
        assert killed(Kill("statement", nth, after=1), search.run)
        found = ledger.outcome(search)
        if found == ends["after commit"]:
            break
        wrong, again = gone_on(search)

        assert found == ends["before commit"], f"killed at statement {nth}"
        assert (wrong, again) == ([], [1, 2]), f"killed at statement {nth}"
    assert nth > 8


@pytest.mark.soak_when("sqlite")
def test_a_search_killed_while_it_makes_its_study_is_made_by_the_next_start(searched):
    for nth in points():
        search = dataclasses.replace(searched, study=f"s{nth}")
        assert killed(Kill("write", nth), search.run)
        if search.read_notes():
            break
        assert gone_on(search) == ([], [0, 1, 2]), f"killed at write {nth}"
    assert nth > 5


@pytest.mark.slow
def test_a_database_whose_making_was_killed_at_any_write_is_made_by_the_next_start(tmp_path):
    for nth in points():
        search = Search(f"sqlite:///{tmp_path}/{nth}.db", tmp_path, study=f"s{nth}", trials=1)
        if not killed(Kill("write", nth), make, search):
            break
        assert gone_on(search) == ([], [0]), f"killed at write {nth}"
    assert nth > 30


@pytest.mark.parametrize("nth", [1, 16, 26, 34])
def test_a_database_on_a_server_whose_making_was_killed_is_made_by_the_next_start(database, nth, tmp_path):
    search = Search(database, tmp_path, trials=1)

    assert killed(Kill("write", nth), make, search)

    assert gone_on(search) == ([], [0])


def make(search):
    connect(search.url, create=True).dispose()


@pytest.mark.slow
def test_a_migration_that_was_killed_at_any_statement_is_carried_out_by_the_next_start(tmp_path):
    shutil.copy(KEPT, tmp_path / "whole.db")
    make(Search(f"sqlite:///{tmp_path}/whole.db", tmp_path))
    whole = ledger.everything(f"sqlite:///{tmp_path}/whole.db")

    for nth in points():
        search = Search(f"sqlite:///{tmp_path}/{nth}.db", tmp_path)
        shutil.copy(KEPT, tmp_path / f"{nth}.db")
        if not killed(Kill("statement", nth), make, search):
            break
        make(search)

        assert ledger.everything(search.url) == whole, f"killed at statement {nth}"
        assert ledger.sound(search.url) == []
    assert nth > 15
    assert len(read_study(f"sqlite:///{tmp_path}/whole.db", "own").trials) == 7
