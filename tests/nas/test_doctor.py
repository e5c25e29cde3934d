"""`nas doctor`: a clean study is clean, each broken promise is found where it is broken, and repairs do what they say."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from evaluations import macs, share_of_conv3
from optunas import contents, loaded, sql

from nas import search
from nas.errors import InputError, StoreError
from nas.store import lease
from nas.store.doctor import examine, repair

pytestmark = pytest.mark.tables_made

RUNNING = 4  # the trial that the driver left behind


@pytest.fixture
def studied(database, layers, tmp_path):
    """Four complete trials with checkpoints, and one that was running when its driver was stopped."""
    import torch

    from nas import checkpoint

    def evaluate(candidate, budget, report):
        checkpoint.save(Path(budget.checkpoint), {"epoch": 1, "weights": torch.zeros(4)})
        if budget.seed == RUNNING:
            raise KeyboardInterrupt
        return share_of_conv3(candidate, budget, report)

    with pytest.raises(KeyboardInterrupt):
        search(
            layers, evaluate, objectives=["accuracy:max", "macs:min"], trials=5, study="s", runner="inline", costs=macs,
            storage=database, checkpoints=tmp_path / "c", sampler="random",
        )  # fmt: skip
    return database


def folder(tmp_path, number):
    return tmp_path / "c" / "s" / str(number)


def id_of(url, number):
    return sql(url, f"SELECT trial_id FROM trials WHERE number = {number}")[0][0]


def files(tmp_path):
    return {str(path): path.read_bytes() for path in (tmp_path / "c").rglob("*") if path.is_file()}


def test_a_clean_study_is_clean_and_what_is_worth_knowing_is_a_note(studied):
    report = examine(studied, "s")

    assert (report.study, report.trials, report.findings, report.driven) == ("s", 5, (), False)
    assert report.notes == ("1 trial(s) were running when the driver ended: the same `nas search` goes on with them",)


def test_enqueued_trials_those_of_others_and_lost_attempts_are_notes(studied, layers, tmp_path):
    sql(studied, f"UPDATE nas_evaluations SET state = 'lost' WHERE number = {RUNNING}")
    study = loaded(studied)
    study.tell(study.ask(), [0.5, 1.0])
    study.enqueue_trial({"layer0": "skip"})

    report = examine(studied, "s")

    assert report.findings == ()
    assert [note.partition(" ")[2][:28] for note in report.notes] == [
        "trial(s) were running when t",
        "enqueued trial(s) wait for `",
        "trial(s) were written by oth",
        "attempt(s) were lost with th",
    ]


def double_number(url, tmp_path):
    for table in ("trials", "nas_trials", "nas_evaluations"):
        sql(url, f"UPDATE {table} SET number = 3 WHERE number = 4")


def missing_number(url, tmp_path):
    for table in ("trials", "nas_trials", "nas_evaluations"):
        sql(url, f"UPDATE {table} SET number = 9 WHERE number = 4")


def states_disagree(url, tmp_path):
    sql(url, "UPDATE nas_evaluations SET state = 'fail' WHERE number = 1")


def complete_for_us_alone(url, tmp_path):
    sql(url, f"UPDATE nas_evaluations SET state = 'complete' WHERE number = {RUNNING}")


def another_attempt(url, number, attempt, state):
    columns = (
        "trial_id, study_id, number, digest, protocol, source, reused_from, start, stop, seed, device, "
        "checkpoint, metrics, curve, seconds, host, reason, versions, began, ended"
    )
    sql(
        url,
        f"INSERT INTO nas_evaluations ({columns}, attempt, state) SELECT {columns}, {attempt}, '{state}' "
        f"FROM nas_evaluations WHERE number = {number} AND attempt = 1",
    )


def two_winners(url, tmp_path):
    another_attempt(url, 1, 2, "complete")


def no_winner(url, tmp_path):
    sql(url, "UPDATE nas_evaluations SET state = 'lost' WHERE number = 1")


def attempts_with_a_gap(url, tmp_path):
    sql(url, "UPDATE nas_evaluations SET attempt = 2 WHERE number = 1")


def four_attempts(url, tmp_path):
    sql(url, "UPDATE nas_evaluations SET state = 'lost', curve = '{}' WHERE number = 1")
    for attempt, state in ((2, "lost"), (3, "lost"), (4, "complete")):
        another_attempt(url, 1, attempt, state)


def no_evaluation(url, tmp_path):
    sql(url, f"DELETE FROM nas_evaluations WHERE number = {RUNNING}")


def values_differ(url, tmp_path):
    sql(url, f"UPDATE trial_values SET value = value + 1 WHERE trial_id = {id_of(url, 1)} AND objective = 1")


def value_is_null(url, tmp_path):
    kind = "value_type = 'INF_POS'"
    sql(url, f"UPDATE trial_values SET value = NULL, {kind} WHERE trial_id = {id_of(url, 1)} AND objective = 0")


def value_is_missing(url, tmp_path):
    sql(url, f"DELETE FROM trial_values WHERE trial_id = {id_of(url, 1)} AND objective = 0")


def metric_is_missing(url, tmp_path):
    sql(url, "UPDATE nas_evaluations SET metrics = '{}' WHERE number = 1")


def network_trained_twice(url, tmp_path):
    sql(url, "UPDATE nas_trials SET digest = (SELECT digest FROM nas_trials WHERE number = 0) WHERE number = 1")


def unreadable_candidate(url, tmp_path):
    digest = sql(url, "SELECT digest FROM nas_trials WHERE number = 1")[0][0]
    sql(url, "UPDATE nas_architectures SET body = 'half of i' WHERE digest = :digest", digest=digest)


def orphan_trial(url, tmp_path):
    sql(url, "UPDATE nas_trials SET trial_id = 999 WHERE number = 1")
    sql(url, "UPDATE nas_evaluations SET trial_id = 999 WHERE number = 1")


def orphan_evaluation(url, tmp_path):
    sql(url, "DELETE FROM nas_trials WHERE number = 1")


def half_written(url, tmp_path):
    (folder(tmp_path, 1) / ".state.pt.4711").write_bytes(b"half of i")


def unreadable_checkpoint(url, tmp_path):
    path = next(folder(tmp_path, RUNNING).glob("*.pt"))
    path.write_bytes(path.read_bytes()[:-40])


def flipped_bit(url, tmp_path):
    path = next(folder(tmp_path, RUNNING).glob("*.pt"))
    with zipfile.ZipFile(path) as archive:
        content = archive.read(max(archive.infolist(), key=lambda member: member.file_size))
    body = bytearray(path.read_bytes())
    body[body.index(content)] ^= 1
    path.write_bytes(body)


def nobodys_folder(url, tmp_path):
    shutil.copytree(folder(tmp_path, 1), folder(tmp_path, 77))


def dead_lease(url, tmp_path):
    gone = lease.lease_text({**lease.this_process(), "pid": 2**22 + 1})
    sql(url, "UPDATE nas_studies SET driver = :gone", gone=gone)
    loaded(url).tell(RUNNING, [0.5, 1.0])  # else the trial that runs is its last sign
    sql(url, f"UPDATE nas_evaluations SET state = 'complete', metrics = :told WHERE number = {RUNNING}",
        told=json.dumps({"accuracy": 0.5, "macs": 1.0}))  # fmt: skip


# what is broken: how, in which trial it is to be found, in which words
BROKEN = {
    "double number": (double_number, 3, "2 trials have this number"),
    "missing number": (missing_number, 4, "number(s) are missing"),
    "states disagree": (states_disagree, 1, "fail for us, complete for Optuna"),
    "complete for us alone": (complete_for_us_alone, RUNNING, "complete for us, RUNNING for Optuna"),
    "two winners": (two_winners, 1, "2 complete evaluation(s), 1 expected"),
    "no winner": (no_winner, 1, "0 complete evaluation(s), 1 expected"),
    "attempts with a gap": (attempts_with_a_gap, 1, "attempts 2"),
    "four attempts": (four_attempts, 1, "attempts 1, 2, 3, 4"),
    "no evaluation": (no_evaluation, RUNNING, "it has none"),
    "values differ": (values_differ, 1, "for us, ["),
    "infinite value": (value_is_null, 1, "for us, ["),
    "missing value": (value_is_missing, 1, "for us, ["),
    "missing metric": (metric_is_missing, 1, "[None, None] for us"),
    "network trained twice": (network_trained_twice, 1, "the same network as trial 0"),
    "unreadable candidate": (unreadable_candidate, 1, "its architecture cannot be read"),
    "orphan trial": (orphan_trial, 1, "Optuna has no such trial"),
    "orphan evaluation": (orphan_evaluation, 1, "an evaluation without a trial"),
    "half-written checkpoint": (half_written, 1, "left by a process that died while it wrote"),
    "unreadable checkpoint": (unreadable_checkpoint, RUNNING, "the checkpoint cannot be read"),
    "flipped bit in a checkpoint": (flipped_bit, RUNNING, "the checkpoint cannot be read"),
    "folder of no trial": (nobodys_folder, 77, "no trial of this study has it"),
    "stale lease": (dead_lease, None, "held it"),
}
MENDED = {
    "orphan trial": "1 row(s) without a trial deleted",
    "orphan evaluation": "1 row(s) without a trial deleted",
    "half-written checkpoint": "deleted",
    "unreadable checkpoint": "renamed to state.pt.broken",
    "flipped bit in a checkpoint": "renamed to state.pt.broken",
    "stale lease": "the lease of a dead driver given up",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_promise_is_found_with_its_trial_and_nothing_is_changed_by_looking(studied, tmp_path, what):
    breaks, number, told = BROKEN[what]
    breaks(studied, tmp_path)
    before = contents(studied), files(tmp_path)

    report = examine(studied, "s")

    found = [finding for finding in report.findings if finding.trial == number and told in finding.found]
    assert found, report.findings
    assert {finding.trial for finding in report.findings} == {number}
    assert all(finding.promise for finding in found)
    assert {finding.repairable for finding in found} == {what in MENDED}
    assert (contents(studied), files(tmp_path)) == before


@pytest.mark.soak_when("postgres")
@pytest.mark.parametrize(
    "what",
    [what for what in BROKEN if what not in MENDED],
)
def test_what_cannot_be_mended_safely_is_left_as_it_is_by_a_repair(studied, tmp_path, what):
    BROKEN[what][0](studied, tmp_path)
    before = contents(studied), files(tmp_path), examine(studied, "s")

    done, after = repair(studied, "s")

    assert done == []
    assert (contents(studied), files(tmp_path), after) == before


@pytest.mark.parametrize("what", list(MENDED))
def test_a_repair_does_what_it_says_and_no_more(studied, tmp_path, what):
    BROKEN[what][0](studied, tmp_path)
    broken, kept = contents(studied), files(tmp_path)

    done, after = repair(studied, "s")

    assert len(done) == 1
    assert MENDED[what] in done[0]
    assert not [finding for finding in after.findings if finding.repairable]
    now, left = contents(studied), files(tmp_path)
    assert {name for name in now if now[name] != broken[name]} <= {"nas_trials", "nas_evaluations", "nas_studies"}
    for name in ("nas_trials", "nas_evaluations"):
        assert set(now[name]) <= set(broken[name])
    same = {path for path in left if kept.get(path) == left[path]}
    if what == "half-written checkpoint":
        assert [Path(path).name for path in kept.keys() - left.keys()] == [".state.pt.4711"]
    elif "checkpoint" in what:
        assert [Path(path).name for path in left.keys() - same] == ["state.pt.broken"]
        assert len(kept) == len(left)
    else:
        assert kept == left


@pytest.mark.soak_when("postgres")
@pytest.mark.parametrize("what", [what for what in MENDED if "orphan" not in what])
def test_a_repair_leaves_a_clean_study(studied, tmp_path, what):
    BROKEN[what][0](studied, tmp_path)

    _, after = repair(studied, "s")

    assert after.findings == examine(studied, "s").findings == ()
    assert repair(studied, "s")[0] == []


def test_rows_left_by_a_deleted_trial_are_deleted_and_the_study_is_clean(studied):
    row = "study_id, number, digest, genome, origin"
    sql(studied, f"INSERT INTO nas_trials (trial_id, {row}) SELECT 999, {row} FROM nas_trials WHERE number = 0")

    done, after = repair(studied, "s")

    assert done == ["1 row(s) without a trial deleted"]
    assert after.findings == ()


def test_what_was_put_aside_is_trained_from_the_start_when_the_search_goes_on(studied, layers, tmp_path):
    unreadable_checkpoint(studied, tmp_path)
    repair(studied, "s")
    seen = []

    def evaluate(candidate, budget, report):
        seen.append(sorted(path.name for path in Path(budget.checkpoint).iterdir()))
        return share_of_conv3(candidate, budget, report)

    search(
        layers, evaluate, objectives=["accuracy:max", "macs:min"], trials=5, study="s", runner="inline", costs=macs,
        storage=studied, checkpoints=tmp_path / "c", sampler="random",
    )  # fmt: skip

    assert seen == [["state.pt.broken"]]
    assert examine(studied, "s").findings == ()


@pytest.fixture
def driven(studied):
    """The study, with a living process for its driver."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    driver = {**lease.this_process(), "pid": sleeper.pid, "started": lease._started(sleeper.pid)}
    now = {"pulse": lease._seconds("sqlite")} if studied.startswith("sqlite") else {}
    clock = ":pulse" if now else "extract(epoch FROM clock_timestamp())"
    sql(studied, f"UPDATE nas_studies SET driver = :driver, pulse = {clock}", driver=lease.lease_text(driver), **now)
    yield studied
    sleeper.kill()
    sleeper.wait()


def test_a_repair_is_refused_while_a_driver_has_the_study_and_changes_nothing(driven, tmp_path):
    half_written(driven, tmp_path)
    orphan_trial(driven, tmp_path)
    before = contents(driven), files(tmp_path)

    with pytest.raises(StoreError, match="study 's' is being driven; repair it when that has ended"):
        repair(driven, "s")

    assert (contents(driven), files(tmp_path)) == before


def test_nothing_is_said_of_files_that_a_driver_may_be_writing(driven, tmp_path):
    half_written(driven, tmp_path)
    unreadable_checkpoint(driven, tmp_path)

    report = examine(driven, "s")

    assert (report.driven, report.findings, report.notes) == (True, (), ())


def test_a_folder_that_does_not_bear_the_name_of_the_study_is_never_looked_into(studied, tmp_path):
    other = tmp_path / "home"
    shutil.copytree(tmp_path / "c" / "s", other)
    (other / ".mine.pt.1").write_text("mine")
    sql(studied, f"UPDATE nas_evaluations SET checkpoint = '{other}/' || number")
    nobodys_folder(studied, tmp_path)

    done, after = repair(studied, "s")

    assert (done, after.findings) == ([], ())
    assert (other / ".mine.pt.1").exists()


def test_an_architecture_that_was_changed_is_found_with_every_trial_that_has_it(database, tmp_path):
    from nas import search as searched
    from search_spaces import get

    def evaluate(candidate, budget, report):
        return {"accuracy": 0.5}

    searched(
        get("metaformer", 8), evaluate, objectives=["accuracy:max"], trials=3, study="s", runner="inline",
        storage=database, checkpoints=tmp_path / "c", sampler="random",
    )  # fmt: skip
    bodies = dict(sql(database, "SELECT number, body FROM nas_trials JOIN nas_architectures USING (digest)"))
    sql(
        database,
        "UPDATE nas_architectures SET body = :body WHERE digest = (SELECT digest FROM nas_trials WHERE number = 1)",
        body=bodies[2],
    )

    report = examine(database, "s")

    assert [finding.trial for finding in report.findings] == [1]
    assert "but what is kept has" in report.findings[0].found


def damage(path, table):
    """Fill a page of a table with nonsense, behind the back of everybody."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size + 8)
        file.write(b"\xde\xad\xbe\xef" * ((size - 8) // 4))


class TestDamage:
    """Only SQLite's file is ours to check."""

    @pytest.fixture
    def database(self, tmp_path):
        return f"sqlite:///{tmp_path}/nas.db"

    @pytest.mark.parametrize("table", ["trial_user_attributes", "trial_params"])
    def test_a_damaged_page_that_nobody_reads_is_found(self, studied, tmp_path, table):
        damage(tmp_path / "nas.db", table)

        report = examine(studied, "s")

        assert report.findings
        assert {finding.promise for finding in report.findings} == {"the database file is sound"}
        assert not any(finding.repairable for finding in report.findings)

    @pytest.mark.parametrize("table", ["trials", "nas_evaluations", "nas_studies"])
    def test_a_damaged_page_that_is_read_is_one_line_and_the_file_is_left_alone(self, studied, tmp_path, table):
        damage(tmp_path / "nas.db", table)
        before = (tmp_path / "nas.db").read_bytes()

        with pytest.raises(StoreError, match="the file is damaged; it was left as it is, restore it from a backup"):
            examine(studied, "s")

        assert (tmp_path / "nas.db").read_bytes() == before


def test_an_unknown_study_is_named(studied):
    with pytest.raises(InputError, match="unknown study 'z'"):
        examine(studied, "z")
    with pytest.raises(InputError, match="unknown study 'z'"):
        repair(studied, "z")


def test_the_processes_of_these_tests_are_not_driving(studied):
    assert examine(studied, "s").driven is False
    assert os.getpid() != 2**22 + 1
