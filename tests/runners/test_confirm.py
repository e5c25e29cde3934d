"""`nas confirm` as a person uses it: the best few trained again with fresh seeds."""

import json
import math
import statistics
import subprocess
import sys
import textwrap
import time

import pytest
from evaluations import share_of_conv3

from nas import Space, one_of, search
from nas.store.reading import read_study

NAS = [sys.executable, "-m", "nas"]
MINE = """
    import random
    import time
    from pathlib import Path

    import nas

    space = nas.Space({f"layer{index}": nas.one_of("skip", "conv3", "conv5") for index in range(4)})


    def costs(candidate):
        return {"macs": float(sum({"skip": 0, "conv3": 3, "conv5": 5}[value] for value in candidate.values()))}


    def evaluate(candidate, budget, report):
        with open("evaluated", "a") as file:
            file.write(f"{sorted(candidate.items())} {budget.seed} {budget.stop}\\n")
        if Path("bad").exists() and str(budget.seed).endswith(Path("bad").read_text()):
            raise RuntimeError("bad luck")
        if Path("wait").exists() and budget.seed % 10 == 2:
            Path("busy").touch()
            time.sleep(600)
        who = "everybody" if Path("shared").exists() else sorted(candidate.items())
        noise = random.Random(f"{who} {budget.seed}").gauss(0, 0.1)
        return {"score": list(candidate.values()).count("conv3") / 4 + noise}
"""
OWN = ["search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--costs", "mine:costs", "--study", "own",
       "--objective", "score:max", "--limit", "macs<=16", "--epochs", "3", "--sampler", "random"]  # fmt: skip
FRESH = 1_000_000_000


@pytest.fixture
def own(nas, tmp_path):
    """A study of ten trials."""
    code, _, err = nas(*OWN, "--trials", "10", "--runner", "inline")
    assert code == 0, err
    (tmp_path / "evaluated").unlink()
    return nas


def confirm(nas, *arguments, name="own", code=0):
    got, out, err = nas("confirm", name, "--runner", "inline", *arguments, "--json")
    assert got == code, err
    return json.loads(out)


def evaluated(tmp_path):
    return (tmp_path / "evaluated").read_text().splitlines()


def trials(nas, name):
    return json.loads(nas("trials", name, "--json")[1])


def test_the_best_three_are_trained_with_five_fresh_seeds_each_to_the_full_budget(own, tmp_path):
    told = confirm(own)

    best = sorted(trials(own, "own"), key=lambda trial: -trial["metrics"]["score"])[:3]
    seeds = [FRESH + index for index in range(5)]
    wanted = {f"{sorted(trial['candidate'].items())} {seed} 3" for trial in best for seed in seeds}
    assert sorted(evaluated(tmp_path)) == sorted(wanted)
    assert told["seeds"] == seeds
    assert not {trial.budget.seed for trial in read_study("sqlite:///nas.db", "own").trials} & set(seeds)
    assert {row["trial"]: row["search"] for row in told["candidates"]} == {
        trial["number"]: trial["metrics"]["score"] for trial in best
    }


def test_means_intervals_and_ranks_are_those_of_the_values(own):
    told = confirm(own)

    for row in told["candidates"]:
        values = [metrics["score"] for metrics in row["values"].values()]
        found = row["intervals"]["score"]
        half = 2.776445 * statistics.stdev(values) / math.sqrt(5)
        assert found["mean"] == pytest.approx(statistics.fmean(values))
        assert [found["low"], found["high"]] == pytest.approx([found["mean"] - half, found["mean"] + half], abs=1e-6)
        assert [found["smallest"], found["largest"]] == [min(values), max(values)]
    means = [row["intervals"]["score"]["mean"] for row in told["candidates"]]
    assert means == sorted(means, reverse=True)
    assert told["optimism"] == pytest.approx(
        statistics.fmean(row["search"] for row in told["candidates"]) - statistics.fmean(means)
    )


def test_the_lead_is_told_seed_by_seed(own):
    told = confirm(own)

    first, second = told["candidates"][:2]
    paired = [first["values"][seed]["score"] - second["values"][seed]["score"] for seed in first["values"]]
    half = 2.776445 * statistics.stdev(paired) / math.sqrt(5)
    assert (told["lead"]["of"], told["lead"]["over"]) == (first["trial"], second["trial"])
    assert told["lead"]["mean"] == pytest.approx(statistics.fmean(paired))
    assert told["lead"]["ahead"] == (statistics.fmean(paired) - half > 0)


def test_a_person_reads_a_table_and_whether_the_first_is_ahead(own):
    code, out, err = own("confirm", "own", "--runner", "inline", "--seeds", "2", "--top", "2")
    told = confirm(own, "--seeds", "2", "--top", "2")

    first, second = (row["trial"] for row in told["candidates"])
    assert code == 0
    assert "the best 2 of own, trained again with 2 fresh seeds" in out
    assert "own.confirm in sqlite:///nas.db: the best 2 of own, each with 2 fresh seeds; 4 of 4 trainings" in err
    assert f"trial {first} is not shown to be ahead of trial {second}" in out
    assert "more --seeds may tell" in out


def test_a_lead_with_every_seed_is_called_one_where_the_seeds_differ_more_than_the_networks(nas, tmp_path):
    (tmp_path / "shared").touch()
    assert nas(*OWN, "--trials", "100", "--runner", "inline")[0] == 0  # all that there are, the best one among them

    _, out, _ = nas("confirm", "own", "--runner", "inline", "--top", "40", "--seeds", "2")

    told = confirm(nas, "--top", "40", "--seeds", "2")
    best, second = told["candidates"][:2]
    assert set(best["candidate"].values()) == {"conv3"}
    assert told["lead"]["mean"] == pytest.approx(0.25)
    assert told["lead"]["ahead"]
    assert f"trial {best['trial']} is ahead of trial {second['trial']}: +0.2500 score" in out


def test_it_goes_on_with_more_seeds_and_more_of_the_best_and_trains_nothing_twice(own, tmp_path):
    first = confirm(own, "--top", "2", "--seeds", "2")
    count = len(evaluated(tmp_path))
    again = confirm(own, "--top", "2", "--seeds", "2")
    more = confirm(own, "--top", "3", "--seeds", "4")

    assert again == first
    assert (count, len(evaluated(tmp_path)), len(set(evaluated(tmp_path)))) == (4, 12, 12)
    assert [row["complete"] for row in more["candidates"]] == [4, 4, 4]
    before = {row["trial"]: row["values"] for row in first["candidates"]}
    after = {row["trial"]: row["values"] for row in more["candidates"]}
    assert all(before[number].items() <= after[number].items() for number in before)


def test_a_search_that_goes_on_may_have_others_among_its_best(own, tmp_path):
    before = confirm(own, "--top", "1", "--seeds", "2")
    assert own(*OWN, "--trials", "60", "--runner", "inline")[0] == 0

    after = confirm(own, "--top", "1", "--seeds", "2")

    best = max(trials(own, "own"), key=lambda trial: trial["metrics"]["score"])
    assert after["candidates"][0]["trial"] == best["number"] != before["candidates"][0]["trial"]
    assert len(trials(own, "own.confirm")) == 4


def test_a_killed_confirmation_is_finished_by_the_same_command(own, tmp_path):
    (tmp_path / "wait").touch()
    command = [*NAS, "confirm", "own", "--workers", "1", "--json"]
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "busy").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.kill()
    driver.communicate()
    left = [trial["state"] for trial in trials(own, "own.confirm")]
    (tmp_path / "wait").unlink()

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    assert sorted(set(left)) == ["complete", "running"]
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["complete"] for row in told["candidates"]] == [5, 5, 5]
    assert len(trials(own, "own.confirm")) == 15
    assert own("doctor", "own.confirm")[0] == 0


def test_replicates_that_failed_are_counted_and_the_others_are_summed_up(own, tmp_path):
    (tmp_path / "bad").write_text("3")

    told = confirm(own)

    _, out, _ = own("confirm", "own", "--runner", "inline")
    assert [(row["complete"], row["failed"]) for row in told["candidates"]] == [(4, 1)] * 3
    assert [row["intervals"]["score"]["count"] for row in told["candidates"]] == [4, 4, 4]
    assert out.count("4 of 5") == 3


def test_when_no_replicate_succeeds_it_is_exit_code_1(own, tmp_path):
    (tmp_path / "bad").touch()

    told = confirm(own, code=1)

    assert [(row["complete"], row["failed"], row["intervals"]) for row in told["candidates"]] == [(0, 5, {})] * 3
    assert (told["lead"], told["optimism"]) == (None, None)
    code, out, _ = own("confirm", "own", "--runner", "inline")
    assert (code, "no replicate has a result" in out) == (1, True)


def test_with_several_objectives_it_is_the_front_by_the_first_that_is_measured(nas):
    assert nas(*OWN, "--objective", "macs:min", "--trials", "20", "--runner", "inline")[0] == 0
    front = json.loads(nas("best", "own", "--json")[1])

    told = confirm(nas, "--top", "2", "--seeds", "2")
    _, out, _ = nas("confirm", "own", "--runner", "inline", "--top", "2", "--seeds", "2")

    assert told["objective"] == "score:max"
    assert sorted(row["trial"] for row in told["candidates"]) == sorted(trial["number"] for trial in front[:2])
    assert all(list(row["intervals"]) == ["score"] for row in told["candidates"])
    assert "macs" in out


def test_seeds_that_the_search_used_are_passed_over(nas):
    assert nas(*OWN, "--trials", "3", "--seed", FRESH - 1, "--runner", "inline")[0] == 0

    assert confirm(nas, "--seeds", "2")["seeds"] == [FRESH + 2, FRESH + 3]


def test_the_builtin_training_is_repeated_by_the_studys_own_recipe(nas, digits):
    from nas.jobs import Budget
    from nas.recipe import Recipe
    from nas.training import TrainAndValidate

    options = ["--subset", "0.1", "--epochs", "1", "--lr", "0.002", "--batch-size", "24", "--augment", "none"]
    limits = ["--limit", "params<=3e4", "--limit", "macs<=5e5"]
    code, _, err = nas(
        *("search", "--data", "digits", *options, *limits, "--study", "small", "--trials", "2"),
        *("--runner", "inline", "--gpus-per-trial", "0"),
    )
    assert code == 0, err

    told = confirm(nas, "--top", "1", "--seeds", "2", "--gpus-per-trial", "0", name="small")

    (row,) = told["candidates"]
    network = read_study("sqlite:///nas.db", "small").trials[row["trial"]].candidate
    train = TrainAndValidate(digits, Recipe(epochs=1, lr=0.002, batch_size=24, augment="none", subset=0.1))
    found = train(network, Budget(0, 1, FRESH + 1, "cpu", "nowhere"), lambda step, metrics: None)
    assert row["values"][str(FRESH + 1)]["accuracy"] == found["accuracy"]
    assert row["values"][str(FRESH + 1)]["loss"] == found["loss"]
    assert row["values"][str(FRESH)]["loss"] != found["loss"]
    assert row["candidate"] == network.as_json()
    assert row["values"][str(FRESH)]["params"] <= 3e4
    assert nas("doctor", "small.confirm")[0] == 0


def test_a_latency_is_no_objective_of_the_replicates_which_no_seed_changes(nas, digits):
    options = ["--subset", "0.1", "--epochs", "1", "--limit", "params<=3e4", "--gpus-per-trial", "0"]
    goals = ["--objective", "accuracy:max", "--objective", "latency_ms:min"]
    search_it = ["search", "--data", "digits", *options, *goals, "--study", "timed", "--trials", "2"]
    assert nas(*search_it, "--runner", "inline")[0] == 0

    told = confirm(nas, "--top", "1", "--seeds", "2", "--gpus-per-trial", "0", name="timed")

    (row,) = told["candidates"]
    assert (row["complete"], row["failed"]) == (2, 0)
    assert row["intervals"].keys() == {"accuracy"}


# -- what is refused ---------------------------------------------------------------------------------------------------


def refused(nas, *arguments, name="own"):
    code, out, err = nas("confirm", name, "--runner", "inline", *arguments)
    assert (code, out) == (2, "")
    assert err.strip().splitlines()[-1].startswith("nas: ")
    return err


def test_bad_input_is_one_line_and_exit_code_2(own):
    assert "unknown study 'won': did you mean own" in refused(own, name="won")
    assert "--seeds" in refused(own, "--seeds", "1")
    assert "--top" in refused(own, "--top", "0")
    assert "the inline runner is one worker" in refused(own, "--workers", "2")
    assert [study["name"] for study in json.loads(own("studies", "--json")[1])] == ["own"]


def test_a_confirmation_is_neither_confirmed_nor_added_to_nor_exported(own, tmp_path):
    confirm(own, "--seeds", "2", "--top", "1")
    told = "study 'own.confirm' holds what `nas confirm` trained of 'own'; name that one"

    assert told in refused(own, name="own.confirm")
    assert told in own("enqueue", "own.confirm", "cvt-13")[2]
    assert told in own("export", "own.confirm", "--to", tmp_path / "out")[2]


def test_a_study_without_a_complete_trial_is_refused(nas, tmp_path):
    (tmp_path / "bad").touch()
    assert nas(*OWN, "--trials", "1", "--runner", "inline")[0] == 1

    assert "study 'own' has no complete trial to train again yet (1 in all)" in refused(nas)


def test_a_study_made_from_python_is_refused(nas, tmp_path):
    search(Space({"a": one_of("skip", "conv3")}), share_of_conv3, objectives=["accuracy:max"], trials=2, study="own",
           runner="inline", checkpoints=tmp_path / "c")  # fmt: skip

    assert "was made from Python" in refused(nas)


def test_a_space_that_changed_is_refused(own, tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE).replace("range(4)", "range(5)"))
    sys.modules.pop("mine")

    assert "the space of study 'own' is another one now" in refused(own)


def test_an_evaluation_that_is_gone_is_named(own, tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE).replace("def evaluate", "def other"))
    sys.modules.pop("mine")

    assert "'mine' has no 'evaluate'" in refused(own)


def test_replicates_of_another_study_of_this_name_are_refused(own):
    confirm(own, "--seeds", "2", "--top", "1")
    assert own("studies", "delete", "own", "--yes")[0] == 0
    other = [word.replace("macs<=16", "macs<=12") for word in OWN]
    assert own(*other, "--trials", "3", "--runner", "inline")[0] == 0

    assert "`nas studies delete own.confirm` makes room" in refused(own)


def test_data_that_changed_are_refused(nas, tmp_path):
    import numpy as np
    from PIL import Image

    def draw(index):
        for name in "ab":
            (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng([index, ord(name)]).integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.png")

    for index in range(12):
        draw(index)
    code, _, err = nas(
        *(
            "search",
            "--data",
            "folder:photos",
            "--epochs",
            "1",
            "--trials",
            "1",
            "--study",
            "own",
            "--runner",
            "inline",
        ),
        *("--limit", "params<=3e4", "--limit", "macs<=5e5", "--gpus-per-trial", "0"),
    )
    assert code == 0, err
    draw(12)

    assert "has changed since study 'own' was made" in refused(nas)
