"""Searches under limits on what only the evaluation measures: what is best, what Optuna sees, what stays."""

import optuna
import pytest
from evaluations import macs
from optunas import loaded

from nas import search
from nas.store.managing import summaries
from nas.store.reading import read_study
from nas.trial import State

LIMIT = "heat<=6"


def evaluate(candidate, budget, report):
    """Accuracy is the share of convolutions, heat is what they cost: the most accurate are too hot."""
    values = list(candidate.values())
    found = {"accuracy": sum(value != "skip" for value in values) / 4, "heat": macs(candidate)["macs"]}
    return found if values[0] != "conv5" else {"accuracy": found["accuracy"]}


def run(url, layers, tmp_path, evaluate=evaluate, **options):
    arguments = {"objectives": ["accuracy:max"], "trials": 40, "study": "s", "runner": "inline", "sampler": "random"}
    arguments |= {"constraints": [LIMIT], "storage": url, "checkpoints": tmp_path / "c", **options}
    return search(layers, evaluate, **arguments)


def complete(trials):
    return [trial for trial in trials if trial.state is State.COMPLETE]


def test_what_breaks_a_limit_on_a_metric_is_a_trial_but_never_best_nor_kept(database, layers, tmp_path):
    result = run(database, layers, tmp_path)

    hot = {trial.number for trial in complete(result.trials) if trial.metrics["heat"] > 6}
    assert hot, "some are trained to be seen to break it"
    assert result.best.metrics["heat"] <= 6
    assert result.best.metrics["accuracy"] == 0.5 < max(trial.metrics["accuracy"] for trial in complete(result.trials))
    assert {trial.number for trial in result.ranked} == {trial.number for trial in complete(result.trials)} - hot
    assert result.nearest is None
    assert not hot & {int(path.name) for path in (tmp_path / "c" / "s").iterdir()}
    assert summaries(database)[0].best == 0.5
    assert [*map(str, read_study(database, "s").limits)] == [LIMIT]


def test_a_trial_without_the_metric_fails_and_says_so(layers, tmp_path):
    result = run(None, layers, tmp_path)

    failed = [trial for trial in result.trials if trial.state is State.FAIL]
    assert failed
    assert {trial.candidate["layer0"] for trial in failed} == {"conv5"}
    assert {trial.reason for trial in failed} == {
        "evaluate returned accuracy, and the metric 'heat' of the limit heat<=6 is not among them"
    }


def test_when_nothing_keeps_the_limit_there_is_no_best_and_the_nearest_is_named_and_kept(layers, tmp_path):
    result = run(f"sqlite:///{tmp_path}/nas.db", layers, tmp_path, constraints=["heat<=-1"], trials=20)

    assert result.best is None
    assert result.pareto == ()
    coldest = min(complete(result.trials), key=lambda trial: (trial.metrics["heat"], -trial.metrics["accuracy"]))
    assert result.nearest == coldest
    assert coldest.number in {int(path.name) for path in (tmp_path / "c" / "s").iterdir()}
    assert summaries(f"sqlite:///{tmp_path}/nas.db")[0].best is None


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optuna_reads_every_limit_of_every_complete_trial_and_its_best_is_ours(database, layers, tmp_path):
    goals, limits = ["accuracy:max", "macs:min"], [LIMIT, "macs<=16"]
    result = run(database, layers, tmp_path, objectives=goals, constraints=limits, costs=macs)

    study = loaded(database)

    done = {trial.number: trial for trial in complete(result.trials)}
    read = {trial.number: trial for trial in study.trials if trial.state is optuna.trial.TrialState.COMPLETE}
    assert read.keys() == done.keys()
    for number, trial in read.items():
        metrics = done[number].metrics
        expected = {"macs<=16": metrics["macs"] - 16, LIMIT: metrics["heat"] - 6}
        assert {name: trial.constraints[name] for name in expected} == expected
        assert trial.system_attrs["constraints"] == [*expected.values()]
    front = {tuple(trial.values) for trial in study.best_trials}
    assert front == {(trial.metrics["accuracy"], trial.metrics["macs"]) for trial in result.pareto}


@pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler", "GPSampler"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_stock_sampler_goes_on_with_limits_on_metrics(layers, tmp_path, name):
    url = f"sqlite:///{tmp_path}/nas.db"
    run(url, layers, tmp_path, trials=25)
    study = optuna.load_study(storage=url, study_name="s", sampler=getattr(optuna.samplers, name)(seed=1))

    trial = study.ask(study.trials[0].distributions)
    for constraint in study.trials[0].constraints:
        trial.set_constraint(constraint, 1.0)
    study.tell(trial, 1.0)

    assert study.best_trial.number != trial.number, "it broke the limit"
    assert study.best_trial.constraints[LIMIT] <= 0


@pytest.mark.parametrize("sampler", ["auto", "evolution", "tpe", "nsga2", "random"])
@pytest.mark.parametrize("goals", [["accuracy:max"], ["accuracy:max", "macs:min"]])
def test_a_study_under_a_limit_on_a_metric_goes_on_with_what_it_found(layers, tmp_path, sampler, goals):
    url = f"sqlite:///{tmp_path}/nas.db"
    first = run(url, layers, tmp_path, objectives=goals, costs=macs, trials=15, sampler=sampler)
    second = run(url, layers, tmp_path, objectives=goals, costs=macs, trials=30, sampler=sampler)

    assert second.trials[:15] == first.trials
    assert len({trial.digest for trial in second.trials}) == 30
    assert all(trial.metrics["heat"] <= 6 for trial in second.ranked)


def test_reused_evaluations_are_judged_by_the_limits_of_the_study_that_reuses_them(database, layers, tmp_path):
    same = {"protocol": {"data": "d"}}
    first = run(database, layers, tmp_path, study="first", constraints=None, **same)
    lacking = [trial for trial in complete(first.trials) if "heat" not in trial.metrics]

    second = run(database, layers, tmp_path, trials=1, reuse=True, **same)

    assert lacking, "without the limit they were complete"
    taken = [trial for trial in second.trials if trial.origin == "reused"]
    assert len(taken) == len(complete(first.trials)) - len(lacking)
    assert {trial.metrics["heat"] <= 6 for trial in taken} == {True, False}
    assert all(trial.metrics["heat"] <= 6 for trial in second.ranked)
    for trial in loaded(database).trials[: len(taken)]:
        assert trial.constraints[LIMIT] == second.trials[trial.number].metrics["heat"] - 6


def test_a_trial_that_optuna_ran_is_best_only_if_what_is_limited_is_known_of_it(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    run(url, layers, tmp_path, trials=5)
    study = loaded(url)
    trial = study.ask(study.trials[0].distributions)
    study.tell(trial, 1.0)

    result = run(url, layers, tmp_path, trials=8)

    assert result.trials[5].metrics == {"accuracy": 1.0}
    assert 5 not in {trial.number for trial in result.ranked}


@pytest.mark.parametrize(
    "goals", [["macs:min"], ["macs:min", "accuracy:max"], ["heat:min", "macs:min", "accuracy:max"], ["heat:min"]]
)
@pytest.mark.parametrize("sampler", ["auto", "evolution", "tpe"])
def test_objectives_are_any_mix_of_known_and_trained(layers, tmp_path, goals, sampler):
    result = run(
        None, layers, tmp_path, objectives=goals, costs=macs, constraints=["accuracy>=0.5"], sampler=sampler,
        evaluate=lambda candidate, budget, report: {**evaluate(candidate, budget, report), "heat": macs(candidate)["macs"]},
    )  # fmt: skip

    assert len(complete(result.trials)) == 40
    assert result.best.metrics["accuracy"] >= 0.5
    if goals[0] != "accuracy:max":
        assert result.best.metrics["macs"] == min(trial.metrics["macs"] for trial in result.ranked)
