"""`nas retrain` as a person uses it: found and published networks trained fully."""

import io
import json
import re
import signal
import subprocess
import sys

import pytest
from conftest import command
from rich.console import Console

from nas import checkpoint
from nas.config import read_config
from nas.store.reading import read_study
from nas.trial import State
from runners.search_command import run_search

SEARCH = {"data": "digits", "limits": ["params<=1e4"], "trials": 4, "epochs": "1", "runner": "inline",
          "sampler": "random", "study": "s", "batch_size": 64}  # fmt: skip
QUICK = ["--runner", "inline", "--batch-size", "256", "--json"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory, _own_cache):
    """A folder with a study of four trials and the checkpoints of its best."""
    folder = tmp_path_factory.mktemp("searched")
    quiet = Console(file=io.StringIO())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_search(read_config(None, SEARCH), svg=None, as_json=False, out=quiet, err=quiet) == 0
    return folder


@pytest.fixture
def nas(capsys, monkeypatch, searched):
    monkeypatch.chdir(searched)
    return command(capsys, monkeypatch)


def study(searched, name):
    return read_study(f"sqlite:///{searched}/nas.db", name)


def test_the_best_is_trained_fully_measured_on_the_test_images_and_exported(nas, searched):
    code, out, err = nas("retrain", "s", "--epochs", "2", *QUICK, "--export", "model")
    told = json.loads(out)

    assert code == 0, err
    (network,) = told["networks"]
    best = max(study(searched, "s").trials, key=lambda trial: trial.metrics["accuracy"])
    assert network["trial"] == best.number
    assert network["search"] == best.metrics["accuracy"]
    (training,) = network["trainings"]
    low, high = training["wilson"]
    assert low < training["test_accuracy"] < high
    assert told["export"]["metrics"]["test"]["accuracy"] == pytest.approx(training["test_accuracy"])
    assert (told["recipe"]["name"], told["recipe"]["schedule"], told["recipe"]["epochs"]) == ("small", "cosine", 2)
    (trial,) = study(searched, "s.retrain").trials
    assert [*trial.curve] == [1, 2]
    assert trial.metrics["params"] == best.metrics["params"]
    assert (searched / "model" / "model.safetensors").exists()


def test_the_study_of_trainings_is_one_for_every_command_that_looks(nas, searched):
    assert nas("retrain", "s", "--epochs", "1", *QUICK, "--study", "looked-at")[0] == 0

    best = nas("best", "looked-at")
    exported = nas("export", "looked-at", "--to", "exported", "--json")
    examined = nas("doctor", "looked-at")
    again = nas("retrain", "looked-at", "--epochs", "1")

    assert best[0] == exported[0] == examined[0] == 0, exported[2]
    assert "seed 0" in best[1]
    assert json.loads(exported[1])["metrics"]["test"]["accuracy"] > 0
    assert again[0] == 2
    assert "holds what `nas retrain` trained of 's'; name that one" in again[2]


def test_networks_and_seeds_are_added_and_what_is_done_stays_done(nas, searched):
    first = nas("retrain", "s", "--epochs", "1", "--top", "2", *QUICK, "--study", "grows")
    second = nas("retrain", "s", "--epochs", "1", "--top", "3", "--seeds", "2", *QUICK, "--study", "grows")
    told = json.loads(second[1])

    assert "2 of 2 trainings are new" in first[2]
    assert "4 of 6 trainings are new" in second[2]
    assert [len(network["trainings"]) for network in told["networks"]] == [2, 2, 2]
    assert told["ranks"]["count"] == 3
    assert -1 <= told["ranks"]["kendall"] <= 1
    assert json.loads(first[1])["ranks"] is None


def test_training_goes_on_from_the_weights_of_the_search(nas, searched):
    keep = ["--lr", "1e-6", "--warmup", "0", "--mixup", "0", "--cutmix", "0", "--epochs", "1", *QUICK]

    _, scratch, _ = nas("retrain", "s", *keep, "--study", "anew")
    code, further, err = nas("retrain", "s", *keep, "--from", "search", "--study", "on")

    assert code == 0, err
    (before,), (after,) = json.loads(scratch)["networks"], json.loads(further)["networks"]
    assert after["trainings"][0]["metrics"]["accuracy"] == pytest.approx(after["search"], abs=0.02)
    assert before["trainings"][0]["metrics"]["accuracy"] < after["search"]


def test_a_published_network_is_trained_on_data_that_are_named(nas, searched):
    file = {"resolution": 8, "stages": [{"embedding": {"kernel": 2, "stride": 2}, "width": 8,
            "blocks": [{"mixer": {"kind": "pooling", "size": 3}}]}]}  # fmt: skip
    (searched / "mine.json").write_text(json.dumps(file))

    code, out, err = nas("retrain", "--network", "mine.json", "--data", "digits", "--epochs", "1", *QUICK)
    shown = nas("retrain", "--network", "mine.json", "--data", "digits", "--epochs", "1", "--batch-size", "256")

    assert code == 0, err
    assert json.loads(out)["study"] == "mine-digits.retrain"
    assert json.loads(out)["networks"][0]["trial"] is None
    assert "0 of 1 trainings are new" in shown[2]
    assert "mine.json: accuracy 0." in shown[1]


def test_a_trial_that_never_ended_can_be_trained_from_scratch(nas, searched):
    two = ["search", "--data", "digits", "--limit", "params<=1e4", "--trials", "3", "--epochs", "1:2", "--runner"]
    assert nas(*two, "inline", "--factor", "3", "--sampler", "random", "--study", "rungs")[0] == 0
    pruned = next(trial for trial in study(searched, "rungs").trials if trial.state is State.PRUNED)

    scratch = nas("retrain", "rungs", "--trial", pruned.number, "--epochs", "1", "--batch-size", "256")
    further = nas("retrain", "rungs", "--trial", pruned.number, "--epochs", "1", "--from", "search")

    assert scratch[0] == 0, scratch[2]
    assert " at 1 " in scratch[1]
    assert further[0] == 2
    assert f"--from search: the weights of trial {pruned.number} are gone from " in further[2]


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_from_its_checkpoint(nas, searched):
    arguments = ["retrain", "s", "--epochs", "30", "--batch-size", "64", "--study", "killed"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nas", *arguments],
        cwd=searched,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - background jobs ignore it
    )
    said = ""
    while not re.search(r"trial 0, epoch \d+ of 30", said) and process.poll() is None:
        said += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said += process.communicate()[1]

    reached = checkpoint.load(searched / "checkpoints" / "killed" / "0")["epoch"]
    code, _, err = nas(*arguments, "--runner", "inline", "--json")

    assert process.returncode == 130, said
    assert re.search(r"trial 0, epoch \d+ of 30: accuracy 0\.", said)
    assert "the same command goes on from there" in said
    assert code == 0, err
    (trial,) = study(searched, "killed").trials
    assert 1 <= reached <= 30
    assert {*range(reached + 1, 31)} <= trial.curve.keys()
    assert "trained twice" not in err
    assert trial.state is State.COMPLETE


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing", "--epochs", "1"], "unknown study 'nothing'"),
        (["s"], "Missing option '--epochs'"),
        (["s", "--epochs", "0"], "--epochs 0: at least 1 is needed"),
        (["s", "--epochs", "1", "--trial", "77"], "study 's' has no trial 77; it has 0 to 3"),
        (["s", "--epochs", "1", "--trial", "1", "--top", "2"], "--trial 1, --top 2: one of them is expected"),
        (["s", "--epochs", "1", "--recipe", "diet"], "unknown recipe 'diet': did you mean deit?"),
        (["s", "--epochs", "1", "--mixup", "-1"], "mixup -1 is outside [0, 1e+09)"),
        (["s", "--epochs", "1", "--from", "there"], "--from there: scratch or search is expected"),
        (["s", "--epochs", "1", "--data", "digits"], "--data digits: only with --network; a study has its own"),
        (["s", "--epochs", "1", "--address", "auto"], "only --workers or --runner ray connects to a cluster"),
        (["s", "--epochs", "1", "--workers", "2", "--at-once", "2"], "leave out --at-once"),
        (["s", "--epochs", "1", "--study", "a b"], "study name 'a b'"),
        (["--epochs", "1"], "one of STUDY and --network NAME|FILE.json is expected"),
        (["--network", "cvt-13", "--epochs", "1"], "--network cvt-13: --data says what to train on"),
        (["--network", "cvt13", "--epochs", "1", "--data", "digits"], "did you mean cvt-13"),
        (["--network", "x.json", "--epochs", "1", "--data", "digits"], "x.json: No such file or directory"),
    ],
)
def test_bad_input_is_one_line(nas, arguments, told):
    code, out, err = nas("retrain", *arguments)

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert told in err


def test_trainings_by_another_recipe_are_kept_apart(nas, searched):
    assert nas("retrain", "s", "--epochs", "1", *QUICK, "--study", "apart")[0] == 0

    code, _, err = nas("retrain", "s", "--epochs", "1", *QUICK, "--study", "apart", "--recipe", "deit")

    assert code == 2
    assert "study 'apart' holds trainings with another recipe; --study NAME makes one beside it" in err
