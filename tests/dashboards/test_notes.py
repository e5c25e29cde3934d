"""What the notes say, and that what others wrote stays text in them."""

import dataclasses
import datetime
import shlex
from collections import Counter

import pytest

from dashboards.markdown import block, code, plain
from dashboards.notes import number, study_note, trial_note
from dashboards.resume import command
from nas.store.listing import Attempt, Header, Row
from nas.supernet import JUDGE_IMAGES

NOW = datetime.datetime.fromisoformat("2026-01-02T03:04:05")
LAST = Attempt(
    attempt=1, state="complete", source="trained", start=0, stop=9, seed=7, device="cpu",
    metrics={"params": 29113.0, "accuracy": 0.81234567}, curve={"3": {"accuracy": 0.5}, "9": {"accuracy": 0.8}},
    seconds=12.34, host="node-1", reason="", versions="{}",
)  # fmt: skip
SETTINGS = {
    "space": "metaformer", "data": "digits (7608, 8 px)", "evaluate": "train and validate", "limits": ["params<=3e4"],
    "objectives": ["accuracy:max"], "epochs": [1, 9], "rungs": {"factor": 3, "brackets": 1, "rung_scale": 0.5},
    "recipe": {"lr": 0.01, "subset": 1.0, "batch_size": 0, "augment": "auto"},
    "source": {"data": "digits", "resolution": None},
}  # fmt: skip
HEADER = Header(1, "s", ("maximize",), {}, {}, SETTINGS, "0.1.0", None)


def row(state="COMPLETE", attempts=(LAST,), **fields):
    return Row(3, 2, state, NOW, NOW, origin="surrogate", digest="0123456789abcdef", attempts=list(attempts), **fields)


def note(state="COMPLETE", *changes, **fields):
    attempts = [dataclasses.replace(LAST, **change) for change in changes or ({},)]
    return trial_note(row(state, attempts, **fields), full=27, curves=True)


def test_the_note_of_a_trial_says_how_it_ended_what_it_cost_and_where_it_ran():
    said = note()

    assert "**Complete** after 9 epochs\n" in said
    assert "params 29,113 · accuracy 0.812346" in said
    assert "from `surrogate` · seed 7 · attempt 1 · on `node-1` (cpu) · 12.3 s · network `0123456789ab`" in said
    assert "accuracy by epoch: 3: 0.5, 9: 0.8" in said


@pytest.mark.parametrize(
    ("state", "change", "said"),
    [
        ("RUNNING", {"state": "running"}, "**Running** at epoch 9 of 27\n"),
        ("RUNNING", {"state": "paused"}, "**Paused** at epoch 9 of 27\n"),
        ("RUNNING", {"state": "lost", "reason": "its worker died"}, "next attempt, after epoch 9: its worker died"),
        ("PRUNED", {"state": "pruned"}, "**Stopped** at epoch 9 of 27: others of its rung were better"),
        ("FAIL", {"state": "fail", "reason": "out of memory"}, "**Failed** at epoch 9 of 27: out of memory"),
        ("FAIL", {"state": "running"}, "**Failed** by another program"),
        ("COMPLETE", {"source": "reused"}, "after 9 epochs, taken from another study, not trained here"),
        ("COMPLETE", {"source": "adopted"}, "after 9 epochs, run by another program"),
    ],
)
def test_every_state_has_its_words(state, change, said):
    assert said in note(state, change)


def test_lost_attempts_and_broken_limits_are_told():
    said = note("COMPLETE", {"state": "lost", "reason": "worker gone"}, {"attempt": 2},
                system_attrs={"constraints:params<=3e4": 12.0, "constraints:macs<=1e6": -5.0})  # fmt: skip

    assert "Attempt 1 was lost: worker gone" in said
    assert "**Over its limit** `params<=3e4` by 12" in said
    assert "macs<=1e6" not in said


def test_whose_weights_a_trial_began_with_is_said_and_with_what_option_to_go_on():
    said = note(user_attrs={"parent": 4})
    told = study_note(
        dataclasses.replace(HEADER, settings={**SETTINGS, "weights": "inherit"}), Counter(), [7], ["{}"], ""
    )

    assert "from `surrogate` · seed 7 · attempt 1 · began with the weights of trial 4 · on `node-1`" in said
    assert "weights" not in note()
    assert "| weights to begin with | those of the nearest trained trial |" in told
    assert "--weights inherit" in told
    assert "weights" not in study_note(HEADER, Counter(), [7], ["{}"], "")


@pytest.mark.parametrize(("begun", "said"), [("search", "those of the search"), ("supernet", "those of a supernet")])
def test_of_trainings_it_is_said_what_they_began_with(begun, said):
    header = dataclasses.replace(HEADER, settings={**SETTINGS, "retrains": "s", "from": begun})

    assert f"| weights to begin with | {said} |" in study_note(header, Counter(), [7], ["{}"], "")


def test_a_trial_without_rows_of_ours_says_whose_it_is():
    assert "another program" in trial_note(row(attempts=()), full=1, curves=False)


def test_picture_and_drawing_are_linked_or_shown():
    drawn = trial_note(row(), full=9, curves=False, picture="/p.svg", text="/p.txt", drawing="╭ image")
    linked = trial_note(row(), full=9, curves=False, picture="/p.svg", text="/p.txt")

    assert "![network of trial 2](/p.svg)" in drawn
    assert "```\n╭ image\n```" in drawn
    assert "/p.txt" not in drawn
    assert "[The same as text](/p.txt)" in linked


@pytest.mark.parametrize(
    "text", ["<b>", "[a](b)", "www.x.org", "http://x", "a@b.c", "*a*", "`a`", "a``b", "| a", "$x$"]
)
def test_text_of_others_is_code(text):
    said = plain(text)

    assert said.startswith("`")
    assert said.endswith("`")
    assert said.strip("`").strip(" ").strip("`") == text.strip("`")


def test_fences_are_longer_than_what_they_hold():
    assert code("a`b") == "``a`b``"
    assert block("x\n```\ny") == "````\nx\n```\ny\n````"
    assert plain("out_of memory, 3.5 %") == r"out\_of memory, 3.5 %"


def test_numbers_are_readable():
    assert [number(value) for value in (12.0, 1234567.0, 0.8123456789, 1e20)] == [
        "12",
        "1,234,567",
        "0.812346",
        "1e+20",
    ]


def test_the_note_of_a_study_says_what_and_how_to_go_on():
    said = study_note(HEADER, Counter({"surrogate": 5, "start": 2}), [0, 1, 2], ['{"torch": "2.13"}'], " --storage X")

    for words in ("| space | `metaformer` |", "| seeds of the trials | 0, 1, 2 |", "`surrogate` 5, `start` 2", "by nobody",
                  "1 to 9 epochs on rungs, one in 3 goes on", "mixer-nas 0.1.0", "torch 2.13", "lr 0.01"):  # fmt: skip
        assert words in said, words


def test_of_a_space_that_shrank_the_note_says_where_it_is_drawn_and_does_not_print_it():
    header = dataclasses.replace(HEADER, settings={**SETTINGS, "shrinking": {"phases": [], "classes": 10}})

    said = study_note(header, Counter(), [], [], "")

    assert "| space shrank | in phases, while a supernet was trained; `nas report` draws it |" in said
    assert "phases []" not in said
    assert "space shrank" not in study_note(HEADER, Counter(), [], [], "")


def test_the_command_takes_every_setting_that_is_not_as_usual():
    from typer.main import get_command

    from runners.cli import app

    said = shlex.split(command("a b", SETTINGS, " --storage sqlite:///x.db").replace("\\\n", " "))

    known = {name for each in get_command(app).commands["search"].params for name in each.opts}
    assert {word for word in said if word.startswith("--")} <= known
    assert said[:4] == ["nas", "search", "--study", "a b"]
    for pair in (["--lr", "0.01"], ["--rung-resolution", "4"], ["--epochs", "1:9"], ["--limit", "params<=3e4"]):
        assert pair == said[said.index(pair[0]) :][:2]
    assert "--factor" not in said


def test_a_study_made_from_python_is_gone_on_with_from_python():
    assert "nas.search(...)" in command("s", {"objectives": ["accuracy:max"]}, "")


def test_a_study_by_a_supernet_is_gone_on_with_by_the_options_that_made_it():
    settings = {
        "space": "cvt13-nas", "data": "digits (d, 32 px)", "source": {"data": "digits", "resolution": 32},
        "recipe": {"epochs": 20}, "evaluate": "validate by inherited weights", "objectives": ["accuracy:max"],
        "limits": [], "epochs": [1, 1], "weights": "supernet",
        "supernet": {"digest": "d", "epochs": 60, "sampling": "uniform", "at_once": 2, "shrink": True, "shrink_cost": 0.05},
    }  # fmt: skip
    said = command("s", settings, "", Counter())

    assert "--epochs 20" in said
    assert "--weights supernet" in said
    assert "--supernet-epochs 60" in said
    assert "--supernet-sampling uniform --supernet-at-once 2" in " ".join(said.replace("\\\n", " ").split())
    assert "--shrink --shrink-cost 0.05" in said
    assert "--evaluate" not in said


@pytest.mark.parametrize(
    ("held", "option"),
    [({"judge_images": 500}, "--judge-images 500"), ({"judge_images": JUDGE_IMAGES}, None), ({}, "--judge-images 0")],
    ids=["fewer", "as usual", "all"],
)
def test_how_many_images_a_supernet_judges_on_is_told_where_it_is_not_as_usual(held, option):
    settings = {
        "space": "cvt",
        "objectives": [],
        "limits": [],
        "weights": "supernet",
        "supernet": {"epochs": 3, **held},
    }
    told = [each for each in command("s", settings, "").split(" \\\n  ") if each.startswith("--judge-images")]

    assert told == ([] if option is None else [option])
