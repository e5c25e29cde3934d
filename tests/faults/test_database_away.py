"""The database goes away while a search runs: restarts, crashes, locks, a silent network, no connection left."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import psycopg
import pytest
from faults import ledger
from faults.driver import Search, said, started, wait_until
from faults.proxy import Proxy
from faults.server import Server

from nas.errors import StoreError
from nas.store.database import connect

AWAY_S = float(os.environ.get("NAS_FAULT_AWAY_S", "5"))  # 60 to see an outage of a minute
LOCKED_S = 10.0


@pytest.fixture(scope="module")
def server():
    with Server(max_connections=12) as running:
        yield running


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as running:
        yield running


def search_of(url, folder, **options):
    return Search(url, folder, **{"runner": "local", "workers": 2, "seconds": 0.8, "trials": 12, **options})


def require_unhurt(search, process):
    """It ended right, with every trial evaluated once, by the two workers that it began with."""
    process.join(60)
    assert process.exitcode == 0, said(search)
    assert ledger.faults(search) == []
    assert sorted(search.evaluated()) == list(range(search.trials))
    assert len({note["pid"] for note in search.read_notes()}) == search.workers
    assert "Traceback" not in said(search)


def ends(search, process):
    """How it ended after Ctrl-C, and within how many seconds."""
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    return process.exitcode, time.monotonic() - began


@pytest.mark.soak_when("restarted in order", "left with")
@pytest.mark.parametrize(
    ("how", "times"), [("restarted in order", 10), ("crashed", 3), ("left with its connections ended", 10)]
)
def test_a_server_that_is_restarted_while_a_search_runs_costs_no_worker_and_no_trial(server, how, times, tmp_path):
    search = search_of(server.create_database(), tmp_path, trials=24)
    hit = {
        "restarted in order": lambda: server.restart("fast"),
        "crashed": lambda: server.restart("immediate"),
        "left with its connections ended": lambda: server.end_connections(search.url),
    }[how]
    process = started(search)
    wait_until(search.evaluated)

    for _ in range(times):
        assert process.is_alive()
        hit()
        time.sleep(0.4)

    require_unhurt(search, process)


@pytest.mark.slow
def test_training_goes_on_while_a_server_is_down_and_its_results_are_written_once_it_is_back(server, tmp_path):
    search = search_of(server.create_database(), tmp_path, trials=4, seconds=AWAY_S / 2)
    process = started(search)
    wait_until(lambda: Counter(note["event"] for note in search.read_notes())["start"] == 2)

    server.stop()
    down = time.time()
    time.sleep(AWAY_S)
    up = time.time()
    server.start()
    require_unhurt(search, process)

    meanwhile = [note["event"] for note in search.read_notes() if down < note["time"] < up]
    assert Counter(meanwhile)["done"] == 2
    assert "what runs goes on, results wait" in said(search)
    assert "2 result(s)" in said(search).rpartition(" is back after ")[2]


@pytest.mark.slow
def test_a_file_that_somebody_else_locks_for_ten_seconds_stops_no_search(tmp_path):
    search = search_of(f"sqlite:///{tmp_path}/nas.db", tmp_path, trials=6)
    process = started(search)
    wait_until(search.evaluated)

    with locked(tmp_path / "nas.db"):
        time.sleep(LOCKED_S)

    require_unhurt(search, process)


@contextlib.contextmanager
def locked(path):
    script = (
        "import sqlite3, sys, time; db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30);"
        "db.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"locked\n"
    try:
        yield
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.soak
def test_a_search_that_is_stopped_while_its_server_is_down_ends_soon_and_says_what_was_not_written(server, tmp_path):
    search = search_of(server.create_database(), tmp_path, seconds=0.5, trials=60)
    process = started(search)
    wait_until(search.evaluated)
    server.stop()
    try:
        wait_until(lambda: "results wait" in said(search))

        code, took_s = ends(search, process)
    finally:
        server.start()

    assert (code, took_s < 5) == (130, True), f"{took_s:.1f} s: {said(search)}"
    assert "result(s) could not be written: the same command goes on from their checkpoints" in said(search)
    assert "Traceback" not in said(search)


@pytest.mark.slow
def test_a_search_that_is_stopped_while_its_server_is_silent_ends_soon(server, proxy, tmp_path):
    search = search_of(server.create_database(proxy.port), tmp_path, seconds=0.5, trials=60)
    process = started(search)
    wait_until(search.evaluated)
    proxy.blackhole = True
    time.sleep(2)

    code, took_s = ends(search, process)

    # psycopg itself asks the server to cancel what runs, and waits 5 s for that and 5 s for its end
    assert (code, took_s < 18) == (130, True), f"{took_s:.1f} s: {said(search)}"


def test_a_search_that_is_stopped_while_its_file_is_locked_ends_soon(tmp_path):
    search = search_of(f"sqlite:///{tmp_path}/nas.db", tmp_path, seconds=0.5, trials=60)
    process = started(search)
    wait_until(search.evaluated)
    with locked(tmp_path / "nas.db"):
        time.sleep(2)

        code, took_s = ends(search, process)

    assert (code, took_s < 5) == (130, True), f"{took_s:.1f} s: {said(search)}"


@pytest.mark.soak
def test_a_network_that_is_slow_only_takes_longer(server, proxy, tmp_path):
    search = search_of(server.create_database(proxy.port), tmp_path, trials=6, answer_s=2.0)
    process = started(search)
    wait_until(search.evaluated)

    proxy.delay_s = 0.5
    time.sleep(10)
    proxy.normal()

    require_unhurt(search, process)


@pytest.mark.soak
def test_a_network_that_cuts_connections_again_and_again_costs_nothing(server, proxy, tmp_path):
    search = search_of(server.create_database(proxy.port), tmp_path)
    process = started(search)
    wait_until(search.evaluated)

    for _ in range(20):
        proxy.cut()
        time.sleep(0.15)

    require_unhurt(search, process)


@pytest.mark.soak_when("half-open")
@pytest.mark.parametrize("silence", ["blackhole", "half-open"])
def test_a_server_that_falls_silent_counts_as_away_until_it_answers(server, proxy, silence, tmp_path):
    """Nothing is closed and nothing is refused: only no answer comes."""
    url = server.create_database(proxy.port) + "?connect_timeout=2"
    search = search_of(url, tmp_path, seconds=0.5, answer_s=1.0)
    process = started(search)
    wait_until(search.evaluated)

    if silence == "blackhole":
        proxy.blackhole = True
    else:
        proxy.half_open()
    try:
        wait_until(lambda: "results wait" in said(search), seconds=12)
    finally:
        proxy.normal()

    require_unhurt(search, process)


def test_a_server_without_a_free_connection_is_named_with_its_setting(server, tmp_path):
    url = server.create_database()
    connect(url, create=True).dispose()
    with hoarded(server), pytest.raises(StoreError, match="max_connections"):
        Search(url, tmp_path).run()


def test_a_search_whose_connections_are_taken_by_others_waits_for_them_and_says_why(server, tmp_path):
    search = search_of(server.create_database(), tmp_path)
    process = started(search)
    wait_until(search.evaluated)

    with hoarded(server) as hoard:
        while not hoard.full:
            time.sleep(0.01)
        end_others(hoard, search)
        wait_until(lambda: "max_connections" in said(search))

    require_unhurt(search, process)


class hoarded:
    """Every connection of a server that is free or becomes so, while the block lasts."""

    def __init__(self, server):
        self._port, self._taken, self._over, self.full = server.port, [], threading.Event(), False

    def __enter__(self):
        self._thread = threading.Thread(target=self._take)
        self._thread.start()
        wait_until(lambda: self.full)
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        for connection in self._taken:
            connection.close()

    def _take(self):
        while not self._over.is_set():
            try:
                self._taken.append(psycopg.connect(host="127.0.0.1", port=self._port, user="nas", dbname="postgres"))
            except psycopg.OperationalError:
                self.full = True
                time.sleep(0.001)

    def ask(self, query, *arguments):
        return self._taken[0].execute(query, arguments).fetchall()


def end_others(hoard, search):
    name = search.url.rsplit("/", 1)[1]
    hoard.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)
