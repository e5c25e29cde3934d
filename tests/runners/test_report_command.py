"""`nas report` as a person uses it: files, formats, what is never overwritten, what goes wrong."""

import json
import resource
import sqlite3

import pytest
from conftest import command
from evaluations import macs, share_of_conv3

from nas import Space, one_of, search


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A small study of candidates that are dicts, with random search beside it."""
    folder = tmp_path_factory.mktemp("studies")
    url = f"sqlite:///{folder}/nas.db"
    space = Space({f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(4)})
    for name, sampler in (("own", "evolution"), ("own.baseline", "random")):
        search(
            space, share_of_conv3, objectives=["accuracy:max"], costs=macs, constraints=["macs<=14"], trials=25,
            sampler=sampler, storage=url, study=name, runner="inline", epochs=(3, 3), checkpoints=folder,
        )  # fmt: skip
    return url


@pytest.fixture
def nas(capsys, monkeypatch, tmp_path, database):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_STORAGE", database)
    return command(capsys, monkeypatch)


def test_the_ending_of_the_file_says_what_is_written(nas, tmp_path):
    for name, begins in (("a.html", "<!DOCTYPE html>"), ("a.md", "<!-- mixer-nas report -->"), ("deep/a.json", "{")):
        code, out, err = nas("report", "own", "--to", name)

        assert (code, err) == (0, "")
        assert f"report of own in {name}" in out
        assert (tmp_path / name).read_text().startswith(begins)


def test_json_and_markdown_are_printed_without_a_file(nas):
    code, out, _ = nas("report", "own", "--format", "json")

    found = json.loads(out)
    assert code == 0
    assert found["headline"]["winner"]["value"]["kind"] == "none"
    assert [gain["over"] for gain in found["headline"]["gains"]] == ["random"]
    assert found["importance"]["r2"] is not None
    assert nas("report", "own", "--format", "md")[1].startswith("<!-- mixer-nas report -->")


def test_a_report_is_written_anew_but_another_file_only_by_force(nas, tmp_path):
    mine, notes = tmp_path / "r.html", tmp_path / "notes.md"
    notes.write_text("# mine\n")
    assert nas("report", "own", "--to", mine)[0] == nas("report", "own", "--to", mine)[0] == 0

    code, out, err = nas("report", "own", "--to", notes)

    assert (code, out) == (2, "")
    assert err == f"nas: --to {notes}: exists and is no report of ours; --force replaces it\n"
    assert notes.read_text() == "# mine\n"
    assert nas("report", "own", "--to", notes, "--force")[0] == 0
    assert "mixer-nas report" in notes.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.md", "r.html"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["own"], "--to FILE.html is needed; without it, --format md or --format json print the report"),
        (["own", "--format", "html"], "--format html: --to FILE.html is needed with it"),
        (["own", "--format", "pdf"], "--format pdf: html, md or json is expected"),
        (["own", "--to", "a.pdf"], "--to a.pdf: its ending does not say what it shall be"),
        (["own", "--to", "."], "its ending does not say"),
        (["own", "--to", ".", "--format", "md"], "--to .: a directory; a file is expected"),
        (["owm", "--to", "a.html"], "unknown study 'owm': did you mean own"),
        (["own", "--to", "a.html", "--storage", "sqlite:///none.db"], "there is no database"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(nas, tmp_path, arguments, told):
    code, out, err = nas("report", *arguments)

    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_a_database_that_another_program_holds_is_one_line(nas, tmp_path, database, monkeypatch):
    copy = tmp_path / "held.db"
    source = sqlite3.connect(database.removeprefix("sqlite:///"))
    holder = sqlite3.connect(copy)
    source.backup(holder)
    source.close()
    monkeypatch.setattr("nas.store.database.SQLITE_WAIT_S", 0.2)
    holder.execute("PRAGMA journal_mode=DELETE")
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")

    code, _, err = nas("report", "own", "--to", "a.html", "--storage", f"sqlite:///{copy}")

    assert code == 2
    assert "database is locked" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "a.html").exists()
    holder.close()


def test_a_file_that_cannot_be_written_leaves_the_old_one(nas, tmp_path):
    target = tmp_path / "r.html"
    nas("report", "own", "--to", target)
    before, limits = target.read_text(), resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, limits[1]))  # SQLite needs 32 KiB
    try:
        code, out, err = nas("report", "own", "--to", target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert (code, out, err) == (2, "", f"nas: cannot write {target}: File too large\n")
    assert target.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_a_device_is_written_to_as_it_is(nas):
    assert nas("report", "own", "--to", "/dev/null", "--format", "md")[0] == 0
    code, _, err = nas("report", "own", "--to", "/dev/full", "--format", "md")
    assert (code, err) == (2, "nas: cannot write /dev/full: No space left on device\n")
