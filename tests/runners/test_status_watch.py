"""`nas status --watch`: a study that another process drives, as lines or as a view, until it is over or Ctrl-C."""

import contextlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from evaluations import macs, share_of_conv3
from faults.proxy import Proxy
from optunas import sql

from nas import Space, one_of, open_search, search
from nas.errors import InputError
from nas.store.reading import read_study
from runners.screen import Screen
from runners.status import Moment
from runners.status_watch import _View, watch

NAS = [sys.executable, "-m", "nas"]
URL = "sqlite:///nas.db"
MINE = """
    import pathlib
    import time

    import nas

    space = nas.Space({f"layer{index}": nas.one_of("skip", "conv3", "conv5") for index in range(4)})


    def evaluate(candidate, budget, report):
        time.sleep(0.3)
        while pathlib.Path("wait").exists():
            time.sleep(0.1)
        return {"accuracy": list(candidate.values()).count("conv3") / 4 * budget.stop / 9}
"""
OWN = ["search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--study", "s", "--objective", "accuracy:max",
       "--epochs", "1:9", "--sampler", "random", "--runner", "inline", "--trials", "9"]  # fmt: skip


@pytest.fixture
def searching(nas):
    """`nas search` in a process of its own, which has made its study."""
    process = subprocess.Popen([*NAS, *OWN], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = iter(process.stderr.readline, "")
    assert any(line.startswith("trial ") for line in lines)
    threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
    yield nas
    process.kill()
    process.wait()


def counts(line):
    """Trials by state, of a line."""
    return {state: int(count) for count, state in re.findall(r"(\d+) (running|paused|complete|pruned|fail)\b", line)}


def test_a_search_in_another_process_is_told_change_by_change_until_it_is_over(searching):
    code, out, err = searching("status", "s", "--watch", "0.2")

    lines = out.splitlines()
    told = [counts(line) for line in lines[:-1]]
    assert (code, err) == (0, "")
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    assert len(lines) == len({line[20:] for line in lines}) > 3
    assert told[0]["running"] == 1
    assert (told[-1]["running"], told[-1]["paused"], told[-1]["complete"] + told[-1]["pruned"]) == (0, 0, 9)
    ended = [each["complete"] + each["pruned"] for each in told]
    assert ended == sorted(ended)
    assert "best accuracy" in lines[-2]
    assert lines[-1][20:] == "over: nobody drives it and nothing runs"


def test_every_change_is_a_json_value_with_json(searching):
    code, out, _ = searching("status", "s", "--watch", "--json")

    told = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert told[0]["driver"]["pid"] > 0
    assert told[-1] == json.loads(searching("status", "s", "--json")[1])


def test_on_a_terminal_it_is_a_view_that_ctrl_c_ends_with_exit_code_0(searching):
    Path("wait").touch()
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "LINES": "40", "TERM": "xterm"}
    process = subprocess.Popen(
        [*NAS, "status", "s", "--watch", "0.2"], stdout=theirs, stderr=subprocess.PIPE, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while b"Ctrl-C ends this view" not in seen:
        seen += os.read(ours, 65536)

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=30) == 0
    assert process.stderr.read() == b""
    assert b"study s: 1 running" in seen
    assert read_study(URL, "s").driver is not None  # the search goes on
    os.close(ours)


def test_what_is_over_already_is_told_once(nas, layers, tmp_path):
    search(layers, share_of_conv3, objectives=["accuracy:max"], trials=2, runner="inline", storage=URL, study="s")

    began = time.monotonic()
    code, out, _ = nas("status", "s", "--watch", "60")

    assert (code, len(out.splitlines())) == (0, 2)
    assert time.monotonic() - began < 30
    sql(URL, "UPDATE nas_evaluations SET state = 'running' WHERE number = 0")
    code, out, _ = nas("status", "s", "--watch", "60")
    left = "over: nobody drives it, though 1 trials were left running; the same `nas search` goes on with them"
    assert (code, out.splitlines()[-1][20:]) == (0, left)


class Acting(io.StringIO):
    """A file that does the next of these things with every line that is written to it."""

    def __init__(self, *actions):
        super().__init__()
        self._actions = [*actions]

    def write(self, text):
        written = super().write(text)
        for _ in range(text.count("\n")):
            (self._actions or [lambda: None]).pop(0)()
        return written


def test_a_database_that_is_away_for_a_moment_is_told_and_asked_again(layers, postgres, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host, port = re.fullmatch(r"(.*):(\d+)/postgres", postgres).groups()
    with Proxy(int(port)) as proxy, contextlib.ExitStack() as driving:
        driving.enter_context(open_search(layers, objectives=["accuracy:max"], storage=postgres, study="w"))

        def go_away():
            proxy.refuse = True
            proxy.cut()

        file = Acting(go_away, proxy.normal, driving.close)
        url = f"{host}:{proxy.port}/postgres"
        watch("w", url, every_s=0.1, plot=None, as_json=False, out=Screen(file=file, width=200))

    told = [line[20:] for line in file.getvalue().splitlines()]
    assert told[0] == "study w: 0 running, 0 paused, 0 complete, 0 pruned, 0 fail"
    assert told[1].startswith("the database is away for 0:00, trying again: database postgresql+psycopg://nas@")
    assert told[2] == "the database is back"
    assert told[-1] == "over: nobody drives it and nothing runs"


def test_a_study_that_is_deleted_ends_the_view_with_its_name(layers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as driving:
        driving.enter_context(open_search(layers, objectives=["accuracy:max"], storage=URL, study="w"))
        file = Acting(lambda: sql(URL, "UPDATE studies SET study_name = 'gone'"))
        with pytest.raises(InputError, match="unknown study 'w'"):
            watch("w", URL, every_s=0.1, plot=None, as_json=False, out=Screen(file=file))


@pytest.fixture(scope="module")
def front(tmp_path_factory, _own_cache):
    """A study with two objectives on rungs."""
    folder = tmp_path_factory.mktemp("front")
    space = Space({f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(4)})
    search(
        space, share_of_conv3, objectives=["accuracy:max", "macs:min"], costs=macs, trials=20, epochs=(1, 9),
        sampler="random", runner="inline", storage=f"sqlite:///{folder}/nas.db", study="s", checkpoints=folder,
    )  # fmt: skip
    return read_study(f"sqlite:///{folder}/nas.db", "s")


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (80, 50), (160, 30), (200, 60), (40, 10)])
def test_the_view_is_never_higher_than_the_terminal_and_shows_more_on_a_larger_one(front, size):
    screen = Screen(file=io.StringIO(), force_terminal=True, width=size[0], height=size[1], color_system=None)
    view = _View(screen, plots=True)

    with view:
        view.show(Moment(front), "")
        drawn = screen.file.getvalue()

    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).splitlines()
    assert lines[0].startswith("study s: 0 running")
    assert "Ctrl-C ends" in " ".join(lines[-2:])
    assert len(lines) <= size[1]
    assert all(len(line) <= size[0] for line in lines)
    assert ("best so far" in drawn) == (size[1] > 10)
    assert ("over trainings" in drawn) == (size in {(80, 50), (160, 30), (200, 60)})
    assert "trials at each rung" in drawn or size != (200, 60)


def test_a_view_is_drawn_again_only_for_news(front):
    screen = Screen(file=io.StringIO(), force_terminal=True, width=100, height=30)
    moment = Moment(front)

    with _View(screen, plots=True) as view:
        written = []
        for said in (
            "",
            "",
            "away for 0:03, trying again: \x1b[31mdatabase",
            "away for 0:03, trying again: \x1b[31mdatabase",
        ):
            view.show(moment, said)
            written.append(len(screen.file.getvalue()))
        assert "the database is away for 0:03, trying again: \\x1b[31mdatabase" in screen.file.getvalue()

    assert written[0] == written[1] < written[2] == written[3]


@pytest.mark.parametrize("seconds", ["0", "nan", "inf", "-1", "1e9"])
def test_a_time_that_cannot_be_is_one_line(nas, seconds):
    code, out, err = nas("status", "s", f"--watch={seconds}")

    assert (code, out) == (2, "")
    assert "--watch" in err
    assert "seconds are expected" in err


def test_without_a_number_it_looks_every_two_seconds(nas):
    for words in (["s", "--watch"], ["--watch", "s"], ["s", "--watch", "--no-plot"], ["s", "--watch", "3"]):
        code, _, err = nas("status", *words)
        assert (code, err) == (
            2,
            f"nas: there is no database {Path.cwd()}/nas.db; `nas search` makes one, --storage or NAS_STORAGE names another\n",
        )
