"""The tools of these tests do what they say: proxy, server, small disk, failing fsync."""

import errno
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time

import psycopg
import pytest
from faults.places import failing_fsync, fill, small_disk
from faults.proxy import Proxy
from faults.server import Server

PATIENCE_S = 0.4


@pytest.fixture(scope="module")
def server():
    with Server(max_connections=8) as running:
        yield running


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as running:
        yield running


def connect(port):
    return psycopg.connect(host="127.0.0.1", port=port, user="nas", dbname="postgres", connect_timeout=2)


def one(connection):
    return connection.execute("SELECT 1").fetchone()[0]


def silent(sock, within=PATIENCE_S):
    """Whether nothing comes from a socket for a while, not even its end."""
    sock.settimeout(within)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    except ConnectionResetError:
        pass
    return False


@pytest.fixture
def echo():
    """A proxied connection to a server that sends back what it gets."""

    def serve():
        taken, _ = listener.accept()
        with taken:
            while data := taken.recv(100):
                received.append(data)
                taken.sendall(data)

    received = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        with Proxy(listener.getsockname()[1]) as running, socket.create_connection(("127.0.0.1", running.port)) as ours:
            yield running, ours, received


def test_a_proxy_that_is_not_disturbed_changes_nothing(proxy):
    with connect(proxy.port) as connection:
        assert one(connection) == 1
        assert connection.execute("SELECT repeat('x', 1000000)").fetchone()[0] == "x" * 1_000_000


def test_a_delay_holds_every_answer_back_in_both_directions(proxy):
    with connect(proxy.port) as connection:
        proxy.delay_s = 0.1
        started = time.monotonic()
        assert one(connection) == 1
        assert time.monotonic() - started >= 0.2


def test_a_delay_is_of_the_first_byte_and_not_of_every_piece(proxy):
    with connect(proxy.port) as connection:
        proxy.delay_s = 0.1
        started = time.monotonic()
        assert len(connection.execute("SELECT repeat('x', 3000000)").fetchone()[0]) == 3_000_000
        assert time.monotonic() - started < 1


def test_a_cut_ends_the_connections_and_lets_new_ones_in(proxy):
    connection = connect(proxy.port)
    proxy.cut()

    with pytest.raises(psycopg.OperationalError):
        one(connection)
    with connect(proxy.port) as again:
        assert one(again) == 1


def test_a_refusing_proxy_closes_new_connections_and_keeps_old_ones(proxy):
    with connect(proxy.port) as old:
        proxy.refuse = True
        with pytest.raises(psycopg.OperationalError):
            connect(proxy.port)
        assert one(old) == 1

        proxy.normal()
        with connect(proxy.port) as new:
            assert one(new) == 1


def test_a_black_hole_passes_nothing_until_it_ends(echo):
    proxy, ours, received = echo
    proxy.blackhole = True
    ours.sendall(b"a")

    assert silent(ours)
    assert received == []

    proxy.normal()
    ours.settimeout(2)
    assert ours.recv(1) == b"a"


def test_a_black_hole_takes_new_connections_and_never_answers(proxy):
    proxy.blackhole = True

    with pytest.raises(psycopg.errors.ConnectionTimeout):
        connect(proxy.port)


def test_a_half_open_connection_brings_the_questions_and_no_answer(echo):
    proxy, ours, received = echo
    proxy.half_open()
    ours.sendall(b"a")

    assert silent(ours)
    assert received == [b"a"]

    proxy.normal()
    ours.settimeout(2)
    assert ours.recv(1) == b"a"


def test_a_black_hole_that_is_cut_ends_its_connections(echo):
    proxy, ours, received = echo
    proxy.blackhole = True
    ours.sendall(b"a")
    time.sleep(0.05)
    proxy.cut()

    assert not silent(ours)
    assert received == []


def test_a_server_restarts_and_crashes_and_keeps_what_was_committed(server):
    url = server.create_database()
    name = url.rsplit("/", 1)[1]

    def rows(query):
        with psycopg.connect(host="127.0.0.1", port=server.port, user="nas", dbname=name) as connection:
            done = connection.execute(query)
            return done.fetchall() if done.description else None

    rows("CREATE TABLE kept (number integer)")
    old = connect(server.port)
    server.restart("fast")
    with pytest.raises(psycopg.OperationalError):
        one(old)
    rows("INSERT INTO kept VALUES (1)")
    server.crash()
    with pytest.raises(psycopg.OperationalError):
        connect(server.port)
    server.start()

    assert rows("SELECT number FROM kept") == [(1,)]
    assert "automatic recovery in progress" in server.log


def test_a_server_has_its_settings_and_syncs(server):
    with connect(server.port) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("8",)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_connections_to_a_database_are_ended_from_outside(server):
    url = server.create_database()
    connection = psycopg.connect(url.replace("+psycopg", ""))

    assert server.end_connections(url) == 1
    with pytest.raises(psycopg.OperationalError):
        one(connection)


def test_a_small_disk_fills_and_is_free_again(tmp_path):
    with small_disk("1m", tmp_path / "disk") as disk:
        filler = fill(disk)
        with pytest.raises(OSError, match="No space") as caught:
            (disk / "more").write_text("more" * 2000)
        filler.unlink()
        (disk / "more").write_text("more" * 2000)
    mounted = os.path.ismount(tmp_path / "disk")

    assert caught.value.errno == errno.ENOSPC
    assert not mounted


def test_a_full_disk_can_have_some_room_left(tmp_path):
    with small_disk("1m", tmp_path / "disk") as disk:
        fill(disk, leave=65536)
        (disk / "little").write_bytes(b"x" * 20_000)
        with pytest.raises(OSError, match="No space"):
            (disk / "much").write_bytes(b"x" * 100_000)


@pytest.mark.parametrize(("when", "failed"), [(2, [1]), ("2+", [1, 2])])
def test_fsync_fails_when_it_was_asked_to(tmp_path, when, failed):
    script = """
        import os, sys
        file = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
        for index in range(3):
            try:
                os.fsync(file)
            except OSError as error:
                print(index, error.errno)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "file")]
    done = subprocess.run(failing_fsync(command, when), check=True, capture_output=True, text=True)

    assert done.stdout.splitlines() == [f"{index} {errno.EIO}" for index in failed]
