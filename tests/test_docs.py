"""What the documents tell people to write works as they write it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nas.store.reading import read_study
from nas.trial import State

ROOT = Path(__file__).parent.parent


@pytest.fixture
def workshop(tmp_path):
    """A folder with the mixer of docs/mixers.md as shift.py, and a way to run commands in it."""
    text = (ROOT / "docs" / "mixers.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "shift.py").write_text(code)
    environment = {**os.environ, "NAS_MIXERS": "shift", "PYTHONPATH": str(ROOT), "NAS_STORAGE": "sqlite:///nas.db"}

    def run(*command, **more):
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_mixer_in_one_file_passes_its_own_test(workshop):
    done = workshop("pytest", "-q", "-p", "no:cacheprovider", "shift.py")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_it_is_seen_in_the_spaces(workshop):
    with_it = json.loads(workshop("nas", "spaces", "metaformer", "--resolution", "8", "--json").stdout)
    without = json.loads(workshop("nas", "spaces", "metaformer", "--resolution", "8", "--json", NAS_MIXERS="").stdout)

    def options(space):
        return {gene["path"]: gene["options"] for gene in space["genes"]}

    assert [*options(without)["stages.0.mixer"], "shift"] == options(with_it)["stages.0.mixer"]
    assert options(with_it)["stages.0.mixer.shift.step"] == [1, 2]


@pytest.mark.slow
def test_it_is_searched_kept_read_back_and_exported(workshop, tmp_path):
    block = {"mixer": {"kind": "shift", "step": 2}, "mlp_ratio": 2.0}
    stage = {"embedding": {"kernel": 3, "stride": 1, "padding": 1}, "width": 16, "blocks": [block]}
    second = {"embedding": {"kernel": 3, "stride": 2, "padding": 1}, "width": 32, "blocks": [block]}
    (tmp_path / "mine.json").write_text(json.dumps({"resolution": 8, "stages": [stage, second]}))

    searched = workshop(
        *("nas", "search", "--data", "digits", "--trials", "1", "--epochs", "1", "--workers", "1"),
        *("--start", "mine.json", "--study", "mine", "--export", "out", "--json"),
    )
    trials = workshop("nas", "trials", "mine", "--json")
    unknown = workshop("nas", "cost", "out/architecture.json", NAS_MIXERS="")

    assert searched.returncode == 0, searched.stderr
    (trial,) = json.loads(trials.stdout)
    assert trial["candidate"]["stages"][0]["blocks"][0]["mixer"] == {"kind": "shift", "step": 2}
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert unknown.returncode == 2
    assert "'shift' is unknown" in unknown.stderr
    assert "NAS_MIXERS" in unknown.stderr


def test_a_module_that_is_not_there_is_named(workshop):
    done = workshop("nas", "spaces", NAS_MIXERS="shitf")

    assert done.returncode == 2
    assert done.stderr.startswith("nas: NAS_MIXERS: module 'shitf' cannot be imported")


def test_the_commands_of_the_page_on_honesty_have_the_options_that_it_names(workshop):
    text = (ROOT / "docs" / "honesty.md").read_text()
    written = re.findall(r"^    nas (\w+) (.*)$", text, re.MULTILINE)

    assert {command for command, _ in written} == {"search", "confirm"}
    for command, arguments in written:
        shown = workshop("nas", command, "--help").stdout
        assert [option for option in re.findall(r"--[a-z-]+", arguments) if option not in shown] == []


@pytest.mark.soak
def test_the_ray_tune_script_runs_with_a_function_and_with_a_class_and_goes_on_when_run_again(tmp_path):
    text = (ROOT / "docs" / "tune.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "script.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}

    def run():
        return subprocess.run(
            [sys.executable, "script.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    first, second = run(), run()

    assert first.returncode == 0, first.stderr
    told = [line.split() for line in first.stdout.splitlines() if line.startswith(("train ", "Training "))]
    assert [(name, number, epochs) for name, number, epochs, _ in told] == [
        ("train", "9", "9"),
        ("Training", "9", "9"),
    ]
    for name in ("train", "Training"):
        trials = read_study(f"sqlite:///{tmp_path}/nas.db", name).trials
        assert {trial.state for trial in trials} == {State.COMPLETE, State.PRUNED}
        assert all([*trial.curve] == list(range(1, trial.epochs + 1)) for trial in trials)
    assert second.returncode == 0, second.stderr
    assert [line.split() for line in second.stdout.splitlines() if line.startswith(("train ", "Training "))] == told
