"""`nas search --weights supernet` as a person uses it."""

import io
import json
import shutil
import textwrap
from pathlib import Path

import pytest
from conftest import command
from rich.console import Console
from supernets import MINE, QUICK, SUPER

from dashboards.resume import command as command_of
from nas import checkpoint
from nas.config import read_config
from nas.data import load
from nas.replicates import network_of
from nas.store.reading import read_study
from nas.supernet import files
from nas.supernet.judging import calibrated
from nas.trial import State
from runners.search_command import run_search

SEARCH = {"space": "mine:space", "data": "digits", "weights": "supernet", "supernet_epochs": 2, "epochs": "1",
          "trials": 6, "retrain": 1, "spread": 2, "runner": "inline", "sampler": "random", "subset": 0.3,
          "batch_size": 64, "study": "s"}  # fmt: skip
AGAIN = [*SUPER, "--supernet-epochs", "2", "--trials", "6", "--retrain", "1", "--spread", "2", "--study", "s"]
FILE = "checkpoints/s.supernet/supernet.safetensors"


@pytest.fixture(scope="module")
def searched(tmp_path_factory, _own_cache):
    """A folder with a study by inherited weights, and what was said on the way."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "mine.py").write_text(textwrap.dedent(MINE))
    out, err = Console(file=io.StringIO(), width=160), Console(file=io.StringIO(), width=160)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_search(read_config(None, SEARCH), svg=None, as_json=False, out=out, err=err) == 0
    return folder, out.file.getvalue(), err.file.getvalue()


@pytest.fixture
def nas(capsys, monkeypatch, searched):
    monkeypatch.chdir(searched[0])
    return command(capsys, monkeypatch)


@pytest.fixture
def study(searched):
    return lambda name: read_study(f"sqlite:///{searched[0]}/nas.db", name)


def test_a_supernet_is_made_judges_and_the_best_are_trained(searched, study):
    _, out, err = searched
    judged, trained = study("s"), study("s.retrain")

    assert "study s in sqlite:///nas.db: 6 trials judged by the weights of a supernet, space mine:space" in err
    assert "supernet of s, epoch 2 of 2, loss" in err
    assert len(judged.trials) == 6
    assert all(each.state is State.COMPLETE and each.metrics["inherited"] == 1 for each in judged.trials)
    assert (judged.settings["weights"], judged.settings["evaluate"]) == ("supernet", "validate by inherited weights")
    assert judged.settings["supernet"]["digest"] == files.read(searched[0] / FILE).digest
    assert (len(trained.trials), trained.settings["retrains"], trained.settings["from"]) == (3, "s", "scratch")
    assert "weights" not in trained.settings
    best = max(judged.trials, key=lambda each: each.metrics["accuracy"])
    assert f"trial {best.number} of s: accuracy {best.metrics['accuracy']:.4g} by inherited weights, " in out


def test_its_end_says_whose_accuracy_it_is_and_how_far_to_trust_it(searched):
    _, out, _ = searched

    assert "the best by inherited weights" in out
    assert "the best found" not in out
    assert "in the search" not in out
    assert "inherited accuracy of 3 networks and theirs when they are trained from scratch: Kendall's tau " in out
    assert f"supernet: {searched[0] / FILE}, 2 epochs in 0:0" in out
    assert "--supernet takes it for another search" in out
    assert out.count("take it home") == 1
    assert "take it home: nas export s.retrain --to DIR" in out


def test_the_same_command_again_trains_nothing_and_says_the_same(nas, study, searched):
    before = {path: path.stat().st_mtime_ns for path in (searched[0] / "checkpoints").rglob("*.pt")
              if "retrain" in str(path) or "supernet" in str(path)}  # fmt: skip
    code, out, err = nas(*AGAIN, "--json")
    told = json.loads(out)

    assert code == 0, err
    assert "supernet of s, epoch" not in err
    assert "0 of 3 trainings are new" in err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (told["trials"], told["complete"], told["supernet"]["epochs"]) == (6, 6, 2)
    assert told["supernet"]["digest"] == study("s").settings["supernet"]["digest"]
    trust, rows = told["supernet"]["trust"], told["supernet"]["trained"]["networks"]
    assert trust["count"] == len(rows) == 3
    assert -1 <= trust["inherited"] <= 1
    assert told["export"] is None


def test_a_file_judges_for_another_search_without_training(nas, study):
    code, out, err = nas(*SUPER, "--supernet", FILE, "--trials", "4", "--retrain", "0", "--spread", "0", "--seed", "0",
                         "--study", "other")  # fmt: skip
    here, there = study("other"), {each.digest: each.metrics for each in study("s").trials}

    assert code == 0, err
    assert "epoch" not in err.replace("--epochs", "")
    assert here.settings["supernet"]["digest"] == study("s").settings["supernet"]["digest"]
    same = [each for each in here.trials if each.digest in there]
    assert same
    assert all(each.metrics["accuracy"] == there[each.digest]["accuracy"] for each in same)
    assert "fewer than 3 networks were trained" in out
    assert "take it home" not in out


def test_judging_on_fewer_images_is_said_and_is_another_study(nas, study):
    fewer = [*SUPER, "--supernet", FILE, "--retrain", "0", "--spread", "0", "--study", "fewer"]
    assert nas(*fewer, "--judge-images", "100", "--trials", "3")[0] == 0
    told = study("fewer")

    assert study("s").settings["supernet"] == {
        name: value for name, value in told.settings["supernet"].items() if name != "judge_images"
    }
    assert "--judge-images 100" in command_of("fewer", told.settings, "")
    for each in told.trials:
        assert each.metrics["accuracy"] * 100 == pytest.approx(round(each.metrics["accuracy"] * 100))

    code, _, err = nas(*fewer, "--trials", "4")
    assert code == 2
    assert "(supernet.judge_images: 100 there, null here)" in err.splitlines()[-1]
    assert len(study("fewer").trials) == 3


def test_the_best_go_on_from_what_they_inherit(nas, study, searched):
    on = ["--supernet", FILE, "--trials", "4", "--retrain", "1", "--spread", "2", "--retrain-from", "supernet",
          "--retrain-epochs", "2"]  # fmt: skip
    code, out, err = nas(*SUPER, *on, "--lr", "1e-6", "--study", "further")
    trained = study("further.retrain")
    weights = files.weights_of(str(searched[0] / FILE), files.read(searched[0] / FILE).digest)

    assert code == 0, err
    assert "from inherited weights" in err
    assert "theirs when they are trained on: Kendall's tau " in out
    assert "from scratch says more" in out
    assert (trained.settings["from"], trained.settings["epochs"]) == ("supernet", [2, 2])
    assert trained.settings["supernet"] == files.read(searched[0] / FILE).digest
    assert nas("export", "further.retrain", "--to", "home", "--format", "safetensors")[0] == 0
    assert "| weights to begin with | those of a supernet |" in (searched[0] / "home" / "README.md").read_text()
    assert len(trained.trials) == 3
    for each in trained.trials:
        after = checkpoint.averaged(Path(each.budget.checkpoint))
        before = calibrated(weights, network_of(each.candidate), load("digits"))
        for name, values in before.named_parameters():
            assert after[name] == pytest.approx(values.detach(), abs=1e-4), name  # at such a rate nothing is learned


def test_trainings_that_began_otherwise_are_refused_before_anything_is_judged(nas, study):
    code, _, err = nas(*AGAIN, "--trials", "7", "--retrain-from", "supernet")

    assert code == 2
    assert "--retrain-from supernet: study 's.retrain' holds trainings from scratch" in err.splitlines()[-1]
    assert len(study("s").trials) == 6


def test_a_supernet_that_was_trained_within_limits_judges_nothing_beyond_them(nas):
    one = ["--trials", "1", "--retrain", "0", "--spread", "0", "--start", "none"]
    within = nas(*SUPER, *one, "--supernet-epochs", "1", "--limit", "params<=3000", "--study", "within")
    file = ["--supernet", "checkpoints/within.supernet/supernet.safetensors"]
    beyond = nas(*SUPER, *one, *file, "--study", "beyond")
    wider = nas(*SUPER, *one, *file, "--limit", "params<=3001", "--study", "beyond")
    narrower = nas(*SUPER, *one, *file, "--limit", "params<=2999", "--limit", "macs<=1e6", "--study", "beyond")

    assert (within[0], beyond[0], wider[0], narrower[0]) == (0, 2, 2, 0), narrower[2]
    for refused in (beyond, wider):
        assert "trained within params<=3000 only; add --limit 'params<=3000' to this search" in refused[2]


def test_what_is_wrong_with_the_rest_of_the_command_is_said_before_a_supernet_is_trained(nas, tmp_path):
    for given, told in (
        (["--start", "cvt-31"], "cvt-31"),
        (["--storage", f"sqlite:///{tmp_path}/none/x.db"], "none"),
        (["--study", "n" * 125], "too long for the study of the trainings of the best"),
    ):
        code, _, err = nas(*SUPER, "--trials", "2", "--study", "early", *given)
        assert code == 2, err
        assert told in err
        assert "supernet of" not in err


def test_inherited_and_trained_trials_never_stand_for_each_other(nas):
    trained = nas(*QUICK, "--trials", "6", "--start", "none", "--study", "t", "--reuse", "--json")
    judged = nas(*SUPER, "--supernet", FILE, "--trials", "6", "--retrain", "0", "--spread", "0", "--reuse", "--study",
                 "r", "--json")  # fmt: skip
    control = nas(*QUICK, "--trials", "6", "--start", "none", "--study", "t2", "--reuse", "--json")

    assert trained[0] == judged[0] == control[0] == 0, (trained[2], judged[2], control[2])
    assert json.loads(trained[1])["reused"] == 0  # of six that were judged by inherited weights
    assert json.loads(judged[1])["reused"] == 6  # of those by the same supernet, and they say it
    assert all(each["metrics"]["inherited"] == 1 for each in json.loads(judged[1])["pareto"])
    assert json.loads(control[1])["reused"] == 6
    assert all("inherited" not in each["metrics"] for each in json.loads(control[1])["pareto"])


def test_a_study_of_one_kind_is_not_gone_on_with_by_the_other(nas, searched):
    assert nas(*QUICK, "--trials", "1", "--start", "none", "--study", "kind")[0] == 0
    by_training = nas(*QUICK, "--trials", "6", "--study", "s")
    by_inheriting = nas(*SUPER, "--trials", "6", "--study", "kind")
    from_parents = nas(*QUICK, "--trials", "6", "--study", "s", "--weights", "inherit")

    assert by_training[0] == by_inheriting[0] == from_parents[0] == 2
    assert "study 's' was made with other settings (" in by_training[2]
    assert "weights: supernet there" in by_training[2].replace("'", "").replace('"', "")
    assert "study 's' was made with other settings (" in from_parents[2]
    assert "study 'kind' holds trained trials, which do not compare with inherited weights" in by_inheriting[2]
    assert not (searched[0] / "checkpoints" / "kind.supernet").exists()


def test_a_study_whose_supernet_is_gone_or_elsewhere_is_not_judged_by_a_new_one(nas, searched):
    moved = (searched[0] / FILE).rename(searched[0] / "moved.safetensors")
    code, out, err = nas(*AGAIN)
    there = nas(*SUPER, "--supernet", moved.name, "--trials", "6", "--retrain", "0", "--spread", "0", "--study", "s",
                "--json")  # fmt: skip
    moved.rename(searched[0] / FILE)

    assert (code, out) == (2, "")
    assert f"{searched[0] / FILE} is not there, and study 's' was judged by a supernet: --supernet FILE says" in err
    assert there[0] == 0, there[2]
    assert json.loads(there[1])["trials"] == 6


def test_no_seed_changes_inherited_weights(nas):
    code, out, err = nas("confirm", "s")

    assert (code, out) == (2, "")
    assert "study 's' was judged by inherited weights, whatever the seed; `nas retrain s` trains its best" in err


def test_commands_that_look_say_that_accuracy_is_by_inherited_weights(nas):
    assert "trials of s, judged by inherited weights" in nas("trials", "s")[1]
    assert "best of s by inherited weights" in nas("best", "s")[1]
    assert "inherited weights" not in nas("trials", "s.retrain")[1]


def test_the_report_calls_nothing_trained_that_was_not(nas, searched):
    assert nas("report", "s", "--to", "s.html")[0] == 0
    page = (searched[0] / "s.html").read_text()

    assert "No trial was trained: all were judged by the weights that they inherit from a supernet" in page
    assert "is by inherited weights" in page
    assert "--weights supernet" in page
    for untrue in ("one training", "after full training", "nas confirm", "--baseline", "--published"):
        assert untrue not in page


def test_the_command_that_goes_on_is_told_as_it_was(study):
    told = command_of("s", study("s").settings, "")

    assert "--weights supernet" in told
    assert "--epochs 1 " in told
    assert "--evaluate" not in told


def test_the_best_is_exported_with_the_weights_that_it_was_judged_by(nas, study):
    best = max(study("s").trials, key=lambda each: each.metrics["accuracy"])

    code, out, err = nas("export", "s", "--to", "inherited", "--format", "safetensors", "--json")
    others = nas("export", "s", "--trial", next(each.number for each in study("s").trials if each != best), "--to", "x")

    assert code == 0, err
    assert json.loads(out)["metrics"]["validation"]["accuracy"] == pytest.approx(best.metrics["accuracy"], abs=1e-6)
    assert others[0] == 2


def test_the_best_is_trained_on_from_the_weights_of_the_supernet(nas, study):
    keep = ["--lr", "1e-6", "--warmup", "0", "--mixup", "0", "--cutmix", "0", "--epochs", "1", "--batch-size", "256",
            "--runner", "inline"]  # fmt: skip
    best = max(study("s").trials, key=lambda each: each.metrics["accuracy"])

    code, out, err = nas("retrain", "s", "--from", "search", *keep, "--study", "on", "--json")

    assert code == 0, err
    (row,) = json.loads(out)["networks"]
    assert row["trial"] == best.number
    assert row["trainings"][0]["metrics"]["accuracy"] == pytest.approx(best.metrics["accuracy"], abs=0.03)


def test_what_is_trained_after_is_exported_on_demand(nas, study):
    code, out, err = nas(*AGAIN, "--export", "model", "--json")
    told = json.loads(out)["supernet"]["trained"]

    assert code == 0, err
    accuracies = [each["metrics"]["accuracy"] for row in told["networks"] for each in row["trainings"]]
    assert told["export"]["metrics"]["validation"]["accuracy"] == pytest.approx(max(accuracies), abs=1e-6)


def test_networks_are_added_to_those_that_were_trained(nas):
    code, out, err = nas(*AGAIN[:-2], "--study", "s", "--spread", "4", "--json")

    assert code == 0, err
    assert json.loads(out)["supernet"]["trust"]["count"] >= 4
    assert "0 of" not in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--supernet", "f"], "--supernet: only --weights supernet makes use of it"),
        (["--shrink"], "--shrink: only --weights supernet makes use of it"),
        (["--supernet-epochs", "3"], "--supernet-epochs: only --weights supernet makes use of it"),
        (["--supernet-sampling", "uniform"], "--supernet-sampling: only --weights supernet makes use of it"),
        (["--judge-images", "9"], "--judge-images: only --weights supernet makes use of it"),
        (["--retrain", "1"], "--retrain: only --weights supernet makes use of it"),
        (["--weights", "inherit", "--spread", "1"], "--spread: only --weights supernet makes use of it"),
        (["--weights", "super"], "weights: input should be 'scratch', 'inherit' or 'supernet'"),
        (["--weights", "supernet", "--published"], "--published: trained trials do not compare with inherited weights"),
        (["--weights", "supernet", "--baseline"], "--baseline: trained trials do not compare with inherited weights"),
        (["--weights", "supernet", "--epochs", "1:3"], "--epochs 1:3: inherited weights have no rungs; --epochs MAX"),
        (["--weights", "supernet", "--supernet-sampling", "all"], "supernet_sampling: input should be 'sandwich'"),
        (["--weights", "supernet", "--supernet-at-once", "2"], "2 networks a step (--supernet-at-once): sandwich sampling"),
        (["--weights", "supernet", "--supernet-epochs", "0"], "supernet_epochs: input should be greater than or equal"),
        (["--weights", "supernet", "--judge-images", "-1"], "judge_images: input should be greater than or equal to 0"),
        (["--weights", "supernet", "--retrain", "-1"], "retrain: input should be greater than or equal to 0"),
        (["--weights", "supernet", "--evaluate", "mine:judged"], "--evaluate is one of your own: leave one out"),
        (["--weights", "supernet", "--shrink", "--supernet-epochs", "3"], "--supernet-epochs 3: --shrink takes 4 at"),
        (["--weights", "supernet", "--supernet", FILE, "--supernet-epochs", "3"], "it is trained already; leave out"),
        (["--weights", "supernet", "--supernet", FILE, "--shrink"], "it is trained already; leave out --shrink"),
        (["--weights", "supernet", "--supernet", "none"], "none: No such file or directory; a supernet written by"),
        (["--weights", "supernet", "--supernet", "mine.py"], "mine.py: no safetensors file, or cut short"),
        (["--weights", "supernet", "--supernet", "cut"], "cut: no safetensors file, or cut short"),
        (["--weights", "supernet", "--supernet", FILE, "--space", "mine:narrower"], "a supernet of another space ("),
        (["--weights", "supernet", "--supernet", FILE, "--resolution", "12"], "a supernet of another space ("),
        (["--weights", "supernet", "--supernet", FILE, "--data", "folder:other"], "trained on other images ("),
        (["--weights", "supernet", "--objective", "macs:min"], "macs:min: known before training, no seed changes them"),
        (["--weights", "supernet", "--shrink-cost", "0.1"], "--shrink-cost 0.1: only --shrink charges for costs"),
        (["--weights", "supernet", "--supernet-workers", "2"], "--supernet-workers 2: only --runner ray shares a training"),
        (["--weights", "supernet", "--limit", "params<=10"], "no architecture found within params<=10"),
        (["--weights", "supernet", "--study", "s", "--supernet-epochs", "3"], "made with another plan; another --study"),
        (["--weights", "supernet", "--study", "s", "--supernet-epochs", "2", "--seed", "1"], "made with another seed"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)  # fmt: skip
def test_what_goes_not_together_or_changes_nothing_is_one_line(nas, searched, options, said):
    whole = (searched[0] / FILE).read_bytes()
    (searched[0] / "cut").write_bytes(whole[: len(whole) // 2])
    if "folder:other" in options:
        pictures(searched[0] / "other")
    given = ["search", "--runner", "inline", "--subset", "0.3", "--batch-size", "64", "--trials", "2"]
    defaults = {"--space": "mine:space", "--data": "digits", "--epochs": "1", "--study": "bad"}
    given += [part for name, value in defaults.items() if name not in options for part in (name, value)]

    code, out, err = nas(*given, *options)

    assert (code, out) == (2, ""), err
    line = err.strip().splitlines()[-1]
    assert said in line
    assert "Traceback" not in err
    assert not (searched[0] / "checkpoints" / "bad").exists()


def pictures(folder):
    """Two kinds of images of 8 pixels."""
    import numpy as np
    from PIL import Image

    if folder.exists():
        shutil.rmtree(folder)
    rng = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        for kind in ("cat", "dog"):
            (folder / split / kind).mkdir(parents=True)
            for number in range(4):
                Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(folder / split / kind / f"{number}.png")
