"""The folder of an export: what may be replaced, what its name may be, and that a failure leaves what was there."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from networks import network, stage

from nas.errors import ExportError, InputError
from nas.export import check_target, load_exported, write_model
from nas.export.folder import LONGEST, whole
from nas.mixers import Identity
from nas.model import build


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(network(stage(Identity(), width=8), resolution=8), in_channels=3, num_classes=2).eval()


FACTS = {"network": "n", "classes": ["0", "1"], "channels": 3, "resolution": 8}


def names(folder):
    return [path.name for path in folder.iterdir()]


def path_of(handle):
    return Path(f"/proc/self/fd/{handle}").readlink()


def everything(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("name", ["..", "a/..", ".", "", "/", "a\0b", "x" * (LONGEST + 1), "\u00e9" * LONGEST])
def test_what_is_no_name_of_a_folder_is_refused_and_nothing_is_written(name, model, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = everything(tmp_path)

    with pytest.raises(InputError):
        write_model(model, FACTS, Path(name), force=True)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("to", ["export", "nothing", "file"])
def test_a_link_is_never_written_through(to, model, tmp_path):
    write_model(model, FACTS, tmp_path / "export")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / to)
    before = everything(tmp_path)

    with pytest.raises(InputError, match="is a link; name the folder itself"):
        write_model(model, FACTS, tmp_path / "link", force=True)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("also", ["thesis.tex", ".git", "model.bin"])
def test_a_folder_that_holds_anything_else_is_no_export_of_ours(also, model, tmp_path):
    write_model(model, FACTS, tmp_path / "m")
    (tmp_path / "m" / also).write_text("mine")

    with pytest.raises(InputError, match="exists and is no export of ours"):
        check_target(tmp_path / "m", force=True)


@pytest.mark.parametrize("facts", ["[]", "{}", "null", "{", "7"])
def test_nor_is_one_whose_facts_are_somebody_elses(facts, model, tmp_path):
    write_model(model, FACTS, tmp_path / "m")
    (tmp_path / "m" / "export.json").write_text(facts)

    with pytest.raises(InputError, match="is no export of ours"):
        check_target(tmp_path / "m", force=True)
    with pytest.raises(InputError, match="is no export of mixer-nas"):
        load_exported(tmp_path / "m")


def test_what_using_it_leaves_behind_does_not_hinder_replacing_it(model, tmp_path):
    write_model(model, FACTS, tmp_path / "m")
    (tmp_path / "m" / "__pycache__").mkdir()

    write_model(model, FACTS, tmp_path / "m", force=True)

    assert "__pycache__" not in names(tmp_path / "m")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_full_or_failing_disk_leaves_the_old_export_and_no_remains(error, model, tmp_path, monkeypatch):
    write_model(model, FACTS, tmp_path / "m")
    before = everything(tmp_path)

    def fail(_handle):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(ExportError, match=rf"cannot write .*{os.strerror(error)}"):
        write_model(model, {**FACTS, "network": "other"}, tmp_path / "m", force=True)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("replaced", [True, False])
def test_a_name_that_does_not_reach_the_disk_is_taken_back(replaced, model, tmp_path, monkeypatch):
    if replaced:
        write_model(model, FACTS, tmp_path / "m")
    before, fsync = everything(tmp_path), os.fsync

    def fail_for_parent(handle):
        if path_of(handle) == tmp_path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fail_for_parent)

    with pytest.raises(ExportError, match="Input/output error"):
        write_model(model, {**FACTS, "network": "other"}, tmp_path / "m", force=True)
    assert everything(tmp_path) == before


def test_where_the_new_one_cannot_take_its_place_the_old_one_comes_back(model, tmp_path, monkeypatch):
    write_model(model, FACTS, tmp_path / "m")
    before = everything(tmp_path)
    rename, calls = Path.rename, []

    def second_fails(self, to):
        calls.append(to)
        if len(calls) == 2:
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", second_fails)

    with pytest.raises(ExportError, match="Permission denied"):
        write_model(model, FACTS, tmp_path / "m", force=True)
    assert everything(tmp_path) == before


def test_everything_is_on_the_disk_before_it_gets_its_name(model, tmp_path, monkeypatch):
    order = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append(path_of(handle)), fsync(handle)))
    monkeypatch.setattr(Path, "rename", lambda self, to: (order.append("rename"), rename(self, to))[1])

    write_model(model, FACTS, tmp_path / "m")

    synced = {path.name for path in order[: order.index("rename")]}
    assert set(names(tmp_path / "m")) < synced  # and the folder itself
    assert order[-1] == tmp_path


def test_a_killed_write_leaves_no_folder_of_the_name(model, tmp_path):
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom nas.export.folder import whole\n"
        "with whole(Path(sys.argv[1]), force=False) as scratch:\n    (scratch / 'export.json').write_text('{}')\n    os.kill(os.getpid(), 9)\n"
    )

    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "m")], capture_output=True, check=False)

    assert done.returncode == -9
    assert not (tmp_path / "m").exists()


def test_others_may_read_what_was_written(model, tmp_path):
    write_model(model, FACTS, tmp_path / "m")

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "m").iterdir()}
    assert set(modes.values()) == {0o644}
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o755


def test_an_error_inside_leaves_nothing(tmp_path):
    def fail():
        with whole(tmp_path / "m", force=True) as scratch:
            (scratch / "half").write_text("")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_appeared_while_an_export_was_written_is_left_alone(tmp_path):
    def meanwhile():
        with whole(tmp_path / "m", force=False) as scratch:
            (scratch / "export.json").write_text("{}")
            (tmp_path / "m").mkdir()
            (tmp_path / "m" / "thesis.txt").write_text("mine")

    with pytest.raises(InputError, match="exists"):
        meanwhile()
    assert [path.name for path in tmp_path.rglob("*")] == ["m", "thesis.txt"]
