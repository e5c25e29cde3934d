"""Workers that run out of memory, hang, crash or cannot start: real processes, real signals, real allocations."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import evaluations
import pytest
from conftest import require

from nas import search
from nas.errors import InputError, NasError
from nas.store.reading import read_study
from nas.trial import State

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def ray_here():
    require(importlib.util.find_spec("ray"), "Ray")
    import ray

    paths = [str(Path(evaluations.__file__).parent), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture(params=["local", "ray"])
def runner(request):
    if request.param == "ray":
        request.getfixturevalue("ray_here")
    return request.param


def run(tmp_path, evaluate, runner="local", **options):
    arguments = {"objectives": ["accuracy:max"], "trials": 6, "sampler": "random", "workers": 2, "study": "s"}
    arguments |= {"storage": f"sqlite:///{tmp_path}/nas.db", "checkpoints": tmp_path, "runner": runner}
    return search(evaluations.space, evaluate, **{**arguments, **options})


def gone(pid, within=3.0):
    ends = time.monotonic() + within
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.slow
def test_an_evaluation_out_of_memory_fails_with_that_reason_and_its_worker_goes_on(runner, tmp_path):
    result = run(tmp_path, evaluations.takes_much_memory, runner, trials=9, workers=1)

    first = {trial.number: trial.candidate["layer0"] for trial in result.trials}
    assert set(first.values()) == {"skip", "conv3", "conv5"}
    for trial in result.trials:
        if first[trial.number] == "skip":
            assert trial.state is State.COMPLETE
            continue
        assert (trial.state, trial.attempt) == (State.FAIL, 1)
        assert trial.reason.startswith("out of memory: ")
        assert ("allocate memory" if first[trial.number] == "conv3" else "Unable to allocate 1.00 GiB") in trial.reason


def test_a_worker_that_the_kernel_kills_is_told_with_what_that_may_mean(tmp_path):
    result = run(tmp_path, evaluations.kills_itself, trials=1)

    assert result.trials[0].reason == (
        "lost 3 times: its worker ended (signal SIGKILL; the kernel kills so when memory is short)"
    )


@pytest.mark.soak_when("ray")
def test_a_candidate_that_crashes_every_worker_fails_after_three_and_the_others_are_unhurt(runner, tmp_path):
    result = run(tmp_path, evaluations.segfaults_on_conv5, runner, trials=5)

    poison = [trial for trial in result.trials if trial.candidate["layer0"] == "conv5"]
    assert poison
    assert {(trial.state, trial.attempt) for trial in poison} == {(State.FAIL, 3)}
    assert all(trial.reason.startswith("lost 3 times: ") for trial in poison)
    # Ray does not know the signal: it names the possible ones
    how = "its worker ended (signal SIGSEGV)" if runner == "local" else "Worker unexpectedly exits"
    assert all(how in trial.reason for trial in poison)
    assert {trial.state for trial in result.trials if trial not in poison} == {State.COMPLETE}


@pytest.mark.soak_when("ray")
def test_a_trial_whose_gpu_fails_is_tried_again_in_a_fresh_process_and_the_others_are_unhurt(runner, tmp_path):
    result = run(tmp_path, evaluations.loses_its_gpu_once, runner, trials=5, workers=2)

    hit = [trial for trial in result.trials if trial.candidate["layer0"] == "conv5"]
    assert len(hit) >= 1
    assert {trial.state for trial in result.trials} == {State.COMPLETE}
    assert [trial.attempt for trial in result.trials] == [2 if trial in hit else 1 for trial in result.trials]
    assert len({trial.metrics["first_pid"] for trial in hit}) == len(hit)  # no process was hit twice
    assert all(trial.metrics["first_pid"] != trial.metrics["pid"] for trial in hit)


def test_a_gpu_that_fails_one_trial_after_the_other_stops_the_search_before_the_queue_is_spent(tmp_path):
    with pytest.raises(
        InputError, match=r"failed 3 trials in a row, and no other is left: device error: CUDA error: unc"
    ):
        run(tmp_path, evaluations.always_loses_its_gpu, trials=9, workers=1)

    trials = read_study(f"sqlite:///{tmp_path}/nas.db", "s").trials
    assert [trial.state for trial in trials] == [State.FAIL, State.FAIL, State.RUNNING]
    assert all(trial.reason.startswith("lost 3 times: device error: ") for trial in trials[:2])


def test_an_inline_search_whose_process_has_lost_its_gpu_ends_and_says_how_to_go_on(tmp_path):
    with pytest.raises(NasError, match=r"device error: CUDA error: unc.*: this process cannot go on, the same command"):
        run(tmp_path, evaluations.always_loses_its_gpu, "inline", trials=9, workers=1)


@pytest.mark.soak_when("ray-spins", "local-hangs")
@pytest.mark.parametrize("evaluate", [evaluations.spins, evaluations.hangs_with_a_child])
def test_a_killed_worker_is_really_gone_and_so_are_the_processes_that_it_started(runner, tmp_path, evaluate):
    result = run(tmp_path, evaluate, runner, trials=2, trial_timeout=1.0)

    assert [(trial.state, trial.attempt) for trial in result.trials] == [(State.FAIL, 1)] * 2
    pids = [int(pid) for trial in result.trials for name, pid in trial.curve[1].items() if name.endswith("pid")]
    assert len(pids) == (4 if evaluate is evaluations.hangs_with_a_child else 2)
    assert all(gone(pid) for pid in pids)


BROKEN = """
import os
import nas
if "ONLY_HERE" not in os.environ:
    raise RuntimeError("ONLY_HERE is not set")
space = nas.Space({"depth": nas.int_range(1, 6)})
def evaluate(candidate, budget, report):
    return {"accuracy": 1.0}
"""
DRIVER = """
import os, sys
if __name__ == "__main__":
    os.environ["ONLY_HERE"] = "1"
    import broken, nas
    if sys.argv[1] == "ray":
        from ray import cloudpickle
        cloudpickle.register_pickle_by_value = lambda module: None  # as if it were installed on the nodes
    del os.environ["ONLY_HERE"]
    nas.search(broken.space, broken.evaluate, objectives=["accuracy:max"], trials=6, workers=2, study="s", runner=sys.argv[1])
"""


@pytest.mark.soak_when("ray")
@pytest.mark.parametrize("runner", ["local", "ray"])
def test_workers_that_cannot_start_stop_the_search_with_their_own_error_and_no_trial_is_spent(tmp_path, runner):
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "driver.py", runner]

    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=90
    )

    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "InputError: a " in last
    assert "cannot start: RuntimeError: ONLY_HERE is not set" in last
    trials = read_study(f"sqlite:///{tmp_path}/nas.db", "s").trials
    assert 1 <= len(trials) <= 2
    assert {(trial.state, trial.attempt) for trial in trials} == {(State.RUNNING, 1)}


def test_a_script_that_workers_cannot_import_is_told_with_its_own_error(tmp_path):
    guarded = DRIVER.replace("import broken, nas", "import nas").replace("broken.", "")
    (tmp_path / "driver.py").write_text(BROKEN.replace("if ", "if __name__ != '__main__' and ", 1) + guarded)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, "driver.py", "local"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1  # the driver's own
    assert "a worker process cannot start: RuntimeError: ONLY_HERE is not set at " in done.stderr
