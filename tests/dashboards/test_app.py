"""The dashboard's guard, and the dashboard itself over a real study in a real browser."""

import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from conftest import free_port, require
from evaluations import macs, share_of_conv3

from dashboards.app import application, guarded, serve
from nas import search
from nas.errors import InputError


def inner(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Access-Control-Allow-Origin", "*")])
    return [b"hello"]


def ask(method="GET", host="127.0.0.1:8080"):
    seen = {}

    def start(status, headers, *rest):
        seen.update(status=status, headers=dict(headers))

    body = b"".join(guarded(inner, ["127.0.0.1:8080"])({"REQUEST_METHOD": method, "HTTP_HOST": host}, start))
    return seen["status"], seen["headers"], body


def test_a_read_under_a_known_host_passes_without_the_cross_origin_header():
    status, headers, body = ask()

    assert (status, body) == ("200 OK", b"hello")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "", "127.0.0.1:8080.evil.example"])
def test_another_host_name_is_refused(host):
    assert ask(host=host)[0] == "403 Forbidden"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_reading_is_allowed(method):
    assert ask(method)[0] == "405 Method Not Allowed"


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
    command = [sys.executable, "-m", "nas", "dashboard", "--storage", url, "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
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


def test_a_browser_shows_the_study(served, tmp_path):
    base, _ = served
    chromium = shutil.which("chromium")
    require(chromium, "Chromium")
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=20000", "--dump-dom",
    ]  # fmt: skip

    shown = subprocess.run(
        [chromium, *flags, f"{base}/dashboard"], capture_output=True, text=True, timeout=120, check=False
    )

    assert "layers.digits" in shown.stdout, shown.stderr[-2000:]


def test_what_cannot_be_served_is_one_clear_error(tmp_path, served):
    base, _ = served
    port = int(base.rpartition(":")[2])
    with pytest.raises(InputError, match="there is no database"):
        application(f"sqlite:///{tmp_path}/none.db", [])
    search_url = f"sqlite:///{tmp_path}/nas.db"
    from nas import Space, one_of

    search(Space({"layer0": one_of("skip", "conv3")}), share_of_conv3, objectives=["accuracy:max"], trials=1,
           storage=search_url, runner="inline", checkpoints=tmp_path)  # fmt: skip
    with pytest.raises(InputError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*; choose another --port"):
        serve(search_url, "127.0.0.1", port, print)
