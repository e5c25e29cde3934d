"""A study whose trials climb rungs: budgets, pauses, promotions, the end, and going on after a driver."""

import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from evaluations import macs

from nas import Space, one_of, search
from nas.errors import InputError
from nas.feasible import Pricing
from nas.fidelity import Rungs
from nas.jobs import Failed, Finished, Lost, Reported
from nas.objectives import limits_from, objectives_from
from nas.plan import Plan
from nas.samplers.random import RandomSampler
from nas.store.base import Away, MemoryStore
from nas.store.doctor import examine
from nas.store.opening import open_study
from nas.store.reading import read_study
from nas.study import Study
from nas.trial import State

optuna.logging.set_verbosity(optuna.logging.WARNING)
RUNGS = Rungs(1, 9)


class Leaving(MemoryStore):
    """A database that is away for the writing of trials while `gone`."""

    gone = False

    def begin(self, space, new, again):
        if self.gone:
            raise Away("away")


class Listening(RandomSampler):
    """Keeps what it is told."""

    def __init__(self, space):
        super().__init__(space, 0)
        self.seen, self.told = [], []

    def see(self, handle, outcome):
        self.seen.append((handle, outcome))

    def tell(self, handle, outcome):
        self.told.append((handle, outcome))


def make(space, tmp_path, trials=9, goals=("accuracy:max",), rungs=RUNGS, metric_limits=(), sampler=None, store=None):
    return Study(
        plan=Plan(trials=trials, rungs=rungs, checkpoints=tmp_path),
        pricing=Pricing(space, macs, ()),
        objectives=objectives_from(list(goals)),
        sampler=sampler or RandomSampler(space, 0),
        store=store or MemoryStore(),
        metric_limits=limits_from(list(metric_limits)),
    )


def finish(study, job, accuracy):
    study.handle(Finished(job.number, job.attempt, {"accuracy": accuracy}, 1.0, "here"))


def learns(candidate, budget, report):
    """Better with every epoch, the more conv3 the better; each epoch leaves a line in its checkpoint directory."""
    log = Path(budget.checkpoint) / "epochs"
    done = len(log.read_text().split()) if log.exists() else 0
    share = sum(value == "conv3" for value in candidate.values()) / len(candidate)
    for epoch in range(done + 1, budget.stop + 1):
        with log.open("a") as file:
            file.write(f"{epoch} ")
        report(epoch, {"accuracy": share * (1 - 0.5**epoch), "loss": 1 / epoch})
    return {"accuracy": share * (1 - 0.5**budget.stop), "loss": 1 / budget.stop}


def searched(url, layers, tmp_path, evaluate=learns, **options):
    arguments = {"objectives": ["accuracy:max"], "trials": 18, "study": "s", "runner": "inline", "epochs": (1, 9)}
    arguments |= {"costs": macs, "sampler": "random", "storage": url, "checkpoints": tmp_path / "c"}
    return search(layers, evaluate, **{**arguments, **options})


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

    with pytest.raises(InputError, match=r"made with other settings .*(rungs|epochs): "):
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
