"""What the benchmarks of the search share: 32 genes, an evaluation that does nothing, a private PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import optuna

from nas import Space, one_of

GENES = tuple(f"gene{index}" for index in range(32))
OPTIONS = ("a", "b", "c", "d")
GOALS = ("accuracy:max", "macs:min")


def space(options=OPTIONS):
    """4^32 candidates, so that no two are drawn alike. Texts have no order; numbers would."""
    return Space({name: one_of(*options) for name in GENES})


def metrics(candidate):
    """Two numbers, for nothing."""
    return {
        "accuracy": sum(candidate[name] == "d" for name in GENES) / len(GENES),
        "macs": float(candidate[GENES[0]] == "a"),
    }


def evaluate(candidate, budget, report):
    """An evaluation in the form that `nas.search` takes."""
    return metrics(candidate)


def quiet():
    """No progress and no warnings of Optuna between the figures."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@contextmanager
def private_postgres():
    """URL of an empty database on a PostgreSQL server of our own on the loopback; commits reach the disk (fsync)."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        raise SystemExit("--postgres needs PostgreSQL's initdb and pg_ctl below /usr/lib/postgresql")
    home = Path(tempfile.mkdtemp(prefix="nas-pg-"))
    as_user = []
    if os.getuid() == 0:  # the server refuses to run as root
        shutil.chown(home, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]

    def run(program, *arguments):
        subprocess.run([*as_user, str(programs[-1] / program), *arguments], check=True, capture_output=True, cwd=home)

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    data = str(home / "data")
    run("initdb", "-D", data, "-U", "nas", "--auth=trust", "-E", "UTF8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=on"
    run("pg_ctl", "-D", data, "-o", options, "-l", str(home / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://nas@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "fast", "-w", "stop")
        shutil.rmtree(home, ignore_errors=True)
