"""Studies that are read back know their rungs: in tables, in JSON, and at the end of a search."""

import json

import pytest

from nas.fidelity import Rungs
from nas.jobs import Budget
from nas.objectives import objectives_from
from nas.trial import Source, State, Trial
from nas.wording import quantity
from runners.by_rung import foremost, rungs_json, rungs_line, spent_line, state_counts

LADDER = Rungs(1, 9)
MINE = """
    import nas

    space = nas.Space({f"layer{index}": nas.one_of("skip", "conv3", "conv5") for index in range(4)})


    def evaluate(candidate, budget, report):
        score = (1 + list(candidate.values()).count("conv3")) / 10
        if candidate["layer0"] == "conv5" and budget.stop == 1:
            raise RuntimeError("no luck")
        return {"score": score * budget.stop / 9}
"""


def trial(number, state, reached=0, stop=None, source=Source.TRAINED, score=0.5):
    curve = {level: {"score": score * level} for level in (1, 3, 9) if level <= reached}
    return Trial(
        number=number, genome=(), candidate={}, digest="", state=state, origin="random", attempt=1, metrics={},
        budget=Budget(0, stop or reached, 0, "cpu", ""), curve=curve, source=source,
    )  # fmt: skip


TRIALS = [
    trial(0, State.COMPLETE, 9), trial(1, State.PAUSED, 3, score=0.2), trial(2, State.PRUNED, 1),
    trial(3, State.PAUSED, 1), trial(4, State.RUNNING, 3, stop=9), trial(5, State.FAIL, 0, stop=1),
    trial(6, State.COMPLETE, 9, source=Source.REUSED), trial(7, State.RUNNING, 0, stop=1),
]  # fmt: skip


def test_a_trial_counts_at_every_rung_that_it_came_to_and_stays_at_the_last():
    assert rungs_line(TRIALS, LADDER) == (
        "5 reached epoch 1 (1 paused, 1 pruned there), 3 reached epoch 3 (1 paused there), 1 reached epoch 9"
    )


def test_epochs_spent_are_those_of_own_trials_and_no_more_than_budgets():
    assert rungs_json(TRIALS, LADDER)["epochs"] == 9 + 3 + 1 + 1 + 3
    assert rungs_json(TRIALS, LADDER)["epochs_full"] == 7 * 9
    assert spent_line(TRIALS, LADDER) == "17 of 63 epochs that full training of all would have taken"
    steps = trial(0, State.COMPLETE, 9, stop=1)
    assert rungs_json([steps], Rungs(1, 1))["epochs"] == 1


def test_one_rung_alone_is_not_spoken_of():
    assert spent_line(TRIALS, Rungs(9, 9)) == rungs_line(TRIALS, Rungs(9, 9)) == ""
    assert state_counts(TRIALS, Rungs(9, 9)).startswith("2 running, 2 paused, 2 complete")


def test_running_and_paused_trials_are_told_with_their_rungs():
    assert state_counts(TRIALS, LADDER) == (
        "2 running (1 to 1, 1 to 9 epochs), 2 paused (1 at 1, 1 at 3 epochs), 2 complete, 1 pruned, 1 fail"
    )


def test_before_one_is_complete_the_farthest_is_named():
    begun = [each for each in TRIALS if each.state is not State.COMPLETE]

    assert foremost(begun, objectives_from(["score:max"])) == "farthest is trial 4: score 1.5 at 3 epochs"
    assert foremost(begun, objectives_from(["score:min"])) == "farthest is trial 1: score 0.6000 at 3 epochs"
    assert foremost(begun, objectives_from(["other:min"])) == ""


# -- as a person uses it -----------------------------------------------------------------------------------------------


OWN = ["search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--study", "own", "--objective", "score:max",
       "--sampler", "random", "--epochs", "1:9", "--runner", "inline"]  # fmt: skip


def test_the_end_of_a_search_tells_what_the_rungs_saved(nas, tmp_path):
    code, out, _ = nas(*OWN, "--trials", "9", "--svg", tmp_path / "own.svg")
    told = json.loads(nas(*OWN, "--trials", "9", "--json")[1])

    assert code == 0
    assert told["complete"] + told["pruned"] + told["failed"] == 9
    assert told["epochs_full"] == 81
    assert f"{told['epochs']} of 81 epochs that full training of all would have taken" in out
    assert [rung["epochs"] for rung in told["rungs"]] == [1, 3, 9]
    assert told["rungs"][2]["reached"] == told["complete"]
    assert f"{told['rungs'][0]['reached']} reached epoch 1" in out
    assert f"{told['pruned']} pruned" in out
    assert (tmp_path / "own.svg").read_text().startswith("<svg")


@pytest.fixture
def half(layers, tmp_path, nas):
    """A study that was interrupted when the best was at the second rung, and none at the last."""
    from nas import search

    def evaluate(candidate, budget, report):
        return {"score": (1 + list(candidate.values()).count("conv3")) / 10 * budget.stop}

    def watch(study):
        if 3 in study.ladder.waiting.values():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(
            layers, evaluate, objectives=["score:max"], trials=30, sampler="random", epochs=(1, 9), runner="inline",
            study="half", watch=watch,
        )  # fmt: skip
    return nas


def test_status_names_those_that_wait_and_those_that_came_farthest(half):
    code, out, _ = half("status", "half")
    told = json.loads(half("status", "half", "--json")[1])

    assert code == 0
    assert told["paused"] == sum(rung["paused"] for rung in told["rungs"]) > 1
    paused = ", ".join(f"{rung['paused']} at {rung['epochs']}" for rung in told["rungs"] if rung["paused"])
    assert f"{told['paused']} paused ({paused} epochs), 0 complete" in out
    assert f"{told['epochs']} of {told['epochs_full']} epochs" in out
    assert "none is complete; farthest is trial " in out
    code, _, err = half("best", "half")
    assert code == 2
    assert f"has no complete trial yet ({told['running'] + told['paused']} in all; farthest is trial " in err


def test_trials_show_how_far_each_is_and_what_it_came_to_there(half):
    told = json.loads(half("trials", "half", "--json")[1])
    _, out, _ = half("trials", "half")

    row = next(trial for trial in told if trial["epochs"] == 3)
    assert row["state"] == "paused"
    assert f"{quantity(row['last']['score'])} at 3" in out
    assert {"state", "epochs"} <= {*out.splitlines()[2].replace("┃", " ").split()}


def test_the_list_of_studies_tells_paused_from_running(half):
    told = json.loads(half("studies", "--json")[1])[0]["counts"]
    status = json.loads(half("status", "half", "--json")[1])

    assert told["paused"] == status["paused"]
    assert told.get("running", 0) == status["running"]
    assert f"{told['paused']} paused" in half("studies")[1]
