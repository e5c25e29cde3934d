"""The disk under a SQLite file: full, refusing to sync, damaged, replaced, or on another machine."""

import dataclasses
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from faults import ledger
from faults.driver import Search, said, started, wait_until
from faults.places import failing_fsync, fill, small_disk

from nas.errors import NasError, StoreError
from nas.store.database import connect

NAS = [sys.executable, "-c", "from nas.front import main; main()"]
HERE = Path(__file__).parent


def nas(folder, *arguments):
    """`nas search` with an evaluation that costs nothing."""
    options = ["--space", "faults.driver:SPACE", "--evaluate", "evaluations:share_of_conv3", "--runner", "inline"]
    options += ["--sampler", "random", "--study", "s", "--epochs", "4", "--checkpoints", str(folder / "checkpoints")]
    paths = [str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [*NAS, "search", *options, *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=folder, timeout=120
    )


# -- full -------------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_clear_line_and_the_same_command_goes_on_once_there_is_room(tmp_path):
    with small_disk("2m", tmp_path / "disk") as disk:
        search = Search(f"sqlite:///{disk}/nas.db", tmp_path, trials=12)
        first = nas(tmp_path, "--storage", search.url, "--trials", "2")
        assert first.returncode == 0, first.stderr
        filler = fill(disk)

        full = nas(tmp_path, "--storage", search.url, "--trials", "12")
        filler.unlink()
        freed = nas(tmp_path, "--storage", search.url, "--trials", "12")

        assert full.returncode == 2
        assert full.stderr.count("disk full") == 1, full.stderr
        assert "free some space and run the same command again" in full.stderr
        assert "Traceback" not in full.stderr
        assert freed.returncode == 0, freed.stderr
        assert ledger.faults(search) == []


def test_a_disk_that_fills_while_a_search_runs_ends_it_and_loses_no_written_result(tmp_path):
    with small_disk("2m", tmp_path / "disk") as disk:
        search = Search(f"sqlite:///{disk}/nas.db", tmp_path, trials=12, runner="local", workers=2, seconds=0.3)
        process = started(search)
        wait_until(search.evaluated)
        wait_until(lambda: ledger.complete(search))
        filler = fill(disk)
        process.join(30)
        words = said(search)
        filler.unlink()
        there = ledger.complete(search)
        before = len(search.read_notes())
        search.run()
        again = {note["trial"] for note in search.read_notes()[before:] if note["event"] == "done"}

        assert process.exitcode == 2, words
        assert "disk full" in words
        assert "Traceback" not in words
        assert there
        assert there.isdisjoint(again)
        assert ledger.faults(search) == []


def test_a_disk_that_is_full_from_the_start_is_one_clear_line_and_then_a_search(tmp_path):
    with small_disk("1m", tmp_path / "disk") as disk:
        search = Search(f"sqlite:///{disk}/nas.db", tmp_path)
        filler = fill(disk, leave=30_000)
        with pytest.raises(StoreError, match="disk full"):
            search.run()
        filler.unlink()
        search.run()

        assert ledger.faults(search) == []


# -- fsync ------------------------------------------------------------------------------------------------------------

SYNCED = """
    import os, sys
    from pathlib import Path
    from faults.driver import Search
    from nas.errors import NasError

    search = Search(sys.argv[1], Path(sys.argv[2]), trials=6)
    told = Path(sys.argv[2]) / "told"

    def look(study):
        if not study.pending:
            told.write_text(" ".join(str(trial.number) for trial in study.finished))

    try:
        search.run(watch=look)
    except NasError as error:
        os.write(2, f"nas: {error}\\n".encode())
        os._exit(2)  # as a crash would: nothing is closed in order
    os._exit(0)
"""


@pytest.mark.parametrize("when", ["6+", "9+"])
def test_a_result_whose_sync_failed_is_not_told_to_anybody_and_the_search_ends_with_one_line(when, tmp_path):
    connect(f"sqlite:///{tmp_path}/nas.db", create=True).dispose()
    search = Search(f"sqlite:///{tmp_path}/nas.db", tmp_path, trials=6)
    script = [sys.executable, "-c", textwrap.dedent(SYNCED), search.url, str(tmp_path)]
    paths = [str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        failing_fsync(script, when),
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        timeout=120,
    )
    file = tmp_path / "told"
    told = {int(number) for number in file.read_text().split()} if file.exists() else set()

    assert done.returncode == 2, done.stderr
    assert "disk I/O error" in done.stderr
    assert "Traceback" not in done.stderr
    assert told <= ledger.complete(search)
    before = len(search.read_notes())
    search.run()
    again = {note["trial"] for note in search.read_notes()[before:] if note["event"] == "done"}
    assert told.isdisjoint(again)
    assert ledger.faults(search) == []


# -- damaged ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished study in one sound file."""
    folder = tmp_path_factory.mktemp("whole")
    Search(f"sqlite:///{folder}/nas.db", folder).run()
    assert not (folder / "nas.db-wal").exists()
    return folder / "nas.db"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refused(path, folder, trials=4, *, kept_open=False):
    """What a search says of a file that it refuses; None where it goes on. The bytes of a refused file stay."""
    before, word = digest(path), None
    search = Search(f"sqlite:///{path}", folder, trials=trials)
    try:
        search.run()
    except NasError as error:
        word = str(error)
    if word is None:
        assert ledger.faults(search) == []
    else:
        assert kept_open or digest(path) == before, f"{word}: the file was changed"
        assert str(path) in word
        assert "\n" not in word
    return word


@pytest.mark.parametrize("share", range(1, 20))
def test_a_file_that_ends_too_early_is_refused_with_its_name_and_left_as_it_is(whole, share, tmp_path):
    file = tmp_path / "nas.db"
    shutil.copy(whole, file)
    os.truncate(file, whole.stat().st_size * share // 20 + share % 2)

    word = refused(file, tmp_path)

    assert "restore it" in word


def test_an_empty_file_is_refused_and_stays_empty(tmp_path):
    (tmp_path / "nas.db").touch()

    assert "the file is empty, as a damaged one may be; restore it" in refused(tmp_path / "nas.db", tmp_path)


@pytest.mark.parametrize("content", [b"my thesis", b"PK\x03\x04" + b"\0" * 8000, b"\0" * 4096])
def test_a_file_of_something_else_is_refused_and_left_as_it_is(content, tmp_path):
    (tmp_path / "nas.db").write_bytes(content)

    assert "not a database" in refused(tmp_path / "nas.db", tmp_path)


def places(path):
    """Where to flip a byte: the magic, the page size, the root page, a table's page, and one that nothing uses."""
    with sqlite3.connect(path) as db:
        roots = dict(db.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"))
        (size,) = db.execute("PRAGMA page_size").fetchone()
    data = path.read_bytes()
    unused = roots["nas_studies"] * size - size + 12  # behind the cell pointers of a page with one row
    return {
        "magic": 3,
        "page size": 16,
        "schema": 100,
        "trials": (roots["trials"] - 1) * size,
        "evaluations": (roots["nas_evaluations"] - 1) * size,
        "text": data.rindex(b'{"accuracy":'),
        "brace": data.rindex(b'{"accuracy":'),
        "unused": unused,
    }


@pytest.mark.parametrize(
    "place",
    [
        "magic",
        "page size",
        "schema",
        "trials",
        "evaluations",
        "text",
        "brace",
        "unused",
    ],
)
def test_a_file_with_one_wrong_byte_is_refused_in_one_line_or_works(whole, place, tmp_path):
    file = tmp_path / "nas.db"
    data = bytearray(whole.read_bytes())
    data[places(whole)[place]] ^= 0x20 if place == "brace" else 0xFF
    file.write_bytes(data)

    word = refused(file, tmp_path, kept_open=place in {"text", "brace"})  # of a sound file, in which a text is not

    assert (word is None) == (place == "unused"), word


# -- replaced ---------------------------------------------------------------------------------------------------------


def running(tmp_path):
    search = Search(f"sqlite:///{tmp_path}/nas.db", tmp_path, trials=8, runner="local", workers=2, seconds=0.5)
    process = started(search)
    wait_until(search.evaluated)
    wait_until(lambda: ledger.complete(search))
    return search, process


def backed_up(search, folder):
    """A backup of the database as SQLite makes it, while the search runs."""
    with sqlite3.connect(folder / "nas.db") as source, sqlite3.connect(folder / "backup.db") as copy:
        source.backup(copy)
    source.close()
    copy.close()
    return folder / "backup.db"


def test_a_backup_that_is_put_back_while_a_search_runs_ends_it_and_the_next_start_goes_on_from_it(tmp_path):
    search, process = running(tmp_path)
    backup = backed_up(search, tmp_path)
    kept = {trial.number for trial in ledger.trials(dataclasses.replace(search, url=f"sqlite:///{backup}"))}
    wait_until(lambda: len(search.evaluated()) >= 4)
    backup.replace(tmp_path / "nas.db")
    process.join(30)
    words = said(search)

    search.run()

    assert process.exitcode == 2, words
    assert "its file was deleted or replaced while the search ran" in words
    assert "the same command goes on" in words
    assert "Traceback" not in words
    assert len(kept) >= 2
    assert ledger.faults(search) == []


def test_a_database_that_is_set_back_in_place_ends_the_search_and_the_next_start_goes_on(database, tmp_path):
    """As a server does that is restored to an earlier moment: the count of batches is the fence."""
    search = Search(database, tmp_path, trials=8, runner="local", workers=2, seconds=0.5)
    process = started(search)
    wait_until(search.evaluated)
    wait_until(lambda: ledger.complete(search))
    ledger.rows(database, "UPDATE nas_studies SET written = written - 1")
    process.join(30)
    words = said(search)
    search.run()

    assert process.exitcode == 2, words
    assert "the database went back to an earlier state" in words
    assert "Traceback" not in words
    assert ledger.faults(search) == []


def test_a_file_that_is_deleted_while_a_search_runs_ends_it_and_is_not_made_again(tmp_path):
    search, process = running(tmp_path)
    for path in tmp_path.glob("nas.db*"):
        path.unlink()
    process.join(30)
    words = said(search)
    left = list(tmp_path.glob("nas.db*"))

    assert process.exitcode == 2, words
    assert "its file was deleted or replaced" in words
    assert "Traceback" not in words
    assert left == []


# -- elsewhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "lustre", "fuse.sshfs", "9p", "gpfs", "glusterfs"])
def test_a_network_file_system_is_refused_with_the_reason_before_anything_is_written(kind, tmp_path, monkeypatch):
    """A real one needs a server and rights that CI has not: what is faked is the text of /proc/mounts."""
    really = Path.read_text
    mounts = f"/dev/vda / ext4 rw 0 0\nhost:/x {tmp_path} {kind} rw 0 0\nproc /proc proc rw 0 0\n"

    def read_text(path, *arguments, **more):
        return mounts if str(path) == "/proc/mounts" else really(path, *arguments, **more)

    monkeypatch.setattr(Path, "read_text", read_text)

    with pytest.raises(StoreError, match=rf"not safe on a network file system \({kind}\); use PostgreSQL"):
        Search(f"sqlite:///{tmp_path}/nas.db", tmp_path).run()
    assert not (tmp_path / "nas.db").exists()
