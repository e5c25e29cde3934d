"""`nas search --weights inherit`: repeated exactly, told wherever trials are shown, and refused where it is in vain."""

import json
from pathlib import Path

import pytest

from nas.store.reading import read_study

SEARCH = ["search", "--data", "digits", "--limit", "params<=2e4", "--subset", "0.1", "--runner", "inline", "--start",
          "none", "--sampler", "random"]  # fmt: skip
INHERIT = [*SEARCH, "--weights", "inherit"]


@pytest.fixture
def searched(nas):
    code, _, err = nas(*INHERIT, "--epochs", "1:3", "--trials", "5", "--study", "s")
    assert code == 0, err
    return err


def test_the_same_command_gives_the_same_results(nas, searched):
    code, _, err = nas(*INHERIT, "--epochs", "1:3", "--trials", "5", "--study", "t")

    assert code == 0, err
    first, second = (read_study("sqlite:///nas.db", name).trials for name in "st")
    assert [(trial.genome, trial.parent, trial.state) for trial in first] == [
        (trial.genome, trial.parent, trial.state) for trial in second
    ]

    def timeless(trial):
        return {step: {**told, "epoch_seconds": 0} for step, told in trial.curve.items()}

    assert [timeless(trial) for trial in first] == [timeless(trial) for trial in second]
    assert [trial.parent is None for trial in first] == [True] + [False] * 4
    assert all(0 < told["inherited"] <= 1 for trial in first[1:] for told in trial.curve.values())
    assert all("inherited" not in told for told in first[0].curve.values())


def test_every_place_that_shows_a_trial_shows_whose_weights_it_began_with(nas, searched):
    assert "each from the weights of the nearest trained one" in " ".join(searched.split())
    assert "from the weights of 0)" in searched

    rows = json.loads(nas("trials", "s", "--json")[1])
    assert [row["parent"] for row in rows] == [trial.parent for trial in read_study("sqlite:///nas.db", "s").trials]
    assert "parent" in nas("trials", "s")[1]
    assert nas("trials", "s", "--columns", "parent,inherited")[0] == 0
    lines = nas("trials", "s", "--csv", "-")[1].splitlines()
    assert [line.split(",")[5] for line in lines] == ['"parent"', '""', *(str(row["parent"]) for row in rows[1:])]
    assert nas("report", "s", "--to", "s.md")[0] == 0
    text = Path("s.md").read_text()
    assert "4 of the trials began with the weights of another" in text
    assert "--weights inherit" in text
    code, out, _ = nas(*INHERIT, "--epochs", "1:3", "--trials", "5", "--study", "s", "--json")
    assert (code, json.loads(out)["inherited"]) == (0, 4)
    assert "4 began with the weights of another" in nas(*INHERIT, "--epochs", "1:3", "--trials", "5", "--study", "s")[1]


def test_trained_again_the_best_are_from_scratch(nas, searched):
    code, _, err = nas("confirm", "s", "--top", "1", "--seeds", "2", "--runner", "inline")

    assert code == 0, err
    trials = read_study("sqlite:///nas.db", "s.confirm").trials
    assert len(trials) == 2
    assert all(trial.parent is None and "inherited" not in trial.metrics for trial in trials)


def test_it_is_gone_on_with_and_refused_from_scratch(nas, searched):
    assert nas(*INHERIT, "--epochs", "1:3", "--trials", "6", "--study", "s")[0] == 0
    assert read_study("sqlite:///nas.db", "s").trials[5].parent is not None

    code, _, err = nas(*SEARCH, "--epochs", "1:3", "--trials", "7", "--study", "s")

    assert code == 2
    assert "weights: inherit there, null here" in err


@pytest.mark.slow
def test_an_export_says_whose_weights_were_at_the_beginning(nas, searched):
    best = json.loads(nas(*INHERIT, "--epochs", "1:3", "--trials", "5", "--study", "s", "--json")[1])["best"]

    assert nas("export", "s", "--trial", best["number"], "--to", "out")[0] == 0

    card = Path("out/README.md").read_text()
    assert best["parent"] is not None
    assert f"| weights to begin with | those of trial {best['parent']}, as far as shapes allowed |" in card


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.slow
def test_workers_of_their_own_find_their_parents_weights(nas, workers):
    code, _, err = nas(*SEARCH[:-6], "--weights", "inherit", "--start", "none", "--sampler", "random", "--runner",
                       "local", "--workers", workers, "--epochs", "1", "--trials", "5", "--study", "s")  # fmt: skip

    assert code == 0, err
    trials = read_study("sqlite:///nas.db", "s").trials
    children = [trial for trial in trials if trial.parent is not None]
    assert len(children) >= 3
    assert all(trial.metrics["inherited"] > 0 for trial in children)


def test_where_workers_do_not_see_their_parents_weights_the_search_says_so(nas, monkeypatch):
    monkeypatch.setattr("nas.training.begin_with", lambda model, folder: 0.0)

    code, out, err = nas(*INHERIT, "--epochs", "1", "--trials", "3", "--study", "s")

    assert code == 0, err
    assert "2 began with the weights of another, 2 of them found none: is --checkpoints shared by all nodes?" in out


def test_words_that_make_no_sense_are_one_line(nas):
    code, _, err = nas("search", "--weights", "inherit", "--space", "mine:space", "--evaluate", "mine:evaluate")
    assert code == 2
    assert err.strip().count("\n") == 0
    assert "--weights inherit: only the built-in training" in err

    code, _, err = nas(*SEARCH, "--weights", "heir")
    assert code == 2
    assert err.strip().count("\n") == 0
    assert "weights: input should be 'scratch', 'inherit'" in err
