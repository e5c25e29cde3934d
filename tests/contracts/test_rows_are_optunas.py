"""A study of ours, read by Optuna, equals one that Optuna wrote itself, field by field, on SQLite and PostgreSQL."""

import optuna
import pytest
from evaluations import macs, share_of_conv3

from nas import Space, int_range, one_of, search
from nas.store.optuna_rows import distribution

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


@pytest.mark.parametrize("goals", [{"accuracy": "maximize"}, {"accuracy": "maximize", "macs": "minimize"}])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_trials_read_by_optuna_equal_those_that_optuna_wrote(database, space, goals, tmp_path):
    ours = search(
        space, evaluate, objectives=goals, costs=costs, constraints={"macs": "<= 12"}, trials=30, sampler="random",
        storage=database, study="ours", runner="inline", epochs=(1, 3), checkpoints=tmp_path,
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
