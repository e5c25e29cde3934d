"""The search itself: limits, repeats, exhaustion, resume, attempts."""

import dataclasses

import pytest
from evaluations import macs

from nas import Space, one_of
from nas.feasible import Pricing
from nas.fidelity import Rungs
from nas.jobs import Failed, Finished, Lost, Reported
from nas.objectives import limits_from, objectives_from
from nas.plan import Plan
from nas.ranking import pareto, ranked
from nas.samplers import NAMES, make_sampler
from nas.samplers.random import RandomSampler
from nas.store.base import MemoryStore
from nas.study import Study
from nas.trial import State


def make(space, tmp_path, trials=10, sampler="random", limits=(), goals=("accuracy:max",), store=None, seed=0):
    objectives = objectives_from(list(goals))
    return Study(
        plan=Plan(trials=trials, seed=seed, checkpoints=tmp_path),
        pricing=Pricing(space, macs, limits_from(list(limits))),
        objectives=objectives,
        sampler=make_sampler(sampler, space, objectives, seed),
        store=store or MemoryStore(),
    )


def finish(study, job, accuracy=0.5):
    study.handle(Finished(job.number, job.attempt, {"accuracy": accuracy}, 1.0, "here"))


def run_all(study):
    jobs = []
    while job := study.next():
        jobs.append(job)
        value = sum(study.trials[job.number].candidate[name] == "conv3" for name in study.trials[job.number].candidate)
        finish(study, job, value / 4)
    return jobs


@pytest.mark.parametrize("sampler", [name for name in NAMES if name != "cmaes"])  # that is for numbers only
@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "macs:min")])
def test_no_network_is_evaluated_twice_and_none_over_a_limit(layers, tmp_path, sampler, goals):
    trials = 15 if sampler == "gp" else 25  # after ten, a proposal takes a good part of a second
    study = make(layers, tmp_path, trials=trials, sampler=sampler, limits=["macs<=10"], goals=goals)

    run_all(study)

    assert len({trial.digest for trial in study.trials.values()}) == trials
    assert all(trial.metrics["macs"] <= 10 for trial in study.trials.values())


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_space_is_exhausted_after_exactly_its_feasible_candidates(layers, tmp_path, sampler):
    feasible = sum(macs(layers.decode(genome))["macs"] <= 6 for genome in layers)
    study = make(layers, tmp_path, trials=1000, sampler=sampler, limits=["macs<=6"])

    run_all(study)

    assert len(study.trials) == feasible
    assert study.exhausted
    assert study.over


def test_the_same_seed_gives_the_same_search_and_another_seed_another(layers, tmp_path):
    runs = []
    for seed in (0, 0, 1):
        study = make(layers, tmp_path, trials=15, sampler="tpe", seed=seed)
        run_all(study)
        runs.append([trial.genome for trial in study.trials.values()])

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_enqueued_candidates_come_first_and_those_over_a_limit_are_passed_over(layers, tmp_path):
    study = make(layers, tmp_path, trials=3, limits=["macs<=6"])
    cheap, dear = ({f"layer{i}": kind for i in range(4)} for kind in ("skip", "conv5"))
    study.enqueue([layers.encode(dear), layers.encode(cheap), layers.encode(cheap)])

    run_all(study)

    assert study.trials[0].candidate == cheap
    assert study.trials[0].origin == "start"
    assert dear not in [trial.candidate for trial in study.trials.values()]


def test_a_lost_trial_is_handed_out_again_before_new_ones_with_its_attempt_counted(layers, tmp_path):
    study = make(layers, tmp_path, trials=3)
    first, second = study.next(), study.next()

    study.handle(Lost(first.number, first.attempt, "gone"))
    again = study.next()

    assert (again.number, again.attempt, again.genome) == (first.number, 2, first.genome)
    assert again.budget == dataclasses.replace(first.budget, attempt=2)
    finish(study, first, 0.9)
    assert study.trials[0].state is State.RUNNING, "the event of an attempt that is over does not count"
    finish(study, again, 0.4)
    finish(study, again, 0.8)
    assert study.trials[0].metrics["accuracy"] == 0.4, "a result that comes twice counts once"
    assert study.trials[second.number].state is State.RUNNING


def test_reports_are_kept_as_a_curve_and_failures_with_their_reason(layers, tmp_path):
    study = make(layers, tmp_path, trials=2)
    job, other = study.next(), study.next()

    study.handle(Reported(job.number, 1, 1, {"accuracy": 0.2}))
    study.handle(Reported(job.number, 1, 2, {"accuracy": 0.4}))
    study.handle(Failed(other.number, 1, "no luck", 2.0, "there"))

    assert study.trials[0].curve == {1: {"accuracy": 0.2}, 2: {"accuracy": 0.4}}
    failed = study.trials[1]
    assert (failed.state, failed.reason, failed.seconds, failed.host) == (State.FAIL, "no luck", 2.0, "there")


def test_limits_that_hardly_any_candidate_meets_are_still_searched_within(tmp_path):
    space = Space({f"layer{index}": one_of("conv5", "conv3", "skip") for index in range(14)})
    study = make(space, tmp_path, trials=10, sampler="tpe", limits=["macs<=9"])

    run_all(study)

    assert len(study.trials) == 10
    assert all(trial.metrics["macs"] <= 9 for trial in study.trials.values())


def test_best_and_front_look_at_complete_trials_only(layers, tmp_path):
    study = make(layers, tmp_path, trials=6, goals=("accuracy:max", "macs:min"))
    jobs = [study.next() for _ in range(6)]
    for job, accuracy in zip(jobs[:4], (0.1, 0.9, 0.9, 0.3), strict=True):
        finish(study, job, accuracy)
    study.handle(Failed(jobs[4].number, 1, "no", 0.0, "h"))

    everything = list(study.trials.values())
    best, front = ranked(everything, study.goals.objectives), pareto(everything, study.goals.objectives)

    assert [trial.metrics["accuracy"] for trial in best] == [0.9, 0.9, 0.3, 0.1]
    assert best[0].metrics["macs"] <= best[1].metrics["macs"]
    for trial in front:
        rivals = [other for other in best if other is not trial]
        assert not any(
            other.metrics["accuracy"] >= trial.metrics["accuracy"] and other.metrics["macs"] < trial.metrics["macs"]
            for other in rivals
        )


def test_a_trial_that_is_over_cannot_move(layers, tmp_path):
    study = make(layers, tmp_path, trials=1)
    run_all(study)

    with pytest.raises(ValueError, match="trial 0: complete cannot become fail"):
        study.trials[0].moved(State.FAIL)


def test_what_an_earlier_study_left_in_a_trials_folder_is_not_its_checkpoint(layers, tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "state.pt").write_text("of another network")
    study = make(layers, tmp_path, trials=1)

    first = study.next()

    assert list((tmp_path / "0").iterdir()) == []
    (tmp_path / "0" / "state.pt").write_text("its own")
    study.handle(Lost(first.number, first.attempt, "gone"))
    assert study.next().attempt == 2
    assert (tmp_path / "0" / "state.pt").read_text() == "its own"


def test_a_sampler_hears_again_how_far_the_trainings_that_go_on_have_come(layers, tmp_path):
    class Hearing(RandomSampler):
        def __init__(self):
            super().__init__(layers, 0)
            self.heard = []

        def see(self, handle, outcome):
            self.heard.append((outcome.fidelity, list(outcome.values), dict(outcome.earlier)))

    class Left(MemoryStore):
        def load(self, pricing):
            return tuple(first.trials.values())

    goals, plan = objectives_from(["accuracy:max"]), Plan(trials=2, rungs=Rungs(4, 4), checkpoints=tmp_path)
    pricing, before, after = Pricing(layers, macs, ()), Hearing(), Hearing()
    first = Study(plan=plan, pricing=pricing, objectives=goals, sampler=before, store=MemoryStore())
    job = first.next()
    first.handle(Reported(job.number, 1, 1, {"accuracy": 0.25}))
    first.handle(Reported(job.number, 1, 2, {"accuracy": 0.5}))

    Study(plan=plan, pricing=pricing, objectives=goals, sampler=after, store=Left())

    assert before.heard == [(0.25, [0.25], {}), (0.5, [0.5], {0.25: [0.25]})]
    assert after.heard == [(0.5, [0.5], {0.25: [0.25]})]
