"""Signals to `nas search`: the exit code in time, nobody left, and how to go on. Real processes and a real terminal."""

import fcntl
import importlib.util
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import evaluations
import pytest
from conftest import require

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SECONDS = 25  # far less than an evaluation takes, and more than a busy machine needs


def marked(mark):
    """The processes that inherited `mark` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"NAS_TEST_MARK={mark}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def nobody_left(mark, within):
    ends = time.monotonic() + within
    while marked(mark) and time.monotonic() < ends:
        time.sleep(0.05)
    return marked(mark) == []


@pytest.fixture
def driver(tmp_path):
    """Starts `nas search` with busy workers; returns the process and the mark of all that belongs to it."""
    started = []

    def start(evaluate="sleeps_long", runner="local", ignore=(), terminal=None, sampler="random"):
        mark = f"{os.getpid()}-{len(started)}-{time.monotonic_ns()}"
        paths = [*sys.path, str(Path(evaluations.__file__).parent)]
        environment = {**os.environ, "NAS_TEST_MARK": mark, "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "nas", "search", "--space", "evaluations:space", "--trials", "9"]
        command += ["--evaluate", f"evaluations:{evaluate}", "--workers", "2", "--runner", runner, "--study", "s"]
        command += ["--sampler", sampler]

        def prepare():
            if terminal is not None:
                os.setsid()
                fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # background jobs ignore it
            for number in ignore:
                signal.signal(number, signal.SIG_IGN)

        streams = {"stdin": terminal, "stdout": terminal or subprocess.DEVNULL, "stderr": terminal or subprocess.PIPE}
        running = subprocess.Popen(command, cwd=tmp_path, env=environment, preexec_fn=prepare, **streams)  # noqa: PLW1509
        started.append(mark)
        ends = time.monotonic() + 60
        while len(list(tmp_path.glob("checkpoints/s/*/busy"))) < 2:
            assert running.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.1)
        return running, mark

    yield start
    for mark in started:
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.soak_when("15-143-sleeps", "2-130-sleeps", "1-129-spins")
@pytest.mark.parametrize("evaluate", ["sleeps_long", "spins_long"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_search_in_time_with_its_code_and_nobody_left(driver, number, code, evaluate):
    running, mark = driver(evaluate)
    began = time.monotonic()

    running.send_signal(number)

    _, told = running.communicate(timeout=60)
    assert time.monotonic() - began < SECONDS
    assert running.returncode == code
    assert nobody_left(mark, 1.0)
    assert b"the same command goes on from there" in told
    assert b"Traceback" not in told


@pytest.mark.soak_when("0.2")
@pytest.mark.parametrize("pause", [0.0, 0.02, 0.2])
def test_ctrl_c_twice_is_as_good_as_once(driver, pause):
    running, mark = driver("spins_long")

    running.send_signal(signal.SIGINT)
    time.sleep(pause)
    running.send_signal(signal.SIGINT)

    _, told = running.communicate(timeout=SECONDS)
    assert running.returncode == 130
    assert nobody_left(mark, 1.0)
    assert b"Traceback" not in told


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_search_on_ray_ends_in_time_too(driver, number):
    require(importlib.util.find_spec("ray"), "Ray")
    running, mark = driver("spins_long", runner="ray")
    began = time.monotonic()

    running.send_signal(number)

    _, told = running.communicate(timeout=60)
    assert time.monotonic() - began < SECONDS
    assert running.returncode == 128 + number
    assert nobody_left(mark, 3.0)
    assert b"the same command goes on from there" in told


def test_a_search_whose_terminal_is_closed_ends_in_time_and_nobody_is_left(driver):
    ours, theirs = pty.openpty()
    running, mark = driver("spins_long", terminal=theirs, sampler="auto")
    os.close(theirs)

    os.close(ours)

    assert running.wait(timeout=SECONDS) == 129
    assert nobody_left(mark, 1.0)


def test_a_search_under_nohup_outlives_its_terminal(driver):
    running, _ = driver("sleeps_long", ignore=[signal.SIGHUP])

    running.send_signal(signal.SIGHUP)

    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(timeout=1.0)


@pytest.mark.parametrize("evaluate", ["sleeps_long", "hangs_long_in_c"])
def test_workers_of_a_killed_driver_are_gone_within_two_seconds(driver, evaluate):
    running, mark = driver(evaluate)
    assert len(marked(mark)) >= 3

    running.kill()

    running.wait()
    assert nobody_left(mark, 2.0)
