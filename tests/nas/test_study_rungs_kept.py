"""What a study on rungs leaves in the database, and going on with it after a driver."""

import time
from collections import Counter
from contextlib import closing

import optuna
import pytest
from climbing import RUNGS, Listening, finish, learns, make, searched
from evaluations import macs

from nas import Space, one_of, search
from nas.errors import InputError
from nas.feasible import Pricing
from nas.fidelity import Rungs
from nas.jobs import Finished, Lost, Reported
from nas.objectives import objectives_from
from nas.plan import Plan
from nas.samplers.random import RandomSampler
from nas.store.doctor import examine
from nas.store.opening import open_study
from nas.store.reading import read_study
from nas.study import Study
from nas.trial import State

optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_an_interrupted_search_goes_on_with_its_paused_trials_and_no_epoch_is_trained_twice(layers, tmp_path):
    url, whole = f"sqlite:///{tmp_path}/n.db", f"sqlite:///{tmp_path}/whole.db"

    def stop(study):
        if len(study.ladder.waiting) >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(url, layers, tmp_path, watch=stop)
    between = read_study(url, "s")
    assert Counter(trial.state for trial in between.trials)[State.PAUSED] >= 5
    assert examine(url, "s").findings == ()
    told = optuna.load_study(study_name="s", storage=url)
    assert {trial.state.name for trial in told.trials} <= {"RUNNING", "COMPLETE", "PRUNED"}

    result = searched(url, layers, tmp_path)
    unbroken = searched(whole, layers, tmp_path, checkpoints=tmp_path / "whole")

    assert {trial.state for trial in result.trials} == {State.COMPLETE, State.PRUNED}
    for trial in result.trials:
        assert sorted(trial.curve) == list(range(1, trial.budget.stop + 1))
    assert len(result.trials) == len(unbroken.trials)
    for log in (tmp_path / "c" / "s").glob("*/epochs"):
        epochs = [int(word) for word in log.read_text().split()]
        assert epochs == list(range(1, len(epochs) + 1))


def test_more_trials_go_on_beside_those_that_were_pruned(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/n.db"
    first = searched(url, layers, tmp_path, trials=9)
    pruned = {trial.number for trial in first.trials if trial.state is State.PRUNED}

    second = searched(url, layers, tmp_path, trials=18)

    assert len(second.trials) == 18
    assert {trial.number for trial in second.trials if trial.state is State.PRUNED} >= pruned
    fresh = [trial for trial in second.trials if trial.number >= 9]
    floor = sorted(trial.curve[1]["accuracy"] for trial in second.trials)[-9]
    assert all(trial.curve[1]["accuracy"] >= floor for trial in fresh if trial.epochs > 1)


def learns_slowly(candidate, budget, report):
    time.sleep(0.1)
    return learns(candidate, budget, report)


def test_a_timeout_leaves_the_trials_at_their_rungs_for_the_next_run(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/n.db"

    between = searched(url, layers, tmp_path, evaluate=learns_slowly, trials=100, timeout=0.5)
    at_a_rung = {trial.number: trial.epochs for trial in between.trials if trial.state is State.PAUSED}
    after = searched(url, layers, tmp_path, trials=len(between.trials))

    assert at_a_rung
    assert {trial.number for trial in after.trials} == {trial.number for trial in between.trials}
    assert {trial.state for trial in after.trials} == {State.COMPLETE, State.PRUNED}
    assert any(trial.epochs > at_a_rung.get(trial.number, 9) for trial in after.trials)
    for log in (tmp_path / "c" / "s").glob("*/epochs"):
        assert len(log.read_text().split()) == len({*log.read_text().split()})


@pytest.mark.parametrize("changes", [{"factor": 2}, {"brackets": 2}, {"epochs": (1, 3)}, {"epochs": (9, 9)}])
def test_a_study_with_other_rungs_is_refused_and_told_what_differs(layers, tmp_path, changes):
    url = f"sqlite:///{tmp_path}/n.db"
    searched(url, layers, tmp_path, trials=3)

    with pytest.raises(InputError, match=r"made with other settings .*(rungs\.\w+|epochs): "):
        searched(url, layers, tmp_path, **changes)


@pytest.mark.parametrize("goals", [["accuracy:max"], ["accuracy:max", "macs:min"]])
def test_optuna_sees_the_full_budget_as_complete_and_the_rest_as_pruned_with_its_curve_where_it_can(
    database, layers, tmp_path, goals
):
    result = searched(database, layers, tmp_path, objectives=goals)

    study = optuna.load_study(study_name="s", storage=database)
    for ours, theirs in zip(result.trials, study.trials, strict=True):
        assert theirs.state.name == ours.state.name
        curve = {step: seen["accuracy"] for step, seen in ours.curve.items()}
        assert theirs.intermediate_values == (curve if len(goals) == 1 else {})
        if ours.state is State.PRUNED:
            assert theirs.values == ([curve[max(curve)]] if len(goals) == 1 else None)
    assert study.best_trials
    optuna.samplers.TPESampler(seed=0).infer_relative_search_space(study, study.trials[0])
    study.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=3)
    study.ask({"layer0": optuna.distributions.CategoricalDistribution(("skip", "conv3", "conv5"))})


def test_the_rows_of_a_trial_tell_its_last_budget_and_all_its_seconds(database, layers, tmp_path):
    result = searched(database, layers, tmp_path)

    record = read_study(database, "s")

    assert record.trials == result.trials
    for trial in record.trials:
        assert trial.budget.stop in RUNGS.levels
        assert trial.attempt == 1
        assert trial.epochs == trial.budget.stop
        assert trial.seconds >= 0


def test_a_study_is_read_with_the_rungs_that_it_was_made_with(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/n.db"
    searched(url, layers, tmp_path, trials=3, factor=2, rung_subset=0.25, rung_scale=0.5)

    assert read_study(url, "s").rungs == Rungs(1, 9, factor=2, share=0.25, scale=0.5)


def test_what_is_pruned_loses_its_checkpoint_and_what_is_paused_keeps_it(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/n.db"
    kept = []

    def look(study):
        folder = tmp_path / "c" / "s"
        kept.append(all((folder / str(number) / "epochs").exists() for number in study.ladder.waiting))

    result = searched(url, layers, tmp_path, watch=look)

    assert all(kept)
    left = {int(folder.name) for folder in (tmp_path / "c" / "s").iterdir()}
    assert left <= {trial.number for trial in result.trials if trial.state is State.COMPLETE}


def test_what_somebody_ended_through_optuna_while_it_was_paused_is_taken_in(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/n.db"

    def stop(study):
        if len(study.ladder.waiting) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(url, layers, tmp_path, watch=stop)
    paused = next(trial.number for trial in read_study(url, "s").trials if trial.state is State.PAUSED)
    optuna.load_study(study_name="s", storage=url).tell(paused, state=optuna.trial.TrialState.FAIL)

    result = searched(url, layers, tmp_path)

    assert result.trials[paused].state is State.FAIL
    assert Counter(trial.state for trial in result.trials)[State.FAIL] == 1


def test_a_report_of_a_rung_is_written_once(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/n.db"
    searched(url, layers, tmp_path, trials=4)

    study = optuna.load_study(study_name="s", storage=url)

    assert all(
        sorted(trial.intermediate_values) == list(range(1, len(trial.intermediate_values) + 1))
        for trial in study.trials
    )


def test_a_running_trial_reports_between_rungs(layers, tmp_path):
    sampler = Listening(layers)
    study = make(layers, tmp_path, trials=1, rungs=Rungs(3, 9), sampler=sampler)
    job = study.next()

    study.handle(Reported(job.number, job.attempt, 2, {"accuracy": 0.4}))

    assert sampler.seen[-1][1].fidelity == 2 / 9


def test_without_a_database_rungs_work_in_memory():
    space = Space({"a": one_of(*"abcdefgh"), "b": one_of(*"abcdefgh")})

    def evaluate(candidate, budget, report):
        return {"score": float(ord(candidate["a"]) + ord(candidate["b"])) - 1 / budget.stop}

    result = search(
        space, evaluate, objectives=["score:max"], trials=20, epochs=(2, 8), factor=2, runner="inline", storage=None
    )

    assert {trial.state for trial in result.trials} == {State.COMPLETE, State.PRUNED}
    assert result.best.curve == {2: {"score": result.best.metrics["score"] + 1 / 8 - 1 / 2}, 4: result.best.curve[4]}


def test_once_it_has_no_job_left_a_study_is_over_and_who_was_set_aside_is_pruned_in_the_database(layers, tmp_path):
    """A runner that waits for events before it writes would wait for ever."""
    url, goals = f"sqlite:///{tmp_path}/nas.db", objectives_from(["accuracy:max", "loss:min"])
    facts = {"objectives": ["accuracy:max", "loss:min"], "limits": [], "epochs": [1, 9]}
    with closing(open_study(url, "s", facts, layers, goals)) as store:
        study = Study(
            plan=Plan(trials=4, rungs=RUNGS, checkpoints=tmp_path),
            pricing=Pricing(layers, None, ()),
            objectives=goals,
            sampler=RandomSampler(layers, 0),
            store=store,
        )
        while job := study.next():
            study.handle(Finished(job.number, 1, {"accuracy": job.number / 9, "loss": job.number / 7}, 1.0, "here"))
            study.flush()

        assert study.over
        states = Counter(trial.state for trial in read_study(url, "s").trials)
        assert states == {State.COMPLETE: 1, State.PRUNED: 3}


def lose_after(study, job, epochs):
    """Its worker reports up to so many epochs and is gone."""
    for step in range(1, epochs + 1):
        study.handle(Reported(job.number, job.attempt, step, {"accuracy": 0.1 * step}))
    study.handle(Lost(job.number, job.attempt, "its worker ended"))


def test_attempts_that_bring_new_epochs_are_not_counted_against_a_trial(layers, tmp_path):
    study = make(layers, tmp_path, trials=1, rungs=Rungs(9, 9))
    for epochs in (1, 3, 4, 6, 8):
        lose_after(study, study.next(), epochs)
    job = study.next()
    finish(study, job, 0.9)

    assert job.attempt == 6
    assert study.trials[0].state is State.COMPLETE


def test_three_attempts_in_a_row_without_a_new_epoch_fail_a_trial(layers, tmp_path):
    study = make(layers, tmp_path, trials=1, rungs=Rungs(9, 9))
    for epochs in (2, 2, 1, 2):
        lose_after(study, study.next(), epochs)

    assert study.next() is None
    assert study.trials[0].state is State.FAIL
    assert study.trials[0].reason == "lost 4 times, 3 in a row without a new epoch: its worker ended"


def test_what_an_attempt_brought_is_read_back_from_its_row(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/n.db"
    store = open_study(
        url, "s", {"objectives": ["accuracy:max"], "limits": []}, layers, objectives_from(["accuracy:max"])
    )
    study = Study(
        plan=Plan(trials=1, rungs=Rungs(9, 9), checkpoints=tmp_path), pricing=Pricing(layers, macs, ()),
        objectives=objectives_from(["accuracy:max"]), sampler=RandomSampler(layers, 0), store=store,
    )  # fmt: skip
    for epochs in (1, 3, 3, 2):
        lose_after(study, study.next(), epochs)
    study.next()
    study.flush()
    store.close()

    (trial,) = read_study(url, "s").trials

    assert (trial.attempt, trial.vain, trial.since) == (5, 2, 3)
    assert trial == study.trials[0]
    assert trial.again() is None
