"""`nas proxies` and `nas search --proxies` as a person uses them."""

import json
import sys
import textwrap

import pytest
from optunas import sql

from nas.config import SearchConfig
from nas.errors import InputError
from nas.proxies import PROXIES, ProxyScores, score, training_batch
from runners.job_setup import prepare

DIGITS = ["search", "--data", "digits", "--subset", "0.1", "--epochs", "1", "--limit", "params<=3e4", "--limit", "macs<=5e5",
          "--runner", "inline", "--gpus-per-trial", "0", "--sampler", "random", "--seed", "2"]  # fmt: skip


@pytest.fixture
def study(nas):
    code, _, err = nas(*DIGITS, "--study", "small", "--trials", "8")
    assert code == 0, err
    return nas


def test_the_correlations_of_a_study_are_reported(study, digits, tmp_path):
    code, out, err = study("proxies", "small", "--json", "--batch", "16", "--seed", "3")
    body = json.loads(out)
    trials = json.loads(study("trials", "small", "--json")[1])

    assert (code, err) == (0, "")
    assert (body["study"], body["objective"], body["trials"]) == ("small", "accuracy:max", 8)
    assert sum(body["types"].values()) == 8
    assert [row["proxy"] for row in body["proxies"]] == list(PROXIES)
    from nas.architecture import Architecture

    images, labels = training_batch(digits, 16, seed=3)
    for trial, row in zip(trials, body["scores"], strict=True):
        network = Architecture.from_json(json.dumps(trial["candidate"]))
        expected = score(network, images, labels, num_classes=10, seed=3)
        assert row == pytest.approx({"trial": trial["number"], **expected}, rel=1e-9)
        assert row["params"] == trial["metrics"]["params"]
    for row in body["proxies"]:
        assert -1 <= row["interval"][0] <= row["interval"][1] <= 1
        assert row["verdict"]

    code, out, _ = study("proxies", "small", "--batch", "16", "--seed", "3", "--svg", "table.svg")
    assert code == 0
    assert "small: 8 trials, rank correlation of scores before training with accuracy:max" in out
    for row in body["proxies"]:
        assert f"│ {row['proxy']}" in out
        assert f"{row['spearman']:+.2f}" in out
    assert "on 16 training images" in out
    assert "expressivity" in (tmp_path / "table.svg").read_text()


def test_some_names_are_scored_with_the_baselines(study):
    body = json.loads(study("proxies", "small", "--json", "--names", "naswot,snip", "--names", "snip")[1])

    assert [row["proxy"] for row in body["proxies"]] == ["params", "macs", "naswot", "snip"]


def test_the_goal_counts_in_its_good_direction(nas):
    nas(*DIGITS, "--study", "light", "--trials", "6", "--objective", "params:min", "--objective", "accuracy:max")

    body = json.loads(nas("proxies", "light", "--json", "--names", "params")[1])

    assert body["objective"] == "params:min"
    assert body["proxies"][0]["spearman"] == pytest.approx(-1)
    assert body["proxies"][0]["verdict"] == "lies: ranks backwards"


def test_a_study_of_few_trials_or_of_changed_data_is_refused(study, tmp_path):
    study(*DIGITS, "--study", "tiny", "--trials", "2")

    code, out, err = study("proxies", "tiny")
    assert (code, out) == (2, "")
    assert "study 'tiny' has 2 complete trial(s); a rank correlation takes at least 5" in err

    code, _, err = study("proxies", "small", "--names", "sinflow")
    assert code == 2
    assert "unknown proxy 'sinflow': did you mean synflow?" in err
    code, _, err = study("proxies", "smal")
    assert code == 2
    assert "unknown study 'smal'" in err
    code, _, err = study("proxies", "small", "--batch", "5000")
    assert code == 2
    assert "a batch of 5000: 4 to 1079 training images" in err

    url = f"sqlite:///{tmp_path}/nas.db"
    ((settings,),) = sql(url, "SELECT settings FROM nas_studies WHERE name = 'small'")
    changed = json.loads(settings)
    changed["source"]["digest"] = "0" * 32
    sql(url, f"UPDATE nas_studies SET settings = '{json.dumps(changed)}' WHERE name = 'small'")
    code, _, err = study("proxies", "small")
    assert code == 2
    assert "data 'digits' has changed since study 'small' was made" in err


def test_a_study_of_an_own_evaluation_says_what_would_be_right(nas, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    text = """
        import nas

        space = nas.Space({f"layer{index}": nas.one_of("skip", "conv3", "conv5") for index in range(4)})


        def evaluate(candidate, budget, report):
            return {"score": list(candidate.values()).count("conv3") / 4}
    """
    (tmp_path / "mine.py").write_text(textwrap.dedent(text))
    own = ["search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--study", "own", "--objective", "score:max",
           "--sampler", "random", "--epochs", "1", "--trials", "6", "--runner", "inline"]  # fmt: skip
    code, _, err = nas(*own)
    assert code == 0, err

    code, out, err = nas("proxies", "own")
    assert (code, out) == (2, "")
    assert "study 'own' evaluates by a function of its own" in err
    assert "a study of `nas search --data` is expected" in err

    code, _, err = nas(*own, "--proxies", "snip")
    assert code == 2
    assert "--proxies snip: they score architectures on the images of --data" in err


def test_a_search_is_set_up_with_the_scores_that_it_was_asked_for(digits, monkeypatch):
    setup = prepare(SearchConfig(proxies=["synflow, naswot", "snip"], seed=7))

    assert setup.config.proxies == ["synflow", "naswot", "snip"]
    assert setup.scores == ProxyScores(digits, ("synflow", "naswot", "snip"), seed=7)
    assert prepare(SearchConfig()).scores is None
    with pytest.raises(InputError, match=r"--proxies snip"):
        prepare(SearchConfig(evaluate="mine:evaluate", proxies=["snip"]))


def test_a_misspelt_proxy_is_exit_code_2_before_anything_is_made(nas, tmp_path):
    code, _, err = nas(*DIGITS, "--proxies", "naswott")

    assert code == 2
    assert "unknown proxy 'naswott': did you mean naswot?" in err
    assert not (tmp_path / "nas.db").exists()
