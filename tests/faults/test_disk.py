"""Full disks, real ones: what was there stays whole, nothing half-written is left, and the reason is told."""

import json
import os
import subprocess
import sys

import evaluations
import pytest
import torch
from conftest import command, require

from nas import checkpoint
from nas.jobs import Budget, Failed, Job
from runners.evaluation import evaluate_job

NAS = [sys.executable, "-m", "nas"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    require(os.geteuid() == 0, "root, to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    require(mounted.returncode == 0, "the right to mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(scope="module")
def searched(tmp_path_factory, _own_cache):
    """A directory with a study of one trained network."""
    folder = tmp_path_factory.mktemp("searched")
    search = [*NAS, "search", "--limit", "params<=2e4", "--trials", "1", "--epochs", "1", "--runner", "inline"]
    subprocess.run(search, cwd=folder, capture_output=True, check=True, timeout=120)
    return folder


def job(folder):
    folder.mkdir(exist_ok=True)
    return Job(0, 1, (0, 0, 0, 0), Budget(0, 1, 0, "cpu", str(folder)))


@pytest.mark.parametrize("numbers", [200_000, 300_000, 2_000_000])
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_it_whole_and_nothing_else(small_disk, numbers):
    checkpoint.save(small_disk, {"epoch": 1, "weights": torch.ones(1000)})

    with pytest.raises(OSError, match="No space left on device"):
        checkpoint.save(small_disk, {"epoch": 2, "weights": torch.ones(numbers), "average": torch.ones(numbers)})

    assert [path.name for path in small_disk.iterdir()] == [checkpoint.STATE]
    assert checkpoint.load(small_disk)["epoch"] == 1
    checkpoint.save(small_disk, {"epoch": 2, "weights": torch.ones(1000)})
    assert checkpoint.load(small_disk)["epoch"] == 2


def test_a_checkpoint_over_the_limit_of_a_file_leaves_the_one_before_it_whole(tmp_path):
    script = (
        "import resource, signal, sys, torch\nfrom pathlib import Path\nfrom nas import checkpoint\n"
        "folder = Path(sys.argv[1])\ncheckpoint.save(folder, {'epoch': 1})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    checkpoint.save(folder, {'epoch': 2, 'weights': torch.zeros(100_000)})\n"
        "except OSError as error:\n    print(error.strerror)\n"
    )

    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)

    assert done.stdout == "File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.STATE]
    assert checkpoint.load(tmp_path) == {"epoch": 1}


@pytest.mark.parametrize("evaluate", [evaluations.keeps_much, evaluations.wraps_a_full_disk])
def test_an_evaluation_on_a_full_disk_fails_as_such_and_is_worth_one_more_attempt(small_disk, evaluate):
    events = []

    evaluate_job(evaluations.space, evaluate, job(small_disk / "0"), events.append)

    (failed,) = events
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("disk full: No space left on device")
    assert failed.again


def test_other_failures_are_not_worth_another_attempt(tmp_path):
    events = []

    evaluate_job(evaluations.space, evaluations.returns_nan, job(tmp_path / "0"), events.append)

    assert [event.again for event in events] == [False]


@pytest.mark.soak_when("onnx", "pt2")
@pytest.mark.parametrize(
    ("form", "full_at"),
    [
        ("safetensors", "export.json"),
        ("safetensors", "model.safetensors"),
        ("onnx", "model.onnx"),
        ("pt2", "model.pt2"),
    ],
)
@pytest.mark.slow
def test_an_export_onto_a_full_disk_is_one_line_and_leaves_the_old_export_and_nothing_half_written(
    searched, small_disk, form, full_at, capsys, monkeypatch
):
    nas = command(capsys, monkeypatch)
    monkeypatch.chdir(searched)
    arguments = ["export", "metaformer-digits", "--to", small_disk / "model", "--force", "--format", form]
    assert nas(*arguments)[0] == 0
    before = {path.name: path.read_bytes() for path in (small_disk / "model").iterdir()}
    left = os.statvfs(small_disk)
    pages = sum(-(-len(content) // left.f_frsize) for name, content in before.items() if name != full_at)
    free = 0 if full_at == "export.json" else (pages + 2) * left.f_frsize
    (small_disk / "filler").write_bytes(bytes(left.f_bavail * left.f_frsize - free))

    code, out, err = nas(*arguments)

    assert code == 2, out
    assert err.startswith(f"nas: cannot write {small_disk / 'model'}: ")
    assert "No space left on device" in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "model"]
    assert {path.name: path.read_bytes() for path in (small_disk / "model").iterdir()} == before
    assert json.loads(before["export.json"])["study"] == "metaformer-digits"
