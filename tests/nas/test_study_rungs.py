"""A study whose trials climb rungs: budgets, pauses, promotions and the end."""

from collections import Counter

import pytest
from climbing import Leaving, Listening, finish, make, searched

from nas.fidelity import Rungs
from nas.jobs import Failed, Finished, Lost
from nas.store.doctor import examine
from nas.trial import State


def test_a_job_trains_to_the_next_rung_and_its_trial_is_set_aside_there(layers, tmp_path):
    study = make(layers, tmp_path)
    jobs = study.jobs(3)
    for job, accuracy in zip(jobs, [0.2, 0.5, 0.3], strict=True):
        finish(study, job, accuracy)

    assert [(job.budget.start, job.budget.stop) for job in jobs] == [(0, 1)] * 3
    assert [trial.state for trial in study.trials.values()] == [State.PAUSED] * 3
    assert (study.running, len(study.finished)) == (0, 0)
    on = study.next()
    assert (on.number, on.attempt, on.budget.start, on.budget.stop) == (1, 1, 1, 3)
    assert on.budget.seed == jobs[1].budget.seed
    assert on.budget.checkpoint == jobs[1].budget.checkpoint
    assert study.trials[1].state is State.RUNNING
    assert study.next().number == 3


def test_seconds_add_up_over_the_rungs_and_the_curve_holds_each(layers, tmp_path):
    study = make(layers, tmp_path, trials=1)
    for accuracy in (0.2, 0.4, 0.6):
        job = study.next()
        finish(study, job, accuracy)

    assert study.trials[0].state is State.COMPLETE
    assert study.trials[0].seconds == 3.0
    assert {step: seen["accuracy"] for step, seen in study.trials[0].curve.items()} == {1: 0.2, 3: 0.4}
    assert study.trials[0].metrics["accuracy"] == 0.6


def test_at_the_end_every_trial_is_complete_or_pruned_and_most_epochs_are_saved(layers, tmp_path):
    result = searched(None, layers, tmp_path, trials=27)

    states = Counter(trial.state for trial in result.trials)
    assert set(states) == {State.COMPLETE, State.PRUNED}
    assert states[State.COMPLETE] >= 3
    assert sum(trial.epochs for trial in result.trials) <= 0.4 * 27 * 9
    best = max(trial.curve[1]["accuracy"] for trial in result.trials)
    assert result.best.curve[1]["accuracy"] == best


def test_epochs_that_do_not_differ_are_one_rung(layers, tmp_path):
    result = searched(None, layers, tmp_path, epochs=(9, 9), trials=5)

    assert [trial.state for trial in result.trials] == [State.COMPLETE] * 5
    assert [(trial.budget.start, trial.budget.stop) for trial in result.trials] == [(0, 9)] * 5


@pytest.mark.parametrize("goals", [["accuracy:max"], ["accuracy:max", "macs:min"]])
@pytest.mark.parametrize("runner", ["inline", "local"])
def test_rungs_end_with_every_sampler_state_on_both_pools(layers, tmp_path, runner, goals):
    result = searched(
        f"sqlite:///{tmp_path}/n.db", layers, tmp_path, objectives=goals, sampler="auto", runner=runner,
        workers=None if runner == "inline" else 2,
    )  # fmt: skip

    assert {trial.state for trial in result.trials} == {State.COMPLETE, State.PRUNED}
    for trial in result.trials:
        if trial.state is State.COMPLETE:
            assert (tmp_path / "c" / "s" / str(trial.number) / "epochs").exists() or trial not in result.pareto
    assert examine(f"sqlite:///{tmp_path}/n.db", "s").findings == ()


def test_a_sampler_sees_every_rung_with_its_fidelity_and_is_told_the_last_of_what_was_pruned(layers, tmp_path):
    sampler = Listening(layers)
    study = make(layers, tmp_path, trials=4, sampler=sampler)
    while job := study.next():
        finish(study, job, 0.1 * (job.number + 1) + 0.01 * job.budget.stop)

    fidelities = [outcome.fidelity for _, outcome in sampler.seen]
    assert Counter(fidelities) == {1 / 9: 4, 1 / 3: 2}
    told = [outcome for _, outcome in sampler.told]
    assert sorted(outcome.fidelity for outcome in told) == [1 / 9, 1 / 9, 1 / 3, 1.0]
    last = max(told, key=lambda outcome: outcome.fidelity)
    assert set(last.earlier) == {1 / 9, 1 / 3}


def test_who_lost_its_worker_at_a_rung_goes_on_from_the_rung_before(layers, tmp_path):
    study = make(layers, tmp_path, trials=1)
    finish(study, study.next(), 0.2)
    job = study.next()
    study.handle(Lost(job.number, job.attempt, "its worker ended"))

    again = study.next()

    assert (again.attempt, again.budget.start, again.budget.stop) == (2, 1, 3)


def test_a_late_event_of_an_attempt_that_was_lost_changes_nothing(layers, tmp_path):
    study = make(layers, tmp_path, trials=1)
    finish(study, study.next(), 0.2)
    job = study.next()
    study.handle(Lost(job.number, job.attempt, "its worker ended"))
    study.next()

    finish(study, job, 0.9)

    assert study.trials[0].state is State.RUNNING
    assert 3 not in study.trials[0].curve


def test_a_late_event_changes_nothing_either_while_the_next_attempt_waits_for_the_database(layers, tmp_path):
    store = Leaving()
    study = make(layers, tmp_path, trials=1, store=store)
    job = study.next()
    study.handle(Lost(job.number, job.attempt, "its worker ended"))
    store.gone = True
    assert study.next() is None

    finish(study, job, 0.9)
    store.gone = False

    assert study.trials[0].curve == {}
    assert study.next().attempt == 2


def test_who_is_lost_too_often_keeps_the_seconds_of_the_rungs_before(layers, tmp_path):
    study = make(layers, tmp_path, trials=1)
    finish(study, study.next(), 0.2)
    while job := study.next():
        study.handle(Lost(job.number, job.attempt, "its worker ended"))

    assert (study.trials[0].state, study.trials[0].seconds) == (State.FAIL, 1.0)


def test_who_asks_for_no_job_ends_nobody(layers, tmp_path):
    study = make(layers, tmp_path, trials=1)
    finish(study, study.next(), 0.2)

    assert study.jobs(0) == []
    assert study.trials[0].state is State.PAUSED
    assert study.next().budget.stop == 3


def test_who_fails_on_the_way_leaves_the_ladder_and_the_next_best_goes_on(layers, tmp_path):
    study = make(layers, tmp_path, trials=3)
    for job, accuracy in zip(study.jobs(3), [0.5, 0.9, 0.1], strict=True):
        finish(study, job, accuracy)
    best = study.next()
    study.handle(Failed(best.number, best.attempt, "diverged", 1.0, "here"))

    following = study.next()

    assert (best.number, study.trials[1].state) == (1, State.FAIL)
    assert (following.number, following.budget.stop) == (0, 3)
    finish(study, following, 0.6)
    finish(study, study.next(), 0.7)
    assert study.next() is None
    assert Counter(trial.state for trial in study.trials.values()) == dict.fromkeys(
        (State.FAIL, State.COMPLETE, State.PRUNED), 1
    )
    assert study.over


def test_a_rung_without_an_objective_fails_the_trial_with_what_is_missing(layers, tmp_path):
    study = make(layers, tmp_path, trials=1)
    job = study.next()
    study.handle(Finished(job.number, job.attempt, {"loss": 1.0}, 1.0, "here"))

    assert study.trials[0].state is State.FAIL
    assert "the objective 'accuracy' is not among them" in study.trials[0].reason


def test_limits_on_what_is_measured_count_at_the_rungs_too(layers, tmp_path):
    study = make(layers, tmp_path, trials=3, metric_limits=["loss<=1"])
    for job, (accuracy, loss) in zip(study.jobs(3), [(0.9, 2.0), (0.2, 0.5), (0.3, 1.5)], strict=True):
        study.handle(Finished(job.number, job.attempt, {"accuracy": accuracy, "loss": loss}, 1.0, "here"))

    assert study.next().number == 1


def test_what_can_no_longer_go_on_is_pruned_at_once_with_one_objective_and_not_with_two(layers, tmp_path):
    for goals, early in ((("accuracy:max",), True), (("accuracy:max", "macs:min"), False)):
        study = make(layers, tmp_path, trials=4, goals=goals)
        for job, accuracy in zip(study.jobs(4), [0.4, 0.3, 0.2, 0.1], strict=True):
            finish(study, job, accuracy)

        assert (State.PRUNED in {trial.state for trial in study.trials.values()}) is early


def test_brackets_begin_at_their_own_rung(layers, tmp_path):
    rungs = Rungs(1, 9, brackets=3)
    study = make(layers, tmp_path, trials=12, rungs=rungs)

    jobs = study.jobs(12)

    assert {job.budget.stop for job in jobs} == {1, 3, 9}
    assert [job.budget.stop for job in jobs] == [rungs.first(job.number) for job in jobs]
