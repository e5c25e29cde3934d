"""The command line as a person uses it: real commands on real data, and one clear line for bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NAS = [sys.executable, "-m", "nas"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory, _own_cache):
    """A directory in which a small search on the digits was run to its end, through the installed command."""
    folder = tmp_path_factory.mktemp("searched")
    command = [
        *NAS, "search", "--data", "digits", "--limit", "params<=3e4", "--limit", "macs<=1e6", "--objective", "accuracy:max",
        "--objective", "macs:min", "--trials", "4", "--epochs", "2", "--workers", "2", "--export", "exports/best", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_a_search_on_the_digits_ends_with_a_front_an_export_and_a_report_of_every_trial(searched):
    folder, told, progress = searched

    assert (told["study"], told["complete"], told["failed"]) == ("metaformer-digits", 4, 0)
    assert all(trial["metrics"]["params"] <= 3e4 and trial["metrics"]["macs"] <= 1e6 for trial in told["pareto"])
    assert 0 < told["export"]["metrics"]["test"]["accuracy"] <= 1
    assert {path.name for path in (folder / "exports" / "best").iterdir()} == {
        "README.md", "architecture.json", "architecture.svg", "export.json", "metrics.json", "model.py",
        "model.safetensors", "preprocess.json",
    }  # fmt: skip
    assert "1,079 training and 359 validation images of 8x8" in progress
    assert progress.count("\ntrial ") == 4


def test_status_best_and_trials_tell_what_the_search_did(nas, searched):
    folder, told, _ = searched
    os.chdir(folder)

    code, out, _ = nas("status", "metaformer-digits", "--storage", f"sqlite:///{folder}/nas.db", "--json")
    assert code == 0
    assert json.loads(out)["complete"] == 4
    assert json.loads(out)["driver"] is None
    code, out, _ = nas("best", "metaformer-digits", "--storage", f"sqlite:///{folder}/nas.db", "--json")
    assert [trial["number"] for trial in json.loads(out)] == [trial["number"] for trial in told["pareto"]]
    code, out, _ = nas("trials", "metaformer-digits", "--storage", f"sqlite:///{folder}/nas.db")
    assert code == 0
    assert "trials of metaformer-digits" in out
    code, out, _ = nas("status", "metaformer-digits", "--storage", f"sqlite:///{folder}/nas.db")
    assert "4 complete" in out
    assert "nobody drives it now" in out


def test_best_draws_its_table_as_a_picture(nas, searched, tmp_path):
    folder, _, _ = searched

    code, _, _ = nas(
        "best", "metaformer-digits", "--storage", f"sqlite:///{folder}/nas.db", "--svg", tmp_path / "best.svg"
    )

    assert code == 0
    assert (tmp_path / "best.svg").read_text().startswith("<svg")


def test_export_writes_another_trial_and_recomputes_its_accuracy(nas, searched, tmp_path):
    folder, told, _ = searched
    number, url = told["pareto"][-1]["number"], f"sqlite:///{folder}/nas.db"

    code, out, _ = nas(
        *("export", "metaformer-digits", "--to", tmp_path / "m", "--trial", number, "--format", "safetensors"),
        *("--storage", url, "--json"),
    )

    assert code == 0
    body = json.loads(out)
    assert body["trial"] == number
    assert body["metrics"]["validation"]["accuracy"] == told["pareto"][-1]["metrics"]["accuracy"]
    assert nas("export", "metaformer-digits", "--to", tmp_path / "m", "--storage", url)[0] == 2


def test_the_same_command_again_has_nothing_left_to_do_and_keeps_what_is_there(searched):
    folder, told, _ = searched
    command = [*NAS, "search", "--limit", "params<=3e4", "--limit", "macs<=1e6", "--objective", "accuracy:max"]
    command += ["--objective", "macs:min", "--trials", "4", "--epochs", "2", "--workers", "2", "--json"]

    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120)

    again = json.loads(done.stdout)
    assert [trial["number"] for trial in again["pareto"]] == [trial["number"] for trial in told["pareto"]]
    assert "going on with 4 trials done" in done.stderr


BAD = [
    (["search", "--space", "cvtt"], "unknown space 'cvtt': did you mean cvt"),
    (["search", "--space", "nowhere:space"], "--space nowhere:space: cannot import 'nowhere'"),
    (["search", "--space", "json:loads"], "--space json:loads: a nas.Space, or a function of the resolution"),
    (
        ["search", "--data", "digit"],
        "unknown data set 'digit'; known: digits, hf:HUB_ID_OR_DIRECTORY, folder:DIRECTORY",
    ),
    (["search", "--data", "folder:none"], "data 'folder:none': there is no directory none"),
    (["search", "--data", "folder:empty"], "data 'folder:empty' holds no images"),
    (["search", "--data", "folder:corrupt"], "corrupt image: "),
    (["search", "--objective", "accuracy"], "objective 'accuracy': NAME:max or NAME:min is expected"),
    (
        ["search", "--objective", "fps:max", "--trials", "1"],
        "objective 'fps': the built-in training measures accuracy, loss",
    ),
    (["search", "--limit", "params<2e6"], "limit 'params<2e6': NAME<=NUMBER or NAME>=NUMBER is expected"),
    (
        ["search", "--limit", "acuracy>=0.9"],
        "limit 'acuracy>=0.9': the built-in training measures accuracy, loss, params, macs, activation_bytes",
    ),
    (["search", "--limit", "params<=100"], "no architecture found within params<=100; the nearest has params="),
    (["search", "--gpus-per-trial", "1"], "--gpus-per-trial 1: this machine has 0 GPU(s)"),
    (["search", "--storage", "sqlite:////nowhere/nas.db"], "there is no directory /nowhere"),
    (["search", "--storage", "sqlite:///directory"], "database sqlite:///directory: "),
    (["search", "--storage", "postgresql+psycopg://u:secret@h/d"], "put it into NAS_STORAGE instead"),
    (["search", "--storage", "oracle"], "the storage is no database URL"),
    (["search", "--sampler", "grid"], "unknown sampler 'grid'"),
    (["search", "--runner", "slurm"], "unknown runner 'slurm'"),
    (["search", "--address", "auto"], "--address auto: only --runner ray connects to a cluster"),
    (["search", "--address", "auto", "--dry-run"], "--address auto: only --runner ray connects to a cluster"),
    (["search", "--gpus-per-trial", "1.5"], "--gpus-per-trial 1.5: a share of one GPU, 0.0001 at least, or whole ones"),
    (["search", "--epochs", "9:3"], "epochs '9:3': MIN:MAX"),
    (["search", "--trials", "0"], "trials: input should be greater than or equal to 1, not 0"),
    (["search", "--workers", "0"], "workers: input should be greater than or equal to 1"),
    (["search", "--trial-timeout", "0"], "trial_timeout: input should be greater than 0"),
    (
        ["search", "--trial-timeout", "9", "--runner", "inline"],
        "the inline runner cannot end an evaluation; use local or ray",
    ),
    (["search", "--subset", "0"], "subset: input should be greater than 0"),
    (["search", "--augment", "mixup"], "unknown augmentation 'mixup'"),
    (["search", "--study", "a/b"], "study name 'a/b'"),
    (["search", "--start", "cvt-14"], "unknown architecture 'cvt-14': did you mean cvt-"),
    (["search", "none.toml"], "none.toml: No such file or directory"),
    (["search", "bad.toml"], "bad.toml: unknown key 'trails'; did you mean trials?"),
    (["search", "twice.toml"], "twice.toml: not TOML"),
    (["search", "--fast"], "No such option"),
    (["serach"], "No such command 'serach'"),
    (["status", "none"], "there is no database "),
    (["cost", "cvt13"], "unknown architecture 'cvt13': did you mean cvt-13"),
    (["cost", "cvt-13", "--resolution", "2"], "cvt-13 does not take 2 pixels: stages[0].embedding"),
    (["cost", "bad.json"], "bad.json: stages[0].blocks[0].mixer.size: 2 is even"),
    (["spaces", "cvt", "--resolution", "2000"], "the space 'cvt' takes inputs of 4 to 1024 pixels, not 2000"),
    (["dashboard"], "there is no database "),
]


@pytest.mark.parametrize(("arguments", "told"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2_and_makes_nothing(nas, tmp_path, arguments, told):
    (tmp_path / "bad.toml").write_text("trails = 3\n")
    (tmp_path / "twice.toml").write_text("trials = 3\ntrials = 4\n")
    mixer = {"kind": "pooling", "size": 2}
    stage = {"embedding": {"kernel": 3, "stride": 1, "padding": 1}, "width": 8, "blocks": [{"mixer": mixer}]}
    (tmp_path / "bad.json").write_text(json.dumps({"resolution": 8, "stages": [stage]}))
    (tmp_path / "empty").mkdir()
    (tmp_path / "directory").mkdir()
    for name in "ab":
        (tmp_path / "corrupt" / name).mkdir(parents=True)
        for index in range(5):
            Image.fromarray(np.full((8, 8), index, np.uint8)).save(tmp_path / "corrupt" / name / f"{index}.png")
    (tmp_path / "corrupt" / "a" / "bad.png").write_bytes(b"no image")
    before = sorted(path.name for path in tmp_path.iterdir())

    code, out, err = nas(*arguments)

    assert code == 2
    assert told in err
    assert err.strip().splitlines()[-1].startswith("nas: ")
    assert "Traceback" not in err
    assert out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_dry_run_says_size_feasible_share_and_time_and_writes_nothing(nas, tmp_path):
    code, out, _ = nas("search", "--dry-run", "--limit", "params<=1e5", "--epochs", "3", "--json")

    facts = json.loads(out)
    assert code == 0
    assert facts["candidates"] > 1e6
    assert 0 < facts["feasible_share"] < 1
    assert facts["trial_seconds"] > 0
    assert facts["ranges"]["params"][0] < 1e5 < facts["ranges"]["params"][1]
    assert list(tmp_path.iterdir()) == []


def test_a_users_own_evaluation_in_the_working_directory_is_searched(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import nas\n"
        "space = nas.Space({'depth': nas.int_range(1, 6), 'kernel': nas.one_of(3, 5)})\n"
        "def evaluate(candidate, budget, report):\n    return {'score': candidate['depth'] / candidate['kernel']}\n"
        "def costs(candidate):\n    return {'params': candidate['depth'] * 10}\n"
    )
    command = [
        *NAS,
        "search",
        "--space",
        "mine:space",
        "--evaluate",
        "mine:evaluate",
        "--costs",
        "mine:costs",
        "--sampler",
        "random",
    ]
    command += ["--objective", "score:max", "--limit", "params<=40", "--trials", "50", "--workers", "1", "--json"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["best"]["candidate"] == {"depth": 4, "kernel": 3}
    assert told["complete"] == 8
    assert told["exhausted"]


def test_a_search_in_which_nothing_succeeds_is_exit_code_1(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import nas\nspace = nas.Space({'depth': nas.int_range(1, 6)})\ndef evaluate(candidate, budget, report):\n    raise RuntimeError('no')\n"
    )
    command = [*NAS, "search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--objective", "score:max"]

    done = subprocess.run(
        [*command, "--trials", "2", "--runner", "inline", "--sampler", "random"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "trial 0 failed: RuntimeError: no" in done.stderr


@pytest.mark.soak_when("2-130")
@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
@pytest.mark.slow
def test_an_interrupted_search_leaves_a_study_that_the_same_command_finishes(tmp_path, number, code):
    command = [
        *NAS,
        "search",
        "--limit",
        "params<=3e4",
        "--limit",
        "macs<=1e6",
        "--trials",
        "4",
        "--epochs",
        "1:3",
        "--workers",
        "2",
    ]
    running = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - background jobs ignore it
    )  # fmt: skip
    for line in running.stderr:
        if line.startswith("trial "):
            break
    running.send_signal(number)
    rest = running.stderr.read()
    running.wait(timeout=30)
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)

    done = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)

    assert running.returncode == code
    assert "the same command goes on from there" in rest
    assert left.stdout == ""
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["complete"] > 0, told["complete"] + told["pruned"]) == (True, 4)


@pytest.mark.soak
def test_a_killed_driver_takes_its_workers_with_it_and_the_search_is_resumed(tmp_path):
    command = [
        *NAS,
        "search",
        "--limit",
        "params<=3e4",
        "--limit",
        "macs<=1e6",
        "--trials",
        "3",
        "--epochs",
        "1:3",
        "--workers",
        "2",
    ]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for line in running.stderr:
        if line.startswith("trial "):
            break
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    running.kill()
    running.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(Path(f"/proc/{child}/cmdline").exists() for child in children):
        time.sleep(0.1)

    assert children
    assert not [child for child in children if Path(f"/proc/{child}/cmdline").exists()]
    done = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["complete"] > 0, told["complete"] + told["pruned"]) == (True, 3)


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    command = f"{sys.executable} -m nas spaces | head -1"

    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_help_teaches_every_command_and_loads_neither_torch_nor_optuna():
    script = "import sys; sys.argv = ['nas', 'search', '--help']\nfrom runners import cli\n"
    script += "try:\n    cli.main()\nexcept SystemExit:\n    pass\nprint([name for name in ('torch', 'optuna', 'ray', 'sqlalchemy') if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip().endswith("[]")
    assert "what breaks it is never trained" in " ".join(done.stdout.split())
