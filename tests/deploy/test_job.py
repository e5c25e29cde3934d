"""`ray job submit` to a head with its job server: the search runs as a job of the cluster."""

import importlib.util
import subprocess

import pytest
from conftest import free_port, require
from heads import MINE, RAY, TOKEN, clean, head, own_ray

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

SEARCH = """
space = "mine:space"
evaluate = "mine:evaluate"
objectives = ["score:max"]
trials = 3
epochs = "1"
study = "s"
"""
GUARD = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of the job server. The head's environment names the database, as its pod's or its unit's would."""
    needed = ("aiohttp", "aiohttp_cors", "colorful", "opencensus", "prometheus_client")
    require(all(map(importlib.util.find_spec, needed)), "ray[default] (the job server)")
    folder, port = tmp_path_factory.mktemp("head"), free_port()
    options = ["--dashboard-host=127.0.0.1", f"--dashboard-port={port}", "--dashboard-agent-listen-port=0"]
    with head(folder, *options, **GUARD, NAS_STORAGE=f"sqlite:///{folder}/nas.db"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def submit(server, tmp_path):
    """`ray job submit` from a folder with a search; the submitter knows nothing of the cluster but this address."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "search.toml").write_text(SEARCH)

    def run(*words, **environment):
        with own_ray() as place:
            return subprocess.run(
                [*RAY, "job", "submit", "--address", server, "--working-dir", ".", "--", *words],
                cwd=tmp_path, env=clean(**{**GUARD, "RAY_TMPDIR": place, **environment}),
                capture_output=True, text=True, check=False, timeout=240,
            )  # fmt: skip

    return run


def test_the_search_runs_on_the_cluster_with_the_submitters_own_module(submit):
    search = ("nas", "search", "search.toml", "--runner", "ray", "--address", "auto")

    done = submit(*search)
    again = submit(*search, "--trials", "4")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 trials complete, 0 failed" in done.stdout
    assert "4 trials complete, 0 failed" in again.stdout


def test_what_is_wrong_is_told_in_the_jobs_log_and_the_job_fails(submit):
    done = submit("nas", "search", "serach.toml", "--runner", "ray", "--address", "auto")

    assert done.returncode != 0
    assert "nas: serach.toml: No such file or directory" in done.stdout + done.stderr


def test_without_the_token_nothing_is_submitted(submit):
    done = submit("nas", "--version", RAY_AUTH_TOKEN="b" * 32)

    assert done.returncode != 0
    assert "token" in (done.stdout + done.stderr).lower()
