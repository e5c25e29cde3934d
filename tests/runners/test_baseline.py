"""`nas search --baseline`: random search beside a search, with the same budget, within the same limits."""

import json

import pytest

from nas.history import History, scale_of
from nas.store.reading import read_study

OWN = ["search", "--space", "evaluations:space", "--evaluate", "evaluations:share_of_conv3",
       "--costs", "evaluations:macs", "--study", "own", "--objective", "accuracy:max", "--limit", "macs<=9",
       "--epochs", "1", "--runner", "inline", "--sampler", "tpe"]  # fmt: skip
DIGITS = ["search", "--data", "digits", "--subset", "0.1", "--epochs", "1", "--limit", "params<=3e4", "--limit",
          "macs<=5e5", "--runner", "inline", "--gpus-per-trial", "0", "--study", "small"]  # fmt: skip


def searched(nas, *arguments):
    code, out, err = nas(*OWN, "--baseline", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def record(name="own"):
    return read_study("sqlite:///nas.db", name)


def shape(trials):
    return [(trial.number, trial.digest, trial.metrics) for trial in trials]


def test_random_search_gets_as_many_trials_within_the_same_limits_and_learns_nothing(nas):
    told = searched(nas, "--trials", "14")

    ours, random = record(), record("own.baseline")
    assert (told["trials"], len(ours.trials), len(random.trials)) == (14, 14, 14)
    assert random.settings == ours.settings
    assert {trial.origin for trial in random.trials} == {"random"}
    assert {trial.origin for trial in ours.trials} > {"random"}
    assert all(trial.metrics["macs"] <= 9 for trial in random.trials)
    assert len({trial.digest for trial in random.trials}) == 14


def test_its_draws_are_not_those_that_the_search_starts_with(nas):
    searched(nas, "--trials", "8")

    digests = [[trial.digest for trial in record(name).trials[:8]] for name in ("own", "own.baseline")]

    assert len(set(digests[0]) & set(digests[1])) < 8
    assert digests[0] != digests[1]


def test_the_comparison_is_by_the_best_after_as_many_trainings(nas):
    told = searched(nas, "--trials", "14")["baseline"]

    ours = [trial.metrics["accuracy"] for trial in record().trials]
    random = [trial.metrics["accuracy"] for trial in record("own.baseline").trials]
    sooner = [number + 1 for number, value in enumerate(ours) if value >= max(random)]
    assert told == {
        "study": "own.baseline", "sampler": "tpe", "trainings": 14, "measure": "accuracy", "ours": max(ours),
        "random": max(random), "reached": sooner[0] if sooner else None,
    }  # fmt: skip


def test_with_several_objectives_it_is_by_the_hypervolume_of_the_fronts_on_one_scale(nas):
    told = searched(nas, "--objective", "macs:min", "--trials", "14")["baseline"]

    mine, theirs = record(), record("own.baseline")
    scale = scale_of([History(each.finished, each.objectives) for each in (mine, theirs)])
    values = [History(each.finished, each.objectives, scale).value() for each in (mine, theirs)]
    assert told["measure"] == "hypervolume"
    assert [told["ours"], told["random"]] == values
    assert min(values) > 0


def test_the_end_says_who_was_better_and_shows_the_best_of_random_search(nas):
    code, out, err = nas(*OWN, "--baseline", "--trials", "14")

    body = json.loads(nas(*OWN, "--baseline", "--trials", "14", "--json")[1])
    told, best = body["baseline"], [row for row in body["comparison"] if row["what"] == "the best of random search"]
    assert code == 0
    assert "random search with the same budget: study own.baseline" in err
    assert f"after 14 trainings each: best accuracy {told['ours']:.4f} by tpe" in out.replace("1 by", "1.0000 by")
    assert "the best of random search" in out
    assert "how much of it is luck: nas confirm own" in out
    assert best[0]["metrics"]["accuracy"] == told["random"]


def test_the_same_command_goes_on_with_both(nas):
    searched(nas, "--trials", "6")
    before = {name: shape(record(name).trials) for name in ("own", "own.baseline")}

    again = searched(nas, "--trials", "6")
    more = searched(nas, "--trials", "10")

    assert again["baseline"]["trainings"] == 6
    assert more["baseline"]["trainings"] == 10
    for name, trials in before.items():
        assert shape(record(name).trials)[:6] == trials
        assert len(record(name).trials) == 10


def test_a_search_that_is_over_gets_its_baseline_afterwards(nas):
    assert nas(*OWN, "--trials", "6")[0] == 0
    before = shape(record().trials)

    told = searched(nas, "--trials", "6")

    assert shape(record().trials) == before
    assert told["baseline"]["trainings"] == 6


def test_studies_of_unequal_length_are_compared_after_the_trainings_of_the_shorter(nas):
    searched(nas, "--trials", "4")
    assert nas(*OWN, "--trials", "12")[0] == 0
    short = max(trial.metrics["accuracy"] for trial in record().trials[:4])
    from runners.baseline import compare
    from runners.job_setup import prepare

    setup = prepare_own()
    found = compare(prepare(setup), "sqlite:///nas.db")

    assert (found.trainings, found.ours) == (4, short)


def prepare_own():
    from nas.config import SearchConfig

    return SearchConfig(
        space="evaluations:space", evaluate="evaluations:share_of_conv3", costs="evaluations:macs", study="own",
        objectives=["accuracy:max"], limits=["macs<=9"], epochs="1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--sampler", "random"], "--baseline compares with random search, and --sampler random is that already"),
        (["--study", "s" * 125], "is too long for the study of random search beside it"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_makes_nothing(nas, tmp_path, arguments, told):
    code, out, err = nas(*OWN, "--baseline", *arguments)

    assert (code, out) == (2, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []


def test_a_search_in_which_nothing_succeeds_has_nothing_to_compare(nas):
    nothing = [word.replace("share_of_conv3", "returns_nan") for word in OWN]

    code, out, _ = nas(*nothing, "--baseline", "--trials", "3")

    assert code == 1
    assert "after 3 trainings each: best accuracy nothing by tpe, nothing by random search" in out


def test_on_the_digits_both_train_by_the_same_recipe(nas, tmp_path):
    (tmp_path / "search.toml").write_text("baseline = true\ntrials = 2\n")

    code, out, err = nas("search", "search.toml", *DIGITS[1:], "--json")

    assert code == 0, err
    told, random = json.loads(out)["baseline"], record("small.baseline")
    assert told["trainings"] == 2
    assert random.settings == record("small").settings
    assert told["random"] == max(trial.metrics["accuracy"] for trial in random.trials) > 0
    assert [trial.budget.stop for trial in random.trials] == [1, 1]
