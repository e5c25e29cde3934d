"""What the tests share: a data cache of their own, a private PostgreSQL server, and skips that fail in CI."""

import functools
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `nas` has it; read when torch is loaded

from nas import Space, one_of

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 6 << 30  # what must be free, of it and of the machine; the tests use a tenth


def pytest_configure():
    """Temporary folders lie in memory where that is large enough: a database syncs some 40 times to be made.

    On a disk that is most of the time that these tests take. What is killed here are processes and not machines, and
    what a process has written is as safe in memory.
    """
    if _roomy(MEMORY):
        tempfile.tempdir = os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def _roomy(folder):
    try:
        found, memory = os.statvfs(folder), Path("/proc/meminfo").read_text()
    except OSError:
        return False
    (available,) = re.findall(r"^MemAvailable: *(\d+) kB$", memory, re.MULTILINE)
    runs_programs = not found.f_flag & os.ST_NOEXEC
    return runs_programs and min(found.f_bavail * found.f_frsize, int(available) << 10) >= MEMORY_BYTES


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """`soak_when(*words)`: with parameters whose id holds one of the words, a test is one of `make soak`.

    Files with slow tests come first, those with most of them at the head: `make test` deals out files in this order, and
    a long one that came last would be waited for by one worker with nothing to do.
    """
    slow = Counter()
    for item in items:
        for mark in item.iter_markers("soak_when"):
            if any(word in item.callspec.id for word in mark.args):
                item.add_marker(pytest.mark.soak)
        slow[item.path] += bool(item.get_closest_marker("slow") and not item.get_closest_marker("soak"))
    items.sort(key=lambda item: -slow[item.path])


def require(condition, what):
    """Skip with the reason where the machine lacks a part; in CI that is a failure."""
    if not condition:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {what}")
        pytest.skip(f"this machine has no {what}")


@functools.cache
def _parser():
    """Typer reads the signatures of all commands for each call, which takes longer than most calls do."""
    import typer

    from runners import cli

    return typer.main.get_command(cli.app)


def command(capsys, monkeypatch):
    """A way to run `nas` in this process: exit code, standard output, standard error."""
    from runners import cli, options

    for console in (options.out, options.err):
        console.width = 160  # or words of tables are broken into lines
    parser = _parser()
    monkeypatch.setattr("typer.main.get_command", lambda app: parser)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def one_thread():
    """What is to be equal to the bit is computed with as many threads; a worker has one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    before = os.environ.get("NAS_CACHE")
    os.environ["NAS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ.pop("NAS_STORAGE", None)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # whatever token lies in the home directory
    yield
    if before is None:
        del os.environ["NAS_CACHE"]
    else:
        os.environ["NAS_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def _migrations_are_read_once():
    """Whoever makes a database reads Optuna's and ours, twice each, which takes longer than most of the tests."""
    from alembic.script import ScriptDirectory

    with pytest.MonkeyPatch.context() as patch:
        really, kept = ScriptDirectory.from_config, {}

        def from_config(config):
            where = config.get_main_option("script_location")
            if where not in kept:
                kept[where] = really(config)
            return kept[where]

        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture(autouse=True)
def _no_module_of_another_test(tmp_path_factory):
    """Many tests write a `mine.py` of their own: what one imported from its folder is gone for the next."""
    yield
    base = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(base):
            del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if not entry.startswith(base)]


@pytest.fixture(scope="session")
def digits(_own_cache):
    from nas.data import load

    return load("digits")


@pytest.fixture
def layers():
    """A user's own space: 3^4 candidates."""
    return Space({f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(4)})


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def postgres():
    """URL of a database on a PostgreSQL server that only these tests know, on the loopback."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    require(programs, "PostgreSQL (initdb)")
    home = Path(tempfile.mkdtemp(prefix="nas-pg-"))
    as_user = []
    if os.getuid() == 0:
        shutil.chown(home, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    port, data = free_port(), home / "data"

    def run(program, *arguments):
        subprocess.run([*as_user, str(programs[-1] / program), *arguments], check=True, capture_output=True, cwd=home)

    run("initdb", "-D", str(data), "-U", "nas", "--auth=trust", "-E", "UTF8", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off"
    run("pg_ctl", "-D", str(data), "-o", options, "-l", str(home / "log"), "-w", "start")
    yield f"postgresql+psycopg://nas@127.0.0.1:{port}/postgres"
    run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    """An empty database of either kind; one with all tables for tests that are marked `tables_made`."""
    made = request.node.get_closest_marker("tables_made")
    if request.param == "sqlite":
        if made:
            shutil.copyfile(request.getfixturevalue("_made_file"), tmp_path / "nas.db")
        yield f"sqlite:///{tmp_path}/nas.db"
        return
    url = request.getfixturevalue("postgres")
    name = f"t{os.urandom(6).hex()}"
    template = request.getfixturevalue("_made_on_the_server") if made else "template1"
    _tell(url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _called(url, name)
    _tell(url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def _made_file(tmp_path_factory):
    """A SQLite file with all tables, to be copied."""
    path = tmp_path_factory.mktemp("made") / "nas.db"
    _make(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _made_on_the_server(postgres):
    """The same as a template on the server."""
    _tell(postgres, "CREATE DATABASE made")
    _make(_called(postgres, "made"))
    return "made"


def _make(url):
    from nas.store.database import connect

    connect(url, create=True).dispose()


def _called(url, name):
    import sqlalchemy

    return sqlalchemy.make_url(url).set(database=name).render_as_string(hide_password=False)


def _tell(url, statement):
    import sqlalchemy

    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture
def hub_is_off(monkeypatch, tmp_path):
    """No test asks the network; what `datasets` writes of its own goes to the test's folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
