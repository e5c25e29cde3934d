"""`nas status` and `nas best`: studies of every kind, with and without plots; what is no study is one line."""

import json
import shutil

import pytest
from evaluations import macs, raises_sometimes, share_of_conv3
from optunas import sql

from nas import open_search, search
from runners import options
from runners.status import may_plot

URL = "sqlite:///nas.db"
HOSTILE = "[red]x[/red] \x1b[31m"


def always_fails(candidate, budget, report):
    raise RuntimeError(HOSTILE)


def made(space, folder, kind):
    """A study of this kind in a database in that folder."""
    given = {
        "objectives": ["accuracy:max"],
        "storage": f"sqlite:///{folder}/nas.db",
        "study": "s",
        "checkpoints": folder,
    }
    if kind == "empty":
        with open_search(space, **given):
            return
    more = {
        "failed": {"trials": 3},
        "one": {"trials": 1},
        "none keeps": {"trials": 9, "constraints": ["heat<=-1"]},
        "rungs": {"trials": 18, "epochs": (1, 9)},
        "front": {"trials": 18, "objectives": ["accuracy:max", "macs:min"]},
        "running": {"trials": 9, "watch": interrupt},
    }[kind]
    evaluate = {"failed": always_fails, "none keeps": hot, "rungs": raises_sometimes}.get(kind, share_of_conv3)
    try:
        search(space, evaluate, costs=macs, sampler="random", runner="inline", **{**given, **more})
    except KeyboardInterrupt:
        sql(given["storage"], "UPDATE nas_evaluations SET state = 'running', ended = NULL WHERE number = 2")


def hot(candidate, budget, report):
    return {**share_of_conv3(candidate, budget, report), "heat": 5.0}


def interrupt(study):
    if len(study.finished) == 3:
        raise KeyboardInterrupt


KINDS = ("empty", "failed", "one", "none keeps", "rungs", "front", "running")
PLOTS = {"rungs": 2, "front": 2, "one": 1, "none keeps": 1, "running": 2}  # progress needs a best, and two trainings


@pytest.fixture(params=KINDS)
def study(request, nas, layers, studies):
    """The command, where nas.db holds a study `s` of this kind."""
    if request.param not in studies:
        studies[request.param] = studies["root"] / request.param.replace(" ", "-")
        studies[request.param].mkdir()
        made(layers, studies[request.param], request.param)
    shutil.copy(studies[request.param] / "nas.db", "nas.db")
    return request.param, nas


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return {"root": tmp_path_factory.mktemp("studies")}


def test_a_study_of_every_kind_is_shown_by_every_command(study):
    kind, nas = study
    said = {
        "empty": "nothing complete yet after 0 trainings",
        "failed": "3 fail",
        "one": "1 complete",
        "none keeps": "no trial keeps heat<=-1; the nearest is trial",
        "rungs": "epochs that full training of all would have taken",
        "front": "front: ",
        "running": "2 running",
    }[kind]
    for arguments in (["status"], ["status", "--plot"], ["status", "--no-plot"], ["trials"], ["trials", "--csv", "-"]):
        code, out, err = nas(arguments[0], "s", *arguments[1:])
        assert (code, err) == (0, "")
        assert said in out or arguments[0] == "trials"
        assert "\x1b" not in out
        plots = out.count("┌──") - out.count("┌───┐")
        assert plots == (PLOTS.get(kind, 0) if arguments[-1] == "--plot" else 0)
    for command in ("status", "trials"):
        code, out, _ = nas(command, "s", "--json")
        assert code == 0
        assert json.loads(out, parse_constant=pytest.fail) is not None
    code, out, err = nas("best", "s", "--json")
    none = kind in ("empty", "failed", "none keeps")
    assert code == (2 if none else 0)
    assert (err.startswith("nas: study 's'"), err.count("\n")) == ((True, 1) if none else (False, 0))


@pytest.mark.parametrize("study", ["rungs"], indirect=True)
def test_plots_come_by_themselves_on_a_terminal_that_is_wide_enough(study, monkeypatch):
    _, nas = study
    monkeypatch.setattr(type(options.out), "is_terminal", True)
    monkeypatch.setattr(options.out, "no_color", True)

    for width, beside in ((59, None), (60, False), (139, False), (160, True)):
        monkeypatch.setattr(options.out, "width", width)
        _, out, _ = nas("status", "s")
        heads = [line for line in out.splitlines() if "over trainings" in line]
        assert len(heads) == (0 if beside is None else 1)
        assert [("accuracy against macs: ● front" in line) for line in heads] == ([] if beside is None else [beside])
        assert ("trials at each rung" in out) == (beside is not None)
        assert (" reached epoch 1" in out) == (beside is None)  # the same in words
        _, out, _ = nas("status", "s", "--no-plot")
        assert "over trainings" not in out


def test_what_cannot_show_plots_says_so_where_they_are_asked_for(nas, layers, tmp_path, monkeypatch):
    made(layers, tmp_path, "one")
    monkeypatch.setattr(type(options.out), "encoding", "ascii")

    code, out, err = nas("status", "s", "--plot")

    assert (code, out, err) == (2, "", "nas: --plot: standard output is ascii, and plots need UTF-8\n")
    assert nas("status", "s")[0] == 0
    assert not may_plot(options.out, wanted=None)


def test_hostile_words_in_a_database_are_shown_as_text(nas, layers, tmp_path):
    made(layers, tmp_path, "rungs")
    sql(URL, "UPDATE nas_trials SET origin = :text", text=HOSTILE)
    row = sql(URL, "SELECT settings FROM nas_studies")[0][0]
    settings = {**json.loads(row), "space": f"mine:{HOSTILE}", "data": HOSTILE}
    sql(URL, "UPDATE nas_studies SET settings = :text", text=json.dumps(settings))

    for command in ("status", "best", "trials"):
        code, out, _ = nas(command, "s")
        assert code == 0
        assert "[red]x[/red] \\x1b[31m" in out
        assert "\x1b" not in out
    assert nas("best", "s", "--svg", "best.svg")[0] == 0
    assert "\x1b" not in (tmp_path / "best.svg").read_text()
    assert "\\x1b" in (tmp_path / "best.svg").read_text()


@pytest.mark.parametrize("command", ["status", "best", "trials"])
def test_an_unknown_study_names_the_nearest(nas, layers, tmp_path, command):
    made(layers, tmp_path, "empty")

    assert nas(command, "t") == (2, "", "nas: unknown study 't': known: s\n")
