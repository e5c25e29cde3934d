"""A study of ours, read by Optuna, equals one that Optuna wrote itself, field by field, on SQLite and PostgreSQL."""

import dataclasses
import importlib.util
import itertools
import math

import optuna
import pytest
from evaluations import macs, share_of_conv3

from nas import Space, int_range, one_of, search
from nas.feasible import Pricing
from nas.jobs import Budget
from nas.objectives import limits_from, objectives_from
from nas.store.opening import open_study
from nas.store.optuna_rows import distribution
from nas.store.reading import read_study
from nas.trial import State, Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)


def evaluate(candidate, budget, report):
    if candidate["layer0"] == "conv5" and candidate["depth"] == 3:
        raise RuntimeError("no luck")
    names = {name: value for name, value in candidate.items() if name.startswith("layer")}
    return share_of_conv3(names, budget, report)


def costs(candidate):
    return macs({name: value for name, value in candidate.items() if name.startswith("layer")})


@pytest.fixture
def space():
    layers = {f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(3)}
    return Space({**layers, "depth": int_range(1, 3), "ratio": one_of(0.5, 1.0, 4.0), "bias": one_of(True, False)})


def written_by_optuna(url, ours, space, goals):
    """The same trials through Optuna's own API."""
    study = optuna.create_study(storage=url, study_name="theirs", directions=list(goals.values()))
    study.set_metric_names(list(goals))
    distributions = {gene.path: distribution(gene) for gene in space.genes}
    for done in ours.trials:
        params = space.params(done.genome)
        study.enqueue_trial(params)
        trial = study.ask({name: distributions[name] for name in params})
        for name, value in {"digest": done.digest, "origin": done.origin, "macs": done.metrics["macs"]}.items():
            trial.set_user_attr(name, value)
        if len(goals) == 1:
            for step, metrics in done.curve.items():
                trial.report(metrics["accuracy"], step)
        trial.set_user_attr("seconds", done.seconds)
        if done.reason:
            trial.set_user_attr("reason", done.reason)
        trial.set_constraint("macs<=12", done.metrics["macs"] - 12)
        if done.state == "complete":
            study.tell(trial, [done.metrics[name] for name in goals])
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return study


@pytest.mark.soak_when("postgres-goals0")
@pytest.mark.parametrize("goals", [{"accuracy": "maximize"}, {"accuracy": "maximize", "macs": "minimize"}])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_trials_read_by_optuna_equal_those_that_optuna_wrote(database, space, goals, tmp_path):
    ours = search(
        space, evaluate, objectives=goals, costs=costs, constraints={"macs": "<= 12"}, trials=30, sampler="random",
        storage=database, study="ours", runner="inline", epochs=(3, 3), checkpoints=tmp_path,
    )  # fmt: skip
    theirs = written_by_optuna(database, ours, space, goals)

    read = optuna.load_study(storage=database, study_name="ours")

    assert read.directions == theirs.directions
    assert read.metric_names == theirs.metric_names
    states = {trial.state for trial in read.trials}
    assert {optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL} <= states
    for mine, other in zip(read.trials, theirs.trials, strict=True):
        assert mine.number == other.number
        assert mine.state == other.state
        assert mine.params == other.params
        assert {name: type(value) for name, value in mine.params.items()} == {
            name: type(value) for name, value in other.params.items()
        }
        assert mine.distributions == other.distributions
        assert mine.values == other.values
        assert mine.intermediate_values == other.intermediate_values
        assert mine.user_attrs == other.user_attrs
        assert mine.datetime_start <= mine.datetime_complete
        assert abs((mine.datetime_start - other.datetime_start).total_seconds()) < 300
        doubled = {
            "constraints": [value for name, value in other.system_attrs.items() if name.startswith("constraints:")]
        }
        expected = {name: value for name, value in other.system_attrs.items() if name != "fixed_params"}
        assert mine.system_attrs == expected | doubled
        assert mine.constraints == other.constraints | {"0": mine.system_attrs["constraints"][0]}


@pytest.mark.parametrize("goals", [["accuracy:max"], ["accuracy:max", "macs:min"]])
@pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler", "RandomSampler"])
def test_a_stock_sampler_goes_on_with_a_study_of_ours(tmp_path, space, goals, name):
    url = f"sqlite:///{tmp_path}/nas.db"
    search(
        space,
        evaluate,
        objectives=goals,
        costs=costs,
        trials=15,
        storage=url,
        study="s",
        runner="inline",
        checkpoints=tmp_path,
    )
    study = optuna.load_study(storage=url, study_name="s", sampler=getattr(optuna.samplers, name)(seed=1))

    trial = study.ask({gene.path: distribution(gene) for gene in space.genes})
    study.tell(trial, [0.5] * len(goals))

    assert study.trials[-1].number == 15
    assert study.trials[-1].state == optuna.trial.TrialState.COMPLETE
    assert set(trial.params) == {gene.path for gene in space.genes}


def test_a_running_trial_shows_as_running_with_its_parameters(tmp_path, space):
    url, seen = f"sqlite:///{tmp_path}/nas.db", []

    def look(candidate, budget, report):
        seen.append(optuna.load_study(storage=url, study_name="s").trials[-1])
        return evaluate(candidate, budget, report)

    search(
        space,
        look,
        objectives=["accuracy:max"],
        trials=2,
        storage=url,
        study="s",
        runner="inline",
        checkpoints=tmp_path,
    )

    assert [trial.state for trial in seen] == [optuna.trial.TrialState.RUNNING] * 2
    assert all(set(trial.params) == {gene.path for gene in space.genes} for trial in seen)


def test_optuna_can_delete_a_study_of_ours_and_its_name_is_free_again(database, space, tmp_path):
    common = {
        "objectives": ["accuracy:max"],
        "storage": database,
        "study": "s",
        "runner": "inline",
        "checkpoints": tmp_path,
    }
    search(space, evaluate, trials=3, **common)

    optuna.delete_study(storage=database, study_name="s")
    again = search(space, evaluate, trials=2, **common)

    assert len(again.trials) == 2
    assert len(optuna.load_study(storage=database, study_name="s").trials) == 2


# -- pruned trials, which a store must be able to hold -----------------------------------------------------------------

ONE, TWO = {"accuracy": "maximize"}, {"accuracy": "maximize", "macs": "minimize"}


def drawn(space, count):
    """Candidates that `costs` tells apart."""
    return list(itertools.islice(itertools.islice(space, 7, None, 41), count))


def written_by_the_store(url, space, goals, curves, checkpoints):
    """One trial for each curve: an empty one fails, one that ends in None is pruned, any other is complete."""
    objectives, limits = objectives_from(goals), limits_from({"macs": "<= 12"})
    pricing = Pricing(space, costs, limits)
    store = open_study(
        url, "ours", {"objectives": [*map(str, objectives)], "limits": [], "epochs": [1, 3]}, space, objectives
    )
    store.load(pricing)
    for number, (genome, curve) in enumerate(zip(drawn(space, len(curves)), curves, strict=True)):
        priced = pricing.price(genome)
        trial = Trial(
            number=number, genome=priced.genome, candidate=priced.candidate, digest=space.identity(priced.candidate),
            state=State.RUNNING, origin="random", attempt=1, metrics=priced.costs,
            budget=Budget(0, 3, number, "cpu", str(checkpoints / str(number))),
        )  # fmt: skip
        store.begin(space, [trial], [])
        told = [value for value in curve if value is not None]
        for step, value in enumerate(told, 1):
            trial = dataclasses.replace(trial, curve={**trial.curve, step: {"accuracy": value}})
            store.report(trial, step, {"accuracy": value})
        excesses = {str(limit): limit.excess(trial.metrics) for limit in limits}
        if not curve:
            store.finish(trial.moved(State.FAIL, reason="no luck", seconds=1.0), None, excesses)
        elif curve[-1] is None:  # as Optuna's `tell`: the last intermediate value is the value, with one objective
            last = [told[-1]] if told and len(goals) == 1 else None
            store.finish(trial.moved(State.PRUNED, seconds=1.0), last, excesses)
        else:
            metrics = {**trial.metrics, "accuracy": told[-1]}
            ended = trial.moved(State.COMPLETE, metrics=metrics, seconds=1.0)
            store.finish(ended, [metrics[name] for name in goals], excesses)
        assert store.flush()
    store.close()


def told_to_optuna(url, space, goals, curves):
    """The same through Optuna's API."""
    study = optuna.create_study(storage=url, study_name="theirs", directions=list(goals.values()))
    distributions = {gene.path: distribution(gene) for gene in space.genes}
    for genome, curve in zip(drawn(space, len(curves)), curves, strict=True):
        params = space.params(genome)
        study.enqueue_trial(params)
        trial = study.ask({name: distributions[name] for name in params})
        told = [value for value in curve if value is not None]
        if len(goals) == 1:
            for step, value in enumerate(told, 1):
                trial.report(value, step)
        known = costs(space.decode(genome))
        trial.set_constraint("macs<=12", known["macs"] - 12)
        if not curve:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif curve[-1] is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, [{"accuracy": told[-1], **known}[name] for name in goals])
    return study


CURVES = [[0.1, 0.5, 0.75], [0.25, 0.125, None], [0.5, None], [None], [], [0.3, 0.4, 0.5]]


@pytest.mark.parametrize("goals", [ONE, TWO], ids=["one objective", "two objectives"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_pruned_trials_read_by_optuna_equal_those_that_optuna_was_told(database, space, goals, tmp_path):
    written_by_the_store(database, space, goals, CURVES, tmp_path)
    theirs = told_to_optuna(database, space, goals, CURVES)

    read = optuna.load_study(storage=database, study_name="ours")

    states = [trial.state.name for trial in read.trials]
    assert states == ["COMPLETE", "PRUNED", "PRUNED", "PRUNED", "FAIL", "COMPLETE"]
    for mine, other in zip(read.trials, theirs.trials, strict=True):
        assert mine.number == other.number
        assert mine.state == other.state
        assert (mine.params, mine.distributions) == (other.params, other.distributions)
        assert mine.values == other.values
        assert mine.intermediate_values == other.intermediate_values
        assert mine.last_step == other.last_step
        assert {name: mine.constraints[name] for name in other.constraints} == other.constraints
    pruned = read.trials[1]
    assert pruned.values == ([0.125] if goals is ONE else None)
    assert pruned.intermediate_values == ({1: 0.25, 2: 0.125} if goals is ONE else {})
    assert read.trials[3].values is None
    ours = read_study(database, "ours").trials
    assert [trial.state.value for trial in ours] == [name.lower() for name in states]
    assert ours[1].curve == {1: {"accuracy": 0.25}, 2: {"accuracy": 0.125}}


def stock(name, seed=1):
    if name == "GPSampler":
        for module in ("torch", "scipy"):
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"{name} needs {module}")
    options = {"n_startup_trials": 2} if name in ("TPESampler", "GPSampler") else {}
    if name == "NSGAIISampler":
        options = {"population_size": 2}
    return getattr(optuna.samplers, name)(seed=seed, **options)


@pytest.mark.parametrize("goals", [ONE, TWO], ids=["one objective", "two objectives"])
@pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler", "GPSampler", "QMCSampler"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_stock_sampler_goes_on_with_pruned_failed_and_complete_trials_of_ours(tmp_path, space, goals, name):
    url = f"sqlite:///{tmp_path}/nas.db"
    written_by_the_store(url, space, goals, CURVES, tmp_path)
    study = optuna.load_study(storage=url, study_name="ours", sampler=stock(name))
    distributions = {gene.path: distribution(gene) for gene in space.genes}

    for _ in range(3):
        trial = study.ask(distributions)
        assert trial.params.keys() == distributions.keys()
        for constraint, value in study.trials[0].constraints.items():  # as many as its others have, says GPSampler
            trial.set_constraint(constraint, value)
        study.tell(trial, [0.5] * len(goals))

    assert [trial.number for trial in study.trials] == list(range(9))
    assert [trial.state.name for trial in study.trials[6:]] == ["COMPLETE"] * 3
    assert len(study.best_trials) >= 1
    assert all(math.isfinite(value) for trial in study.best_trials for value in trial.values)


def test_reused_trials_have_the_constraints_that_trained_ones_have(database, space, tmp_path):
    common = {
        "objectives": ["accuracy:max"], "costs": costs, "constraints": {"macs": "<= 12"}, "storage": database,
        "runner": "inline", "sampler": "random", "checkpoints": tmp_path, "protocol": {"data": "d"},
    }  # fmt: skip
    search(space, evaluate, trials=3, study="first", **common)

    search(space, evaluate, trials=2, study="s", reuse=True, seed=7, **common)

    read = optuna.load_study(storage=database, study_name="s").trials
    assert [trial.user_attrs["origin"] for trial in read] == ["reused"] * 3 + ["random"] * 2
    for trial in read:
        assert trial.constraints["macs<=12"] == trial.user_attrs["macs"] - 12
