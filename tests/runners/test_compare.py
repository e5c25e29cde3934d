"""`nas compare` and `nas zoo show --svg` as a person uses them."""

import json
import random
import subprocess
import sys

import pytest
from conftest import command
from evaluations import macs, share_of_conv3
from pictures import sound

import search_spaces
from nas import Space, one_of, search, zoo
from nas.costs import cost
from nas.trial import State
from runners.job_setup import NetworkCosts

COSTS = NetworkCosts(num_classes=10, in_channels=1)


def learns(candidate, budget, report):
    """The accuracy grows with the epochs and the width; the fourth network fails."""
    if budget.seed % 4 == 3:
        raise RuntimeError("not this one")
    for epoch in range(budget.start + 1, budget.stop + 1):
        report(epoch, {"accuracy": epoch / (budget.stop + candidate.stages[0].width), "seconds": 1.0})
    return {"accuracy": budget.stop / (budget.stop + candidate.stages[0].width)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder for studies that nobody changes."""
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def database(home):
    return f"sqlite:///{home}/nas.db"


@pytest.fixture(scope="module")
def networks(database, home):
    """A study "net" of six networks, one of which failed."""
    return search(
        search_spaces.get("metaformer", 8), learns, objectives=["accuracy:max"], costs=COSTS, constraints=["params<=1e5"],
        trials=6, epochs=(30, 30), sampler="random", storage=database, study="net", runner="inline",
        checkpoints=home,
    )  # fmt: skip


@pytest.fixture(scope="module")
def own(database, home):
    """A study "own" of four candidates of a space of one's own."""
    space = Space({f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(4)})
    return search(
        space, share_of_conv3, objectives=["accuracy:max"], costs=macs, trials=4, epochs=(2, 2), sampler="random",
        storage=database, study="own", runner="inline", checkpoints=home,
    )  # fmt: skip


@pytest.fixture
def nas(capsys, monkeypatch, tmp_path, database):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_STORAGE", database)
    return command(capsys, monkeypatch)


def test_two_trials_are_compared_in_networks_metrics_evaluation_and_curves(nas, networks):
    code, out, err = nas("compare", "net", "0", "1")

    assert (code, err) == (0, "")
    assert all(title in out for title in ("what differs in net", "costs and metrics", "how they were", "by epoch"))
    assert "16 of 30 epochs; --json has all" in out
    first, second = networks.trials[0].metrics["params"], networks.trials[1].metrics["params"]
    assert f"{first:,.0f}" in out
    assert f"{second:,.0f}" in out


def test_json_has_all_of_it(nas, networks):
    best = networks.best
    other = next(trial for trial in networks.trials if trial.number != best.number and trial.state is State.COMPLETE)
    code, out, _ = nas("compare", "net", other.number, "best", "--json")
    told = json.loads(out)

    assert code == 0
    assert told["right"]["label"] == f"trial {best.number} (best)"
    assert told["metrics"]["params"] == [other.metrics["params"], best.metrics["params"]]
    assert told["run"]["seed"] == [other.budget.seed, best.budget.seed]
    assert len(told["curves"]["accuracy"]) == 30
    assert told["curves"]["accuracy"]["3"][1] == best.curve[3]["accuracy"]
    assert {"path", "left", "right"} == set(told["differences"][0])


def test_a_failed_trial_is_compared_with_its_reason(nas, networks):
    failed = next(trial for trial in networks.trials if trial.state is State.FAIL)
    told = json.loads(nas("compare", "net", "best", failed.number, "--json")[1])

    assert told["run"]["state"] == ["complete", "fail"]
    assert "not this one" in told["run"]["reason"][1]
    assert told["metrics"]["accuracy"][1] is None


def test_a_trial_against_a_published_network_counts_it_for_the_same_images(nas, networks, tmp_path):
    told = json.loads(nas("compare", "net", "0", "poolformer-s12", "--json")[1])
    alike = zoo.get("poolformer-s12")

    assert told["metrics"]["params"][1] == cost(alike, num_classes=10, in_channels=1).params
    assert told["run"] == {}
    file = tmp_path / "mine.json"
    file.write_text(networks.trials[0].candidate.to_json())
    told = json.loads(nas("compare", "net", "0", file, "--json")[1])
    assert told["differences"] == []
    assert told["metrics"]["macs"][0] == told["metrics"]["macs"][1]
    assert "the same candidate" in nas("compare", "net", "0", file)[1]


def test_a_network_that_takes_the_resolution_of_the_trial_is_put_there(nas, networks):
    label = json.loads(nas("compare", "net", "0", "resmlp-s12", "--json")[1])["right"]["label"]
    assert label == "resmlp-s12"  # patches of 16 do not fit 8 pixels

    label = json.loads(nas("compare", "net", "0", "convmixer-256-8-cifar10", "--json")[1])["right"]["label"]
    assert label == "convmixer-256-8-cifar10 at 8 px"


def test_the_picture_shows_both_for_the_classes_of_the_study(nas, networks, tmp_path):
    code, _, err = nas("compare", "net", "0", "1", "--svg", "deep/er/pair.svg")
    assert (code, err) == (0, "")

    words = sound((tmp_path / "deep" / "er" / "pair.svg").read_text(encoding="utf-8")).words
    assert words[0] == "trial 0"
    assert words.count("10 classes") == 2
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["pair.svg"]


def test_trials_of_a_space_of_ones_own_differ_in_their_parameters(nas, own):
    told = json.loads(nas("compare", "own", "0", "1", "--json")[1])
    left, right = (own.trials[index].candidate for index in (0, 1))

    assert {each["path"]: (each["left"], each["right"]) for each in told["differences"]} == {
        name: (left[name], right[name]) for name in left if left[name] != right[name]
    }
    assert nas("compare", "own", "0", "1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["net", "0", "77"], "study 'net' has no trial 77; it has 0 to 5"),
        (["net", "0", "nonsense"], "'nonsense' is no trial's number, nor best, nor a network: unknown architecture"),
        (["net", "0", "7" * 5000], "is no trial's number"),
        (["net", "0", "missing.json"], "missing.json: No such file"),
        (["nett", "0", "1"], "unknown study 'nett'"),
        (["net", "0"], "Missing argument"),
        (["own", "0", "1", "--svg", "x.svg"], "study 'own' is of a space of your own, and only networks can be drawn"),
        (["own", "0", "cvt-13"], "study 'own' is of a space of your own: two of its trials can be compared"),
        (["net", "0", "1", "--svg", "file/x.svg"], "cannot write file/x.svg"),
        (["net", "0", "1", "--svg", "loop"], "cannot write loop: Symlink loop"),
        (["net", "0", "1", "--svg", "."], "cannot write .: Is a directory"),
    ],
)
def test_bad_input_is_one_line(nas, networks, own, tmp_path, arguments, said):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    code, out, err = nas("compare", *arguments)

    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("*.svg"))


def test_there_is_no_best_before_a_trial_is_complete(nas, database, home):
    def fails(candidate, budget, report):
        raise RuntimeError("never")

    space = search_spaces.get("cvt", 8)
    search(
        space, fails, objectives=["accuracy:max"], trials=2, epochs=(1, 1), sampler="random", runner="inline",
        storage=database, study="bad", checkpoints=home,
    )  # fmt: skip
    code, _, err = nas("compare", "bad", "best", "0")

    assert (code, err.count("\n")) == (2, 1)
    assert "study 'bad' has no best: no trial is complete" in err


def test_a_published_network_and_a_file_are_drawn(nas, tmp_path):
    code, out, _ = nas("zoo", "show", "cvt-13", "--svg", "cvt.svg")
    assert code == 0
    assert "conv_attention" in out
    assert sound((tmp_path / "cvt.svg").read_text(encoding="utf-8")).words[0] == "cvt-13"

    space = search_spaces.get("isotropic", 32)
    (tmp_path / "own.json").write_text(space.decode(space.sample(random.Random(0))).to_json())
    assert nas("zoo", "show", "own.json", "--classes", "7", "--json", "--svg", "own.svg")[0] == 0
    words = sound((tmp_path / "own.svg").read_text(encoding="utf-8")).words
    assert {"own.json", "7 classes"} <= set(words)


def test_a_picture_goes_where_a_link_or_a_pipe_points(nas, tmp_path):
    (tmp_path / "link.svg").symlink_to("real.svg")
    assert nas("zoo", "show", "cvt-13", "--svg", "link.svg")[0] == 0
    assert (tmp_path / "link.svg").is_symlink()
    assert sound((tmp_path / "real.svg").read_text(encoding="utf-8")).wide == 800

    done = subprocess.run(
        [sys.executable, "-m", "nas", "zoo", "show", "cvt-13", "--svg", "/dev/stderr"], capture_output=True, check=True
    )
    assert done.stderr.startswith(b"<svg")
