"""`nas search` with rungs that have fewer and smaller images, and the studies beside it, which have all."""

import json

import pytest

from nas.store.reading import read_study

MINE = """
    import nas

    space = nas.Space({f"layer{index}": nas.one_of("skip", "conv3", "conv5") for index in range(4)})


    def evaluate(candidate, budget, report):
        with open("evaluated", "a") as file:
            file.write(f"{budget.stop} {budget.share:.3f} {budget.scale:.3f}\\n")
        return {"score": list(candidate.values()).count("conv3") / 4 + budget.stop / 100}
"""
OWN = ["search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--objective", "score:max", "--study", "own",
       "--sampler", "random", "--runner", "inline"]  # fmt: skip
SMALLER = ["--rung-subset", "0.25", "--rung-resolution", "8"]


def budgets(tmp_path):
    seen = set((tmp_path / "evaluated").read_text().splitlines())
    (tmp_path / "evaluated").unlink()
    return seen


def test_an_evaluation_of_ones_own_finds_share_and_scale_in_its_budget(nas, tmp_path):
    code, _, err = nas(*OWN, *SMALLER, "--epochs", "1:9", "--trials", "9")

    assert code == 0, err
    assert budgets(tmp_path) == {"1 0.250 0.250", "3 0.500 0.500", "9 1.000 1.000"}
    assert "on rungs of 1, 3, 9 epochs, the first with 25% of the training images of 8x8 pixels" in " ".join(
        err.split()
    )


def test_a_study_gone_on_with_keeps_them_and_is_refused_with_others(nas, tmp_path):
    nas(*OWN, *SMALLER, "--epochs", "1:9", "--trials", "4")
    budgets(tmp_path)

    assert nas(*OWN, *SMALLER, "--epochs", "1:9", "--trials", "9")[0] == 0
    assert "1 0.250 0.250" in budgets(tmp_path)
    code, _, err = nas(*OWN, "--rung-subset", "0.5", "--epochs", "1:9", "--trials", "12")

    assert code == 2
    assert "rungs" in err
    assert "rung_subset" in err


def test_trained_again_the_best_have_the_full_budget_at_once(nas, tmp_path):
    nas(*OWN, *SMALLER, "--epochs", "1:9", "--trials", "9", "--brackets", "2")
    budgets(tmp_path)

    code, out, err = nas("confirm", "own", "--runner", "inline", "--seeds", "2", "--top", "1", "--json")

    assert code == 0, err
    assert json.loads(out)
    assert budgets(tmp_path) == {"9 1.000 1.000"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--epochs", "1:9", "--rung-resolution", "32"],
            "rung_resolution 32: less than the 32 pixels of the full budget",
        ),
        (["--epochs", "9", "--rung-resolution", "8"], "rung_resolution 8: there are no rungs to rise on"),
        (["--epochs", "9", "--factor", "2"], "factor 2: there are no rungs to rise on"),
        (["--epochs", "9", "--rung-subset", "0.5"], "rung subset 0.5: there are no rungs to rise on"),
        (["--epochs", "1:9", "--rung-subset", "2"], "rung_subset: input should be less than or equal to 1"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(nas, options, told):
    code, _, err = nas(*OWN, *options)

    assert code == 2
    assert told in " ".join(err.split())


def test_our_own_training_climbs_with_fewer_and_smaller_images_and_ends_with_all(nas, tmp_path):
    options = ["--epochs", "1:3", "--subset", "0.2", "--rung-subset", "0.5", "--rung-resolution", "4", "--limit",
               "params<=3e4", "--limit", "macs<=5e5", "--trials", "3", "--sampler", "random", "--runner", "inline"]  # fmt: skip
    code, _, err = nas("search", "--data", "digits", "--study", "d", *options)

    assert code == 0, err
    trials = read_study("sqlite:///nas.db", "d").trials
    first = [trial.curve[1] for trial in trials]
    assert all(4 <= each["side"] < 8 for each in first)
    assert len({each["images"] for each in first}) == 1
    whole = [trial for trial in trials if trial.state == "complete"]
    assert whole
    assert all(not {"side", "images"} & trial.metrics.keys() for trial in whole)


def test_what_began_with_less_is_not_reused_by_a_search_that_does_not(nas, tmp_path):
    nas(*OWN, *SMALLER, "--epochs", "1:9", "--trials", "9")
    options = [*OWN[:-6], "--epochs", "1:9", "--sampler", "random", "--runner", "inline", "--trials", "9", "--reuse"]

    assert nas(*options, "--study", "plain")[0] == 0
    assert nas(*options, *SMALLER, "--study", "alike")[0] == 0

    sources = {
        name: {trial.source for trial in read_study("sqlite:///nas.db", name).trials} for name in ("plain", "alike")
    }
    assert sources["plain"] == {"trained"}
    assert "reused" in sources["alike"]
