"""The SLURM script, run here: `srun` and `scontrol` are stand-ins that keep the work on this machine, Ray is real."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import free_port, require
from heads import ROOT, clean, end, own_ray, path, wait_for

SCRIPT = ROOT / "deploy" / "slurm" / "nas-search.sbatch"
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do
    [[ $1 == --nodelist=* ]] && node=${1#*=}
    shift
done
echo "$node ${NAS_STORAGE:-nothing} ${PGPASSWORD:-nothing} $(stat -c %a "$RAY_AUTH_TOKEN_PATH") $*" >>"$STEPS"
[[ $1 == getent ]] && exec getent ahostsv4 localhost
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
[[ $1 == show ]] && printf '%s\\n' node1 node2 || echo "$*" >>"$STEPS"
"""
SLOW = """
import os, time, nas

space = nas.Space({"depth": nas.int_range(1, 8)})


def evaluate(candidate, budget, report):
    with open(os.environ["BEGUN"], "a") as file:
        file.write(f"{candidate['depth']} {os.environ.get('NAS_STORAGE')}\\n")
    time.sleep(1)
    return {"score": float(candidate["depth"])}
"""


@pytest.fixture
def submitted(tmp_path):
    """A way to start the script as `sbatch` would, again and again as the same job."""
    require(shutil.which("getent"), "getent")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (programs / name).write_text(text)
    for name, module in (("nas", "nas"), ("ray", "ray.scripts.scripts")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -P -m {module} "$@"\n')
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "search.toml").write_text(
        'space = "slow:space"\nevaluate = "slow:evaluate"\nobjectives = ["score:max"]\ntrials = 6\nepochs = "1"\nstudy = "s"\n'
    )
    started = []

    def start():
        environment = clean(
            PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
            PYTHONPATH=path(ROOT, tmp_path),
            HOME=str(tmp_path),
            RAY_TMPDIR=place,
            STEPS=str(tmp_path / "steps"),
            BEGUN=str(tmp_path / "begun"),
            NAS_STORAGE=f"sqlite:///{tmp_path}/nas.db",
            PGPASSWORD="secret",
            NAS_RAY_PORT=str(free_port()),
            SLURM_JOB_ID="42",
            SLURM_JOB_NODELIST="node[1-2]",
            SLURM_CPUS_PER_TASK="1",
        )
        with (tmp_path / "log").open("a") as log:
            started.append(
                subprocess.Popen(
                    [SCRIPT, "search.toml"],
                    cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True,
                )
            )  # fmt: skip
        return started[-1]

    with own_ray() as place:
        yield start
        for each in started:
            end(each)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.soak
def test_a_job_whose_time_ends_stops_the_search_in_order_and_its_next_run_ends_it(submitted, tmp_path):
    log, begun, steps = (tmp_path / name for name in ("log", "begun", "steps"))

    first = submitted()
    wait_for(lambda: log.exists() and "trial 1: score" in log.read_text(), 200, log)
    first.send_signal(signal.SIGUSR1)
    assert first.wait(90) == 143, log.read_text()
    end(first)
    assert "the same command goes on from there" in log.read_text()
    told = steps.read_text().splitlines()
    assert told[-1] == "requeue 42"
    second = submitted()
    assert second.wait(200) == 0, log.read_text()

    assert "6 trials complete, 0 failed" in log.read_text()
    assert 6 <= len(begun.read_text().splitlines()) <= 8  # what ran when the time was over began again
    assert {line.split()[1] for line in begun.read_text().splitlines()} == {"None"}
    nodes = [line.split()[0] for line in told if "ray start" in line]
    assert nodes == ["node1", "node2"]
    assert {tuple(line.split()[1:4]) for line in told[:-1]} == {("nothing", "nothing", "600")}
    assert not list(tmp_path.glob(".nas-*.token"))


def test_without_a_database_nothing_is_started(tmp_path):
    done = subprocess.run(
        [SCRIPT], cwd=tmp_path, env=clean(SLURM_JOB_ID="42"), capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "set NAS_STORAGE (or NAS_STORAGE_FILE) to the database" in done.stderr


def test_the_script_is_sound_shell_and_asks_to_be_told_before_its_time_ends():
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = [shellcheck, "--severity=warning"] if shellcheck else ["bash", "-n"]

    done = subprocess.run([*command, SCRIPT], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    asked = {line for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")}
    assert {"#SBATCH --signal=B:USR1@120", "#SBATCH --requeue", "#SBATCH --no-kill"} <= asked
