"""Rungs on Ray Tune: who is paused, woken and stopped there, and what people see in Tune."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import evaluations
import pytest
import ray
from ray import tune

from nas import open_search, search
from nas.errors import InputError
from nas.trial import State
from runners.ray_study import SPARED
from runners.tune import RungScheduler, StudySearcher


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    paths = [str(Path(evaluations.__file__).parent), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


def run(layers, tmp_path, evaluate=evaluations.share_of_conv3, **options):
    arguments = {
        "objectives": {"accuracy": "maximize"},
        "trials": 9,
        "sampler": "random",
        "workers": 2,
        "epochs": (1, 9),
        "study": "s",
        "storage": f"sqlite:///{tmp_path}/nas.db",
        "checkpoints": tmp_path / "checkpoints",
    }
    return search(layers, evaluate, runner="ray", **{**arguments, **options})


@pytest.mark.slow
def test_trials_climb_the_rungs_and_no_epoch_is_trained_twice(layers, tmp_path):
    result = run(layers, tmp_path, evaluations.logs_epochs)

    states = [trial.state for trial in result.trials]
    assert {*states} == {State.COMPLETE, State.PRUNED}
    assert 1 <= states.count(State.COMPLETE) <= 3
    logs = tmp_path / "checkpoints" / "s"
    for trial in result.trials:
        assert trial.attempt == 1
        assert [*trial.curve] == list(range(1, trial.epochs + 1))
        assert trial.epochs in (1, 3, 9)
        log = logs / str(trial.number) / "epochs"
        assert log.exists() or trial.state is State.PRUNED
        if log.exists():
            assert log.read_text().split() == [*map(str, trial.curve)]


class Recording(ray.tune.Callback):
    """What a user's callback is told."""

    def __init__(self):
        self.configs, self.results, self.starts, self.ends = {}, [], [], []

    def on_trial_start(self, iteration, trials, trial, **info):
        self.configs[trial.trial_id] = trial.config
        self.starts.append(trial.trial_id)

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.results.append((trial.trial_id, dict(result)))

    def on_trial_complete(self, iteration, trials, trial, **info):
        self.ends.append(trial.trial_id)


def test_callbacks_see_one_tune_trial_a_candidate_with_its_choices_and_its_metrics_by_epoch(layers, tmp_path):
    seen = Recording()

    result = run(layers, tmp_path, callbacks=[seen])

    assert len(seen.configs) == 9
    params = {trial_id: config["params"] for trial_id, config in seen.configs.items()}
    assert sorted(map(repr, params.values())) == sorted(repr(trial.candidate) for trial in result.trials)
    number = {repr(trial.candidate): trial for trial in result.trials}
    for trial_id, chosen in params.items():
        trial = number[repr(chosen)]
        told = [each for name, each in seen.results if name == trial_id]
        assert {each["epoch"]: each["accuracy"] for each in told} == pytest.approx(
            {epoch: metrics["accuracy"] for epoch, metrics in trial.curve.items()} | {9: trial.metrics["accuracy"]}
            if trial.state is State.COMPLETE
            else {epoch: metrics["accuracy"] for epoch, metrics in trial.curve.items()}
        )
        assert all(each["training_iteration"] == each["epoch"] for each in told)
        assert not any("mixer_nas" in key for each in told for key in each)
        assert seen.starts.count(trial_id) == [1, 3, 9].index(trial.epochs) + 1  # woken, not made anew
    assert sorted(seen.ends) == sorted(params)


def test_rays_own_loggers_write_each_trials_curve_below_the_checkpoints(layers, tmp_path):
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

    result = run(layers, tmp_path, callbacks=[JsonLoggerCallback(), CSVLoggerCallback()], trials=2, epochs=(3, 3))

    logs = sorted((tmp_path / "checkpoints" / "s" / "tune").glob("*/*/result.json"))
    assert len(logs) == 2
    lines = [[json.loads(line) for line in log.read_text().splitlines()] for log in logs]
    assert all([each["epoch"] for each in told] == [1, 2, 3, 3] for told in lines)
    assert {told[-1]["accuracy"] for told in lines} == {trial.metrics["accuracy"] for trial in result.trials}
    params = [json.loads((log.parent / "params.json").read_text())["params"] for log in logs]
    assert sorted(map(repr, params)) == sorted(repr(trial.candidate) for trial in result.trials)
    assert all("accuracy" in (log.parent / "progress.csv").read_text().splitlines()[0] for log in logs)


def test_what_is_no_callback_and_a_runner_without_are_refused(layers, tmp_path):
    with pytest.raises(
        InputError, match=r"callback 'mlflow': an object of a class that derives from ray\.tune\.Callback"
    ):
        run(layers, tmp_path, callbacks=["mlflow"])
    with pytest.raises(InputError, match="callbacks are Ray Tune's; use the runner ray"):
        search(layers, evaluations.share_of_conv3, objectives=["accuracy:max"], storage=None, callbacks=[Recording()])


def fit(study, trainable, workers=2, **more):
    """Tune over a study as docs/tune.md says it."""
    searcher = StudySearcher(study, workers, **more)
    tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher, scheduler=RungScheduler(searcher), num_samples=-1, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            storage_path=str(study.plan.checkpoints / "tune"),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    ).fit()
    if searcher.error is not None:
        raise searcher.error
    return [study.trials[number] for number in sorted(study.trials)]


@pytest.mark.slow
def test_a_trainable_of_ones_own_that_raises_or_reports_nothing_useful_fails_its_candidate_with_the_reason(layers):
    def train(config):
        if config["params"]["layer0"] == "conv5":
            raise RuntimeError("no luck with conv5")
        if config["params"]["layer0"] == "conv3":
            tune.report({"f1": 0.5})
        else:
            tune.report({"accuracy": float("nan")})

    with open_search(layers, objectives=["accuracy:max"], trials=8, sampler="random", storage=None) as study:
        trials = fit(study, train)

    reasons = {trial.candidate["layer0"]: trial.reason for trial in trials}
    assert {trial.state for trial in trials} == {State.FAIL}
    assert {trial.attempt for trial in trials} == {1}
    assert "RuntimeError: no luck with conv5" in reasons["conv5"]
    assert reasons["conv3"] == "evaluate returned f1, and the objective 'accuracy' is not among them"
    assert reasons["skip"].startswith("diverged: accuracy is nan")


def test_a_searcher_without_its_scheduler_says_so(layers):
    with (
        open_search(layers, objectives=["accuracy:max"], trials=1, storage=None) as study,
        pytest.raises(InputError, match=r"StudySearcher needs scheduler=RungScheduler\(searcher\)"),
    ):
        StudySearcher(study, 1).suggest("a")


def test_a_job_whose_actor_was_dead_before_it_began_is_the_same_attempt_again_but_not_for_ever(layers):
    with open_search(layers, objectives=["accuracy:max"], trials=1, storage=None) as study:
        searcher = StudySearcher(study, 1)
        RungScheduler(searcher)
        attempts = []
        for turn in range(100):
            config = searcher.suggest(str(turn))
            if config == searcher.FINISHED:
                break
            attempts.append(config["attempt"])
            searcher.broke(str(turn), "its node is gone", begun=False, own=False, unmade=False)
            searcher.on_trial_complete(str(turn), error=True)

    assert attempts == [1] * (SPARED + 1) + [2, 3]
    assert study.trials[0].reason == "lost 3 times: its node is gone"


def test_after_an_error_that_ends_the_search_no_job_is_given_to_another_actor(layers):
    with open_search(layers, objectives=["accuracy:max"], trials=9, storage=None) as study:
        searcher = StudySearcher(study, 2)
        RungScheduler(searcher)
        for name in ("a", "b"):
            searcher.suggest(name)
        searcher.broke("a", "its node is gone", begun=False, own=False, unmade=False)
        searcher.broke("b", "no torch there", begun=False, own=False, unmade=True)
        for name in ("a", "b"):
            searcher.on_trial_complete(name, error=True)

        assert searcher.suggest("c") == searcher.FINISHED


def test_where_ray_starts_no_actor_at_all_the_search_ends_and_no_trial_is_spent(layers, tmp_path):
    (tmp_path / "error").write_text("ray.exceptions.ActorDiedError: ...\nThe actor never ran - it was cancelled.\n")
    with open_search(layers, objectives=["accuracy:max"], trials=9, storage=None) as study:
        searcher = StudySearcher(study, 3)
        scheduler = RungScheduler(searcher)
        turns = iter(range(100))
        while searcher.error is None:
            trial = SimpleNamespace(trial_id=str(next(turns)), error_file=tmp_path / "error")
            trial.get_pickled_error = ray.exceptions.ActorDiedError
            assert searcher.suggest(trial.trial_id) is not None
            scheduler.on_trial_error(SimpleNamespace(), trial)
            searcher.on_trial_complete(trial.trial_id, error=True)

    assert str(searcher.error) == "a Ray worker cannot start: The actor never ran - it was cancelled"
    assert {(trial.state, trial.attempt) for trial in study.trials.values()} == {(State.RUNNING, 1)}


def test_the_command_takes_a_callback_by_name_and_only_with_ray(nas, tmp_path):
    (tmp_path / "mine.py").write_text("class Nothing: pass\n")
    options = ["search", "--space", "evaluations:space", "--evaluate", "evaluations:share_of_conv3", "--trials", "2",
               "--objective", "accuracy:max", "--epochs", "1", "--workers", "1"]  # fmt: skip

    code, _, told = nas(*options, "--callback", "ray.tune.logger:JsonLoggerCallback")
    assert (code, told.strip()) == (
        2,
        "nas: --callback ray.tune.logger:JsonLoggerCallback: only --runner ray has callbacks",
    )
    code, _, told = nas(*options, "--runner", "ray", "--callback", "mine:Nothing")
    assert code == 2
    assert "an object of a class that derives from ray.tune.Callback is expected" in told
    code, _, told = nas(*options, "--runner", "ray", "--callback", "ray.tune.logger:JsonLoggerCallback")
    assert code == 0, told
    assert len([*(tmp_path / "checkpoints").glob("*/tune/*/*/result.json")]) == 2
