"""What is seen of a search while it runs: lines in a log file, a live view on a terminal, and how much is left."""

import io

import evaluations
import pytest
from rich.console import Console

from nas import search
from nas.goals import Goals
from nas.jobs import Budget
from nas.objectives import objectives_from
from nas.progress import BeganAgain, LostWorker, Note, Place, WentOn
from nas.trial import State, Trial
from runners import progress
from runners.progress import Watcher
from runners.view import View, clock, ended_line, note_line, view_of

GOALS = Goals(objectives_from(["accuracy:max", "macs:min"]), full=9)


def trial(number=7, state=State.RUNNING, **changes):
    given = {
        "number": number, "genome": (), "candidate": {"depth": 2}, "digest": "", "state": state, "origin": "random",
        "attempt": 1, "metrics": {"macs": 5.0}, "budget": Budget(0, 3, 0, "cpu", ""),
    }  # fmt: skip
    return Trial(**{**given, **changes})


def view(**changes):
    given = {
        "running": 6, "workers": 8, "places": (), "paused": {}, "promoted": 0, "ended": {}, "total": 27, "epochs": 0,
        "expected": 63.0, "full": 9, "repeated": 0, "best": "", "away": "",
    }  # fmt: skip
    return View(**{**given, **changes})


def logged(layers, tmp_path, evaluate=evaluations.share_of_conv3, **options):
    """The lines of a log file of a small search."""
    file = io.StringIO()
    arguments = {"objectives": ["accuracy:max"], "trials": 9, "sampler": "random", "epochs": (1, 9), "storage": None}
    with Watcher(Console(file=file, width=80), "s") as watch:
        result = search(layers, evaluate, **{**arguments, "runner": "inline", "watch": watch, **options})
    return result, file.getvalue().splitlines()


def numbers(lines, word):
    return sorted(int(line.split()[1].rstrip(":")) for line in lines if line.startswith("trial ") and word in line)


# -- lines of a log file -----------------------------------------------------------------------------------------------


def test_every_trial_that_ends_and_every_promotion_has_one_line(layers, tmp_path):
    result, lines = logged(layers, tmp_path)

    complete, pruned = (
        [trial.number for trial in result.trials if trial.state is state] for state in (State.COMPLETE, State.PRUNED)
    )
    assert [line.split(":")[0] for line in lines if line.split()[1].endswith(":")] == [
        f"trial {each}" for each in complete
    ]
    assert numbers(lines, " pruned: accuracy ") == pruned
    assert sorted(numbers(lines, " goes on to 9 epochs after accuracy ")) == complete
    assert len(lines) == len(result.trials) + sum(len(trial.curve) > 1 for trial in result.trials) + len(complete)


def test_a_failed_trial_says_why(layers, tmp_path):
    result, lines = logged(layers, tmp_path, evaluations.raises_sometimes, trials=12, epochs=(1, 1))

    failed = [trial.number for trial in result.trials if trial.state is State.FAIL]
    assert failed
    assert numbers(lines, " failed: RuntimeError: no luck with conv5 at ") == failed


def test_a_summary_comes_once_in_a_while_and_not_with_every_event(layers, tmp_path, monkeypatch):
    _, seldom = logged(layers, tmp_path)
    monkeypatch.setattr(progress, "SUMMARY_S", 0.0)

    _, often = logged(layers, tmp_path)

    assert not any(line.startswith("at ") for line in seldom)
    last = [line for line in often if line.startswith("at 0:")][-1]
    assert "; 1 complete, 8 pruned of 9 trials, best accuracy " in last
    assert "; 21 of about 21 epochs; " in last


def test_trials_of_before_are_named_and_counted(layers, tmp_path, monkeypatch):
    storage = {"storage": f"sqlite:///{tmp_path}/nas.db", "checkpoints": tmp_path, "epochs": (1, 1)}
    logged(layers, tmp_path, **storage, trials=3)
    monkeypatch.setattr(progress, "SUMMARY_S", 0.0)

    _, lines = logged(layers, tmp_path, **storage, trials=5)

    assert lines[0] == "going on with 3 trials done"
    assert sum(line.startswith("trial ") for line in lines) == 2
    assert any("5 complete of 5 trials" in line for line in lines)


def test_training_twice_is_said_once_and_counted(layers, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "SUMMARY_S", 0.0)

    _, lines = logged(layers, tmp_path, forgets)

    said = [line for line in lines if "began again" in line]
    assert len(said) == 1
    assert said[0].endswith("began again at epoch 1: its checkpoint of epoch 1 was not there")
    assert "6 epochs trained twice" in [line for line in lines if line.startswith("at ")][-1]


def forgets(candidate, budget, report):
    """Keeps no checkpoint, and so trains from the start at every rung."""
    for epoch in range(1, budget.stop + 1):
        report(epoch, {"accuracy": 0.5 + epoch / 100})
    return {"accuracy": 0.5 + budget.stop / 100}


def test_a_trial_that_is_lost_and_tried_again_says_so(layers, tmp_path):
    result, lines = logged(layers, tmp_path, evaluations.dies_once, runner="local", workers=2, trials=4, epochs=(1, 1))

    again = [trial.number for trial in result.trials if trial.attempt == 2]
    assert numbers(lines, " is tried again after attempt 1: its worker ended (exit code 9)") == again == [0, 3]


# -- words -------------------------------------------------------------------------------------------------------------


def test_values_on_the_way_stand_with_their_epochs():
    curve = {1: {"accuracy": 0.5}, 3: {"accuracy": 0.9137}}

    went_on = note_line(WentOn(7, 3, 9), trial(curve=curve, budget=Budget(3, 9, 0, "cpu", "")), GOALS)
    pruned = ended_line(trial(state=State.PRUNED, curve=curve, seconds=2.0), GOALS)

    assert went_on == "trial 7 goes on to 9 epochs after accuracy 0.9137, macs 5 at 3"
    assert pruned == "trial 7 pruned: accuracy 0.9137, macs 5 at 3  (2.0 s, random)"


@pytest.mark.parametrize(
    ("host", "before", "asked"), [("a", "a", False), ("b", "a", True), ("", "", True), ("a", "", True)]
)
def test_a_checkpoint_that_is_not_there_asks_for_a_shared_directory_unless_the_host_is_the_same(host, before, asked):
    line = note_line(BeganAgain(7, 1, 3, host, before), trial(), GOALS)

    assert line.startswith("trial 7 began again at epoch 1: its checkpoint of epoch 3 was not there")
    assert line.endswith("; is --checkpoints shared by all nodes?") == asked


def test_of_a_page_about_a_lost_worker_the_first_sentence_is_said():
    line = note_line(LostWorker(7, 2, "The actor is dead. Some common causes include: ..."), trial(), GOALS)

    assert line == "trial 7 is tried again after attempt 2: The actor is dead"
    assert len(note_line(LostWorker(7, 2, "x" * 500), trial(), GOALS)) < 250


def test_a_note_without_words_is_a_mistake():
    with pytest.raises(ValueError, match="is no note that has words"):
        note_line(Note(7), trial(), GOALS)


def test_who_runs_where_and_who_waits_at_which_rung():
    places = (Place("a", "cuda:0"), Place("a", "cuda:1"), Place("a", "cuda:1"), Place("b", "cuda:0"))

    assert view(places=places, paused={3: 3, 1: 8}, promoted=14).work == (
        "running 6 of 8 (a 3, b 1; 3 GPUs), paused 8 at 1, 3 at 3 epochs, promoted 14"
    )
    assert view(places=places[:3]).work == "running 6 of 8 (cuda:0, cuda:1)"
    assert view(places=(Place("a", "cpu"),), workers=0).work == "running 6"
    assert view(places=tuple(Place(f"n{host}", "cpu") for host in range(9))).work == (
        "running 6 of 8 (n0 1, n1 1, n2 1, n3 1, 5 more hosts)"
    )


def test_the_time_left_goes_by_epochs_and_by_trials_where_each_has_one():
    ended = {State.COMPLETE: 2, State.PRUNED: 3, State.FAIL: 1}
    by_epochs, by_trials = view(ended=ended, epochs=33), view(ended=ended, full=1)

    assert by_epochs.share == "33 of about 63 epochs"
    assert by_epochs.pace(3.0, 60.0) == "30 epochs/min, about 1:00 left"
    assert by_trials.share == "6 of 27 trials"
    assert by_trials.pace(0.0, 60.0) == "6 trials/min, about 3:30 left"
    assert by_epochs.pace(33.0, 60.0) == ""
    assert by_epochs.counts == "2 complete, 3 pruned, 1 failed of 27 trials"
    assert (clock(59.9), clock(3723)) == ("0:59", "1:02:03")


# -- a terminal --------------------------------------------------------------------------------------------------------


def test_the_view_on_a_terminal_is_a_bar_and_two_lines(layers, tmp_path):
    console = Console(record=True, force_terminal=True, width=120, file=io.StringIO())

    with Watcher(console, "mine") as watch:
        search(
            layers, evaluations.share_of_conv3, objectives=["accuracy:max"], trials=9, sampler="random", epochs=(1, 9),
            storage=None, runner="inline", watch=watch,
        )  # fmt: skip
        bar, work, counts = (str(line) for line in shown(watch))

    assert " mine " in bar
    assert "of about 21 epochs" in bar
    assert work.startswith("  running ")
    assert " of 9 trials" in counts
    assert "goes on to" not in console.export_text()


def shown(watch):
    """The lines at the bottom of the terminal, drawn anew."""
    watch._draw(watch._study, watch._live)
    drawing = Console(width=120, file=io.StringIO())
    drawing.print(watch._live._live.renderable)
    return drawing.file.getvalue().rstrip("\n").splitlines()


def test_failures_stay_on_the_terminal_above_the_view(layers, tmp_path):
    console = Console(record=True, force_terminal=True, width=160, file=io.StringIO())

    with Watcher(console) as watch:
        result = search(
            layers, evaluations.raises_sometimes, objectives=["accuracy:max"], trials=12, sampler="random",
            storage=None, runner="inline", watch=watch,
        )  # fmt: skip

    told = console.export_text()
    failed = [trial.number for trial in result.trials if trial.state is State.FAIL]
    assert [told.count(f"trial {number} failed: RuntimeError: no luck") for number in failed] == [1] * len(failed)
    assert "accuracy 0." not in told.replace("best accuracy", "")


def test_a_call_without_news_draws_nothing(layers, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(progress, "view_of", lambda *arguments: drawn.append(1) or view_of(*arguments))
    seen = []
    console = Console(force_terminal=True, width=120, file=io.StringIO())
    monkeypatch.setattr(progress, "DRAW_S", 1000.0)

    with Watcher(console) as watch:
        search(
            layers, evaluations.share_of_conv3, objectives=["accuracy:max"], trials=20, sampler="random", storage=None,
            runner="inline", watch=lambda study: (watch(study), seen.append(len(drawn))),
        )  # fmt: skip

    assert set(seen) == {2}  # where it begins, and once
