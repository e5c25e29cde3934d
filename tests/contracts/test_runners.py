"""One contract for all runners: inline, local and ray."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import evaluations
import pytest
from conftest import require

from nas import search
from nas.errors import InputError
from nas.trial import State

MANY = ["local", "ray"]


@pytest.fixture(scope="module")
def ray_here():
    """One Ray on this machine for all tests of this file; the runner uses a connection that is there."""
    require(importlib.util.find_spec("ray"), "Ray")
    import ray

    paths = [str(Path(evaluations.__file__).parent), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture(params=["inline", "local", "ray"])
def runner(request):
    if request.param == "ray":
        request.getfixturevalue("ray_here")
    return request.param


@pytest.fixture(params=MANY)
def runner_with_workers(request):
    if request.param == "ray":
        request.getfixturevalue("ray_here")
    return request.param


def run(layers, runner, tmp_path, evaluate=evaluations.share_of_conv3, **options):
    workers = None if runner == "inline" else 2
    arguments = {
        "objectives": {"accuracy": "maximize"},
        "trials": 8,
        "sampler": "random",
        "workers": workers,
        "study": "s",
    }
    storage = f"sqlite:///{tmp_path}/nas.db"
    return search(
        layers, evaluate, **{**arguments, "storage": storage, "checkpoints": tmp_path, "runner": runner, **options}
    )


def test_every_job_is_evaluated_once_with_its_curve_its_seconds_and_its_host(layers, runner, tmp_path):
    result = run(layers, runner, tmp_path, epochs=(3, 3), costs=evaluations.macs)

    assert [trial.number for trial in result.trials] == list(range(8))
    assert {trial.state for trial in result.trials} == {State.COMPLETE}
    for trial in result.trials:
        accuracy = sum(value == "conv3" for value in trial.candidate.values()) / 4
        assert trial.metrics == {"accuracy": accuracy, **evaluations.macs(trial.candidate)}
        assert {step: metrics["accuracy"] for step, metrics in trial.curve.items()} == pytest.approx(
            {1: accuracy / 3, 2: accuracy * 2 / 3, 3: accuracy}
        )
        assert trial.seconds >= 0
        assert trial.host
        assert trial.attempt == 1


def test_an_evaluation_that_raises_fails_its_trial_with_the_reason_and_the_search_goes_on(layers, runner, tmp_path):
    result = run(layers, runner, tmp_path, evaluations.raises_sometimes, trials=20)

    failed = [trial for trial in result.trials if trial.state is State.FAIL]
    assert failed
    assert {trial.candidate["layer0"] for trial in failed} == {"conv5"}
    assert all(
        "RuntimeError: no luck with conv5" in trial.reason and "evaluations.py" in trial.reason for trial in failed
    )
    assert all(trial.state is State.COMPLETE for trial in result.trials if trial.candidate["layer0"] != "conv5")


def test_a_trial_finds_the_directory_of_the_one_that_it_begins_with(layers, runner, tmp_path):
    result = run(layers, runner, tmp_path, evaluations.begins_with_another, inherit=True)

    children = [trial for trial in result.trials if trial.parent is not None]
    assert len(children) >= 6, "two run at once at the beginning, and have nobody before them"
    for trial in result.trials:
        assert trial.metrics["parent"] == (-1.0 if trial.parent is None else trial.parent)


@pytest.mark.soak_when("ray-returns_nan", "ray-returns_text")
@pytest.mark.parametrize(
    ("evaluate", "reason"),
    [
        (evaluations.returns_nan, "diverged: accuracy is nan"),
        (evaluations.returns_text, "evaluate returned '0.9'; a dict of numbers such as"),
        (evaluations.returns_other, "evaluate returned f1, and the objective 'accuracy' is not among them"),
    ],
)
def test_what_is_no_result_fails_the_trial_and_says_why(layers, runner, tmp_path, evaluate, reason):
    result = run(layers, runner, tmp_path, evaluate, trials=2)

    assert [trial.state for trial in result.trials] == [State.FAIL] * 2
    assert all(trial.reason.startswith(reason) for trial in result.trials)
    assert result.best is None


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_trial_goes_on_as_the_second_attempt(
    layers, runner_with_workers, tmp_path
):
    result = run(layers, runner_with_workers, tmp_path, evaluations.dies_once)

    assert {trial.state for trial in result.trials} == {State.COMPLETE}
    assert [trial.attempt for trial in result.trials] == [2 if trial.number % 3 == 0 else 1 for trial in result.trials]


@pytest.mark.soak_when("ray")
def test_a_candidate_that_kills_every_worker_is_failed_after_three_attempts(layers, runner_with_workers, tmp_path):
    result = run(layers, runner_with_workers, tmp_path, evaluations.always_dies, trials=1)

    assert [(trial.state, trial.attempt) for trial in result.trials] == [(State.FAIL, 3)]
    assert result.trials[0].reason.startswith("lost 3 times: ")


def test_after_the_timeout_nothing_new_is_started_and_what_runs_is_finished(layers, runner, tmp_path):
    started = time.monotonic()

    result = run(layers, runner, tmp_path, evaluations.slow_share, trials=80, timeout=2.0)

    assert time.monotonic() - started < 20
    assert 1 <= len(result.trials) < 80
    assert {trial.state for trial in result.trials} == {State.COMPLETE}


@pytest.mark.soak_when("ray")
@pytest.mark.parametrize("evaluate", [evaluations.hangs_on_conv5, evaluations.hangs_in_c])
def test_a_trial_that_takes_too_long_is_killed_and_failed_at_once_and_its_slot_is_used_again(
    layers, runner_with_workers, tmp_path, evaluate
):
    result = run(layers, runner_with_workers, tmp_path, evaluate, trials=9, trial_timeout=1.0)

    late = [trial for trial in result.trials if trial.candidate["layer0"] == "conv5"]
    assert len(late) >= 3  # more than there are workers
    assert {(trial.state, trial.attempt, trial.reason) for trial in late} == {
        (State.FAIL, 1, "timeout: not done after 1 s")
    }
    assert all(1 <= trial.seconds < 10 and trial.host == socket.gethostname() for trial in late)
    assert {trial.state for trial in result.trials if trial not in late} == {State.COMPLETE}


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_time_that_is_none_is_refused(layers, runner_with_workers, tmp_path, seconds):
    with pytest.raises(InputError, match=r"trial_timeout .*: more than 0 seconds are needed"):
        run(layers, runner_with_workers, tmp_path, trial_timeout=seconds)


def test_the_inline_runner_refuses_a_time_for_each_trial(layers, tmp_path):
    with pytest.raises(InputError, match="the inline runner cannot end an evaluation; use local or ray"):
        run(layers, "inline", tmp_path, trial_timeout=5.0)


@pytest.mark.soak_when("ray")
def test_a_study_is_gone_on_with_by_another_runner_to_the_number_asked_for(layers, runner, tmp_path):
    first = run(layers, "inline", tmp_path, workers=None, trials=4)

    second = run(layers, runner, tmp_path, trials=9)

    assert second.trials[:4] == first.trials
    assert len({trial.digest for trial in second.trials}) == 9


def test_more_workers_work_at_the_same_time_and_stay_warm(layers, runner_with_workers, tmp_path):
    result = run(layers, runner_with_workers, tmp_path, evaluations.where, trials=12)

    assert 1 <= len({trial.metrics["pid"] for trial in result.trials}) <= 2
    assert all(trial.metrics["pid"] != os.getpid() for trial in result.trials)
    assert all(trial.metrics["threads"] >= 1 for trial in result.trials)


def test_cores_for_each_trial_are_the_threads_of_its_worker_and_bound_the_workers(layers, tmp_path, monkeypatch):
    from runners import local

    monkeypatch.setattr(local, "cores", lambda: 4)

    result = run(layers, "local", tmp_path, evaluations.threads, trials=3, workers=None, cpus_per_trial=2)

    assert {(trial.metrics["threads"], trial.metrics["torch"]) for trial in result.trials} == {(2.0, 2.0)}
    with pytest.raises(InputError, match=r"3 workers with 2 core\(s\) each do not fit this machine: at most 2 do"):
        run(layers, "local", tmp_path, workers=3, cpus_per_trial=2)
    with pytest.raises(InputError, match=r"--cpus-per-trial 5: this machine has 4 core\(s\)"):
        run(layers, "local", tmp_path, workers=None, cpus_per_trial=5)


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_resources_of_a_cluster_are_refused_without_one(layers, runner, tmp_path):
    with pytest.raises(InputError, match=r"--resources A100: only the nodes of a Ray cluster have such"):
        run(layers, runner, tmp_path, resources={"A100": 1})


@pytest.mark.parametrize("cpus", [0.0, -1.0, float("nan")])
def test_no_cores_for_a_trial_are_refused(layers, runner_with_workers, tmp_path, cpus):
    with pytest.raises(InputError, match=r"--cpus-per-trial .*: more than 0 is needed"):
        run(layers, runner_with_workers, tmp_path, cpus_per_trial=cpus)


def test_workers_never_see_the_database_url(layers, tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_STORAGE", f"sqlite:///{tmp_path}/nas.db")

    result = run(layers, "ray", tmp_path, evaluations.where, trials=2)

    assert {trial.metrics["sees_storage"] for trial in result.trials} == {0.0}


def test_gpus_asked_for_on_a_machine_without_are_refused(layers, runner_with_workers, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")

    with pytest.raises(InputError, match=r"--gpus-per-trial 0\.5: this (machine|Ray cluster) has 0 GPU"):
        run(layers, runner_with_workers, tmp_path, gpus_per_trial=0.5)


def test_gpus_shared_by_memory_need_a_gpu(layers, runner_with_workers, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")

    with pytest.raises(InputError, match=r"--gpus-per-trial auto: this (machine|Ray cluster) has no GPU"):
        run(layers, runner_with_workers, tmp_path, gpus_per_trial=None, trial_bytes=10**9)


def test_gpus_that_are_not_spoken_of_are_taken_where_there_are_some(layers, runner_with_workers, tmp_path):
    import torch

    result = run(layers, runner_with_workers, tmp_path, evaluations.on_cuda, trials=1, gpus_per_trial=None)

    assert result.trials[0].metrics["on_cuda"] == float(torch.cuda.is_available())


def test_a_local_function_cannot_be_sent_to_processes_and_the_error_names_the_way_out(layers, tmp_path):
    with pytest.raises(InputError, match=r"evaluate cannot be sent to a worker process .*or use the inline runner"):
        run(layers, "local", tmp_path, lambda candidate, budget, report: {"accuracy": 1.0})


def test_a_ray_client_address_is_refused(layers, tmp_path, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(InputError, match=r"ray://somewhere: a Ray Client address cannot carry a search"):
        run(layers, "ray", tmp_path, address="ray://somewhere")


@pytest.mark.soak_when("ray")
def test_an_evaluation_that_exits_is_a_failed_trial_and_ends_nothing(layers, runner, tmp_path):
    result = run(layers, runner, tmp_path, evaluations.exits, trials=2)

    assert [trial.state for trial in result.trials] == [State.FAIL] * 2
    assert all(trial.reason.startswith("SystemExit: 3") for trial in result.trials)


def test_an_evaluation_may_start_processes_of_its_own(layers, tmp_path):
    result = run(layers, "local", tmp_path, evaluations.starts_a_process, trials=2)

    assert {trial.state for trial in result.trials} == {State.COMPLETE}


def test_a_script_without_a_guard_is_told_so_and_its_trials_are_not_spent(tmp_path):
    (tmp_path / "script.py").write_text(
        "import nas\nfrom evaluations import share_of_conv3, space\n"
        "nas.search(space, share_of_conv3, objectives=['accuracy:max'], trials=2, workers=1, storage='sqlite:///nas.db')\n"
    )
    paths = [str(Path(evaluations.__file__).parent), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert "a script must call search under `if __name__ == '__main__':`" in done.stderr.strip().splitlines()[-1]
    from nas.store.reading import read_study

    assert all(trial.state is State.RUNNING for trial in read_study(f"sqlite:///{tmp_path}/nas.db", "search").trials)
