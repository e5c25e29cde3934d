"""Shares of a GPU as a person says them: a number, auto, or nothing; and what is refused in one line."""

import pytest

from nas.config import SearchConfig
from nas.errors import InputError
from nas.memory import OVERHEAD
from nas.runner import RunnerOptions
from runners import local
from runners.gpu_share import gpu_share
from runners.job_setup import prepare

SMALL = {"data": "digits", "subset": 0.1, "epochs": "1", "limits": ["params<=3e4"]}


@pytest.fixture
def machine(monkeypatch):
    """16 cores and two GPUs of 10 GB, as far as the local runner can tell."""
    monkeypatch.setattr(local, "cores", lambda: 16)
    monkeypatch.setattr(local, "visible_gpus", lambda: 2)
    monkeypatch.setattr(local, "gpu_memory", lambda: 10 * 10**9)


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({"gpus_per_trial": 0.3}, 0.3),
        ({"gpus_per_trial": None}, 1.0),
        ({"gpus_per_trial": None, "trial_bytes": 3 * 10**9}, 0.3333),
        ({"gpus_per_trial": None, "trial_bytes": 10**6}, 0.125),  # 8 cores a GPU
        ({"gpus_per_trial": None, "trial_bytes": 10**6, "cpus_per_trial": 4}, 0.5),
        ({"gpus_per_trial": None, "trial_bytes": 10**11}, 1.0),
    ],
)
def test_as_many_trials_share_a_gpu_as_its_memory_and_the_cores_beside_it_hold(machine, options, share):
    given = RunnerOptions(**options)

    assert local.gpus_per_trial(given) == share
    local.check(given)


@pytest.mark.parametrize("runner", ["local", "ray"])
def test_auto_hands_the_runner_the_memory_of_the_largest_network_within_the_limits(runner):
    small, large = (
        gpu_share(prepare(SearchConfig(**{**SMALL, "limits": [limit]}, runner=runner, gpus_per_trial="auto")))
        for limit in ("activation_bytes<=2e5", "activation_bytes<=2e6")
    )

    assert small.share is None
    assert OVERHEAD < small.trial_bytes < large.trial_bytes
    assert small.told == f"GPU memory: up to {small.trial_bytes / 1e9:.3g}GB a trial with batches of 16 is predicted"


def test_without_a_word_a_ray_cluster_is_looked_at_and_an_evaluation_of_ones_own_gets_none():
    trained = prepare(SearchConfig(**SMALL, runner="ray"))
    own = prepare(
        SearchConfig(space="evaluations:space", evaluate="evaluations:share_of_conv3", objectives=["accuracy:max"])
    )

    assert gpu_share(trained).share is None
    assert gpu_share(trained).device == "cpu"  # each worker sees for itself
    assert gpu_share(own).share == 0.0


def test_what_cannot_be_is_one_line_and_exit_code_2(nas):
    own = ("--space", "evaluations:space", "--evaluate", "evaluations:share_of_conv3")
    for arguments, told in (
        ((*own, "--gpus-per-trial", "auto"), "auto: only the memory of the built-in training can be predicted"),
        (("--gpus-per-trial", "half"), "gpus_per_trial 'half': a number or auto is expected"),
        (("--gpus-per-trial", "-1"), "gpus_per_trial"),
        (("--resources", "A100"), "resources 'A100': NAME=AMOUNT is expected, as in A100=0.25"),
        ((*own, "--resources", "A100=1"), "--resources A100: only the nodes of a Ray cluster have such"),
        ((*own, "--cpus-per-trial", "4096"), "--cpus-per-trial 4096: this machine has "),
    ):
        code, out, err = nas("search", *arguments, "--trials", 1)

        assert (code, out) == (2, "")
        assert told in err.splitlines()[-1]


def test_a_file_says_the_same_as_the_options(tmp_path):
    from nas.config import read_config

    (tmp_path / "search.toml").write_text(
        'runner = "ray"\ncpus_per_trial = 2\ngpus_per_trial = "auto"\nresources = {A100 = 0.25, "accelerator_type:T4" = 1}\n'
    )
    from_file = read_config(tmp_path / "search.toml", {})
    texts = ["A100=0.25", "accelerator_type:T4=1"]

    assert from_file == read_config(
        None, {"runner": "ray", "cpus_per_trial": 2.0, "gpus_per_trial": "auto", "resources": texts}
    )
    assert from_file.resources == {"A100": 0.25, "accelerator_type:T4": 1.0}
    with pytest.raises(InputError, match="resources"):
        read_config(None, {"resources": {"A100": 0}})
