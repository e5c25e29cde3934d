"""The dashboard's guard, and what it answers over a real study."""

import contextlib
import gzip
import json
import re
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from answers import ask
from conftest import command, free_port
from evaluations import macs, share_of_conv3
from sqlalchemy.exc import OperationalError

from dashboards.app import application, serve
from dashboards.guard import guarded
from nas import search
from nas.errors import InputError, StoreError


def inner(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Access-Control-Allow-Origin", "*")])
    return [b"hello"]


HERE = "127.0.0.1:8080"


def test_a_read_under_a_known_host_passes_without_the_cross_origin_header():
    status, headers, body = ask(guarded(inner, [HERE]), "/", host=HERE)

    assert (status, body) == ("200 OK", b"hello")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "", "127.0.0.1:8080.evil.example"])
def test_another_host_name_is_refused(host):
    assert ask(guarded(inner, [HERE]), "/", host=host)[0] == "403 Forbidden"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_reading_is_allowed(method):
    assert ask(guarded(inner, [HERE]), "/", method=method, host=HERE)[0] == "405 Method Not Allowed"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A study with a name that is markup, and `nas dashboard` serving it."""
    from nas import Space, one_of

    folder = tmp_path_factory.mktemp("dashboard")
    url = f"sqlite:///{folder}/nas.db"
    space = Space({f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(4)})
    search(
        space, share_of_conv3, objectives={"accuracy": "maximize", "macs": "minimize"}, costs=macs, trials=12,
        constraints={"macs": "<= 15"}, storage=url, study="layers.digits", runner="inline", checkpoints=folder,
    )  # fmt: skip
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "nas", "dashboard", "--storage", url, "--port", str(port)], cwd=folder, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = process.stderr.readline()
    yield f"http://127.0.0.1:{port}", line
    process.terminate()
    process.wait(timeout=20)


def fetch(url, **options):
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, **options), timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_the_command_says_where_it_serves_and_lists_the_study(served):
    base, line = served

    status, body = fetch(f"{base}/api/studies")

    assert base in line
    assert status == 200
    assert "layers.digits" in body


def test_every_trial_with_its_constraint_is_in_the_answer(served):
    base, _ = served
    study = re.search(r'"study_id": *(\d+)', fetch(f"{base}/api/studies")[1])[1]

    _, body = fetch(f"{base}/api/studies/{study}?after=0")

    assert body.count('"trial_id"') >= 12
    assert '"constraints": []' not in body
    assert '"accuracy"' in body


def test_a_study_cannot_be_deleted_through_it(served):
    base, _ = served

    assert fetch(f"{base}/api/studies/1", method="DELETE")[0] == 405
    assert fetch(f"{base}/api/studies", headers={"Host": "evil.example"})[0] == 403
    assert "layers.digits" in fetch(f"{base}/api/studies")[1]


def test_a_page_and_all_else_have_policies_of_their_own(served):
    base, _ = served

    page, data = headers(f"{base}/dashboard/studies/1"), headers(f"{base}/api/studies/1?after=0")

    assert "script-src 'self' 'unsafe-eval';" in page["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    for path in ("/api/studies", "/csv/1", "/static/bundle.js", "/favicon.ico"):
        assert headers(f"{base}{path}")["Content-Security-Policy"] == data["Content-Security-Policy"]
    assert data["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert page["X-Content-Type-Options"] == data["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in data


def headers(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.headers


def test_a_long_list_is_packed_for_those_who_unpack(served):
    base, _ = served
    asked = urllib.request.Request(f"{base}/api/studies/1?after=0", headers={"Accept-Encoding": "gzip"})

    with urllib.request.urlopen(asked, timeout=20) as answer:
        body = answer.read()

    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body).decode() == fetch(f"{base}/api/studies/1?after=0")[1]


@pytest.mark.parametrize("error", [OperationalError("s3cret at /etc", None, None), StoreError("database x: away")])
def test_what_fails_inside_is_one_line_without_a_traceback(error, capsys):
    def fails(environ, start_response):
        environ["wsgi.errors"].write("Traceback")
        raise error

    status, head, body = ask(guarded(fails, ["here"]), "/dashboard")

    known = isinstance(error, StoreError)
    assert status == ("503 Service Unavailable" if known else "500 Internal Server Error")
    assert body.count(b"\n") == 1
    assert b"s3cret" not in body
    assert (b"away" in body) == known
    assert head["Content-Type"] == "text/plain; charset=utf-8"
    assert "Traceback" not in "".join(capsys.readouterr())


def test_a_failure_of_stock_is_503_while_the_database_is_away():
    def fails(environ, start_response):
        start_response("500 Internal Server Error", [("Content-Type", "application/json")])
        return [b"{}"]

    def away():
        raise StoreError("database x: away")

    status, _, body = ask(guarded(fails, ["here"], away), "/api/studies")

    assert (status, json.loads(body)) == ("503 Service Unavailable", {"reason": "database x: away"})


def test_while_the_database_cannot_be_read_every_answer_is_one_line(tmp_path, capfd):
    url = one_study(tmp_path)
    app = application(url, ["here"])
    file = tmp_path / "nas.db"
    whole = file.read_bytes()
    file.write_bytes(b"no database " * len(whole))
    for beside in tmp_path.glob("nas.db-*"):
        beside.unlink()

    paths = ("/api/studies", "/api/studies/1", "/api/studies/1/param_importances", "/csv/1",
             "/nas/studies/1/trials/0.svg")  # fmt: skip
    answers = {path: ask(app, path) for path in paths}

    assert {path: status for path, (status, _, _) in answers.items()} == dict.fromkeys(paths, "503 Service Unavailable")
    assert all(body.count(b"\n") == 1 and b"the file is damaged" in body for _, _, body in answers.values())
    assert "Traceback" not in "".join(capfd.readouterr())


@contextlib.contextmanager
def locked(file):
    """By somebody who keeps even readers out."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("PRAGMA user_version=1")
    yield
    connection.execute("ROLLBACK")
    connection.close()


def one_study(folder):
    from nas import Space, one_of

    url = f"sqlite:///{folder}/nas.db"
    search(Space({"layer0": one_of("skip", "conv3")}), share_of_conv3, objectives=["accuracy:max"], trials=1,
           storage=url, runner="inline", checkpoints=folder)  # fmt: skip
    return url


def test_a_missing_or_locked_database_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    run = command(capsys, monkeypatch)
    monkeypatch.setattr("nas.store.database.SQLITE_WAIT_S", 0.1)

    code, _, said = run("dashboard", "--storage", f"sqlite:///{tmp_path}/none.db")
    assert (code, len(said.strip().splitlines())) == (2, 1)
    assert "there is no database" in said

    url = one_study(tmp_path)
    with locked(tmp_path / "nas.db"):
        code, _, said = run("dashboard", "--storage", url)
    assert (code, len(said.strip().splitlines())) == (2, 1)
    assert "database is locked" in said


def test_there_is_no_picture_of_what_is_none(tmp_path):
    app = application(one_study(tmp_path), ["here"])

    for path in ("/nas/studies/1/trials/9.svg", "/nas/studies/9/trials/0.svg", "/nas/studies/1/trials/0.svg", "/nas/",
                 "/nas/studies/1/trials/../../x.svg", "/nas/studies/1/trials/0.html"):  # fmt: skip
        assert ask(app, path)[0] == "404 Not Found", path
    status, head, body = ask(app, "/nas/studies/1/trials/0.txt")
    assert (status, head["Content-Type"]) == ("200 OK", "text/plain; charset=utf-8")
    assert b"layer0" in body


def test_for_the_pages_of_another_version_the_list_is_stocks(tmp_path, monkeypatch, caplog):
    url = one_study(tmp_path)
    monkeypatch.setattr("dashboards.app.version", lambda _: "0.99.0")

    found = json.loads(ask(application(url, ["here"]), "/api/studies/1")[2])

    assert found["trials"][0]["note"]["body"] == ""
    assert "optuna-dashboard 0.99.0 is not 0.21.x" in caplog.text


def test_what_cannot_be_served_is_one_clear_error(tmp_path, served):
    base, _ = served
    port = int(base.rpartition(":")[2])
    with pytest.raises(InputError, match="there is no database"):
        application(f"sqlite:///{tmp_path}/none.db", [])
    search_url = one_study(tmp_path)
    with pytest.raises(InputError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*; choose another --port"):
        serve(search_url, "127.0.0.1", port, print)
