"""A Ray head as people start one, `ray start --head`, and its end with all that it started."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from conftest import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN = "a" * 32
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
MINE = """
import os, nas

space = nas.Space({"depth": nas.int_range(1, 8)})


def evaluate(candidate, budget, report):
    return {"score": float(candidate["depth"]), "told": float("NAS_STORAGE" in os.environ)}
"""


def clean(**more):
    """This process's environment without what it knows of Ray and of databases."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "NAS_STORAGE"))}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": path(ROOT), "PATH": programs}
    return {**kept, **ours, **more}


def path(*folders):
    """PYTHONPATH with these folders first."""
    return os.pathsep.join(filter(None, [*map(str, folders), os.environ.get("PYTHONPATH")]))


@contextmanager
def own_ray():
    """A directory for Ray with a short name (sockets): what runs elsewhere on this machine is not "auto" there."""
    made = tempfile.mkdtemp(prefix="nas-ray-")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def head(folder, *options, **environment):
    """Its address; `environment` is that of `ray start`."""
    with own_ray() as place, _head(folder, options, {"RAY_TMPDIR": place, **environment}) as address:
        yield address


@contextmanager
def _head(folder, options, environment):
    port, log = free_port(), folder / "head.log"
    command = [*RAY, "start", "--head", f"--port={port}", "--num-cpus=2", "--block", *options]
    with log.open("w") as file:
        started = subprocess.Popen(
            command, env=clean(**environment), stdout=file, stderr=file, cwd=folder, start_new_session=True
        )
    try:
        wait_for(lambda: "Ray runtime started" in log.read_text(), 90, log)
        address = next(line for line in log.read_text().splitlines() if "--address='" in line).split("'")[1]
        yield address
    finally:
        end(started)


def wait_for(true, seconds, log):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def end(started):
    """Kill what is in its session: the processes that Ray starts have process groups of their own."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == started.pid:
            os.kill(int(path.parent.name), signal.SIGKILL)
    started.wait()


def nas(*arguments, cwd, **environment):
    """`nas` in a process of its own, with a time limit for what may hang."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "nas", *map(str, arguments)],
        cwd=cwd,
        env=clean(**{"PYTHONPATH": path(ROOT, cwd), **environment}),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
