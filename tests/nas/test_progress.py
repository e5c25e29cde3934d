"""What a study says about how far it is: epochs, promotions, what was trained twice, where trials run."""

import pytest
from evaluations import macs

from nas.feasible import Pricing
from nas.fidelity import Rungs
from nas.jobs import Failed, Finished, Lost, Reported, Started
from nas.objectives import objectives_from
from nas.plan import Plan
from nas.progress import BeganAgain, LostWorker, Place, WentOn
from nas.samplers import make_sampler
from nas.store.base import MemoryStore
from nas.store.opening import open_study
from nas.study import Study

LADDER = Rungs(1, 9)


@pytest.fixture
def make(layers, tmp_path):
    def made(trials=9, rungs=LADDER, store=None):
        goals = objectives_from(["accuracy:max"])
        return Study(
            plan=Plan(trials=trials, rungs=rungs, checkpoints=tmp_path), pricing=Pricing(layers, macs, ()),
            objectives=goals, sampler=make_sampler("random", layers, goals, 0), store=store or MemoryStore(),
        )  # fmt: skip

    return made


def tell(study, job, *steps, host="a", device="cpu"):
    for step in steps:
        study.handle(Reported(job.number, job.attempt, step, {"accuracy": 0.1}, host, device))


def finish(study, job, accuracy=0.5, host="a"):
    study.handle(Finished(job.number, job.attempt, {"accuracy": accuracy}, 1.0, host))


def run_all(study):
    while job := study.next():
        finish(study, job, accuracy=1 / (1 + job.number))


def trained(study):
    return sum(trial.epochs for trial in study.trials.values())


def test_epochs_are_those_of_the_trials_whether_they_are_reported_or_not(make):
    silent, reporting = make(), make()

    run_all(silent)
    while job := reporting.next():
        tell(reporting, job, *range(job.budget.start + 1, job.budget.stop + 1))
        finish(reporting, job, accuracy=1 / (1 + job.number))

    assert silent.progress.epochs == reporting.progress.epochs == trained(silent) == 9 + 3 * 2 + 1 * 6
    assert silent.progress.repeated == reporting.progress.repeated == 0
    assert silent.progress.promotions == reporting.progress.promotions == {3: 3, 9: 1}


def test_who_goes_on_is_noted_with_the_rung_before(make):
    study = make()

    run_all(study)

    assert [note for note in study.progress.notes if note.level == 9] == [WentOn(0, 3, 9)]
    assert {(note.reached, note.level) for note in study.progress.notes} == {(1, 3), (3, 9)}


def test_epochs_trained_again_are_counted_and_noted_once_a_job(make):
    study = make(trials=1)
    first = study.next()
    tell(study, first, 1)
    finish(study, first)
    second = study.next()

    tell(study, second, 1, 2, 3, host="b")
    finish(study, second, host="b")

    assert (second.budget.start, second.budget.stop) == (1, 3)
    assert (study.progress.epochs, study.progress.repeated) == (3, 1)
    assert study.progress.notes[1:] == [BeganAgain(0, 1, 1, "b", "a")]


def test_a_lost_attempt_that_goes_on_from_its_checkpoint_repeats_nothing(make):
    study = make(rungs=Rungs(9, 9))
    job = study.next()
    tell(study, job, 1, 2, 3)
    study.handle(Lost(job.number, 1, "power"))
    again = study.next()

    tell(study, again, 4, 5)

    assert (study.progress.epochs, study.progress.repeated) == (5, 0)
    assert study.progress.notes == [LostWorker(0, 1, "power")]


def test_a_lost_attempt_without_a_checkpoint_repeats_what_it_had(make):
    study = make(rungs=Rungs(9, 9))
    job = study.next()
    tell(study, job, 1, 2, 3)
    study.handle(Lost(job.number, 1, "power"))

    tell(study, study.next(), 1, 2, 3, 4)

    assert (study.progress.epochs, study.progress.repeated) == (4, 3)


def test_steps_beyond_the_budget_are_no_epochs(make):
    study = make(rungs=Rungs(1, 1))
    job = study.next()

    tell(study, job, *range(1, 100))
    finish(study, job)

    assert (study.progress.epochs, study.progress.repeated) == (1, 0)


def test_a_trial_has_a_place_while_it_runs(make):
    study = make(rungs=Rungs(3, 3))
    jobs = study.jobs(3)
    study.handle(Started(0, 1, "a", "cpu"))
    tell(study, jobs[1], 1, host="b", device="cuda:1")

    assert study.at_work == 3
    assert study.progress.places == {0: Place("a", "cpu"), 1: Place("b", "cuda:1")}

    finish(study, jobs[0])
    study.handle(Lost(1, 1, "power"))

    assert study.at_work == 1
    assert study.progress.places == {}


def test_the_expected_epochs_come_true_and_failed_trials_take_theirs_with_them(make):
    study = make(trials=28)

    job = study.next()
    study.handle(Failed(job.number, 1, "no", 1.0, "a"))
    expected = study.epochs_expected
    run_all(study)

    assert expected == Rungs(1, 9).epochs(27) == 63
    assert study.progress.epochs == study.epochs_expected == 63


def test_no_fewer_epochs_are_expected_than_the_running_trials_have_before_them(make):
    study = make(trials=3, rungs=Rungs(1, 9))
    for _ in range(3):
        finish(study, study.next())
    goes_on = study.next()
    tell(study, goes_on, 2)
    finish(study, goes_on)
    study.next()

    assert study.epochs_expected >= study.progress.epochs + 6


def test_a_resumed_study_counts_the_epochs_of_before(make, layers, tmp_path):
    goals = objectives_from(["accuracy:max"])

    def store():
        settings = {
            "objectives": ["accuracy:max"],
            "limits": [],
            "epochs": [1, 9],
            "rungs": {"factor": 3, "brackets": 1},
        }
        return open_study(f"sqlite:///{tmp_path}/nas.db", "s", settings, layers, goals)

    opened = store()
    first = make(store=opened)
    for _ in range(3):
        finish(first, first.next())
    job = first.next()
    tell(first, job, 2)
    first.flush()
    opened.close()

    opened = store()
    second = make(store=opened)
    gone_on = second.next()
    tell(second, gone_on, 2, 3)
    opened.close()

    assert gone_on.number == job.number
    assert first.progress.epochs == 4
    assert (second.progress.epochs, second.progress.repeated) == (5, 1)


def test_the_leader_is_the_best_of_the_highest_rung(make):
    study = make()
    assert study.ladder.leader is None

    for accuracy in (0.3, 0.9, 0.5):
        finish(study, study.next(), accuracy)
    assert study.ladder.leader == (1, 1)

    finish(study, study.next(), 0.1)
    assert study.ladder.leader == (3, 1)
