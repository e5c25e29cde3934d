"""Evaluations outlive their study, and another study on the same data and training starts from them."""

import json
import random

import optuna
import pytest
from optuna.trial import TrialState
from optunas import accuracy, layers, loaded, own_costs, own_space, run, sql, states

from nas import Space, int_range, one_of
from nas.feasible import Pricing
from nas.jobs import Finished
from nas.objectives import objectives_from
from nas.plan import Plan
from nas.samplers.random import RandomSampler
from nas.store.doctor import examine
from nas.store.managing import delete_study
from nas.store.opening import open_study
from nas.store.reading import read_study
from nas.study import Study
from nas.trial import Source, State

pytestmark = pytest.mark.tables_made

SAME = {"protocol": {"data": "d1", "recipe": "r1"}}


class Counting:
    def __init__(self):
        self.seen = []

    def __call__(self, candidate, budget, report):
        self.seen.append(candidate)
        if candidate["depth"] == 3 and candidate["layer0"] == "conv5":
            raise RuntimeError("no luck")
        report(budget.stop, {"accuracy": accuracy(candidate) / 2})
        return {"accuracy": accuracy(candidate)}


def complete(result):
    return [trial for trial in result.trials if trial.state is State.COMPLETE]


def reused(result):
    return [trial for trial in result.trials if trial.source is Source.REUSED]


def test_a_second_study_starts_from_what_the_first_found_out(database, tmp_path):
    first, evaluate = run(database, tmp_path, trials=10, **SAME), Counting()

    second = run(database, tmp_path, evaluate, trials=4, study="t", reuse=True, seed=9, **SAME)

    assert len(second.trials) == 14, "reused trials do not count towards those asked for"
    assert [trial.number for trial in second.trials] == list(range(14))
    known = second.trials[:10]
    assert [(trial.source, trial.origin, trial.state) for trial in known] == [
        (Source.REUSED, "reused", State.COMPLETE)
    ] * 10
    assert [trial.candidate for trial in known] == [trial.candidate for trial in first.trials]
    assert [trial.metrics for trial in known] == [trial.metrics for trial in first.trials]
    assert [trial.seconds for trial in known] == [trial.seconds for trial in first.trials]
    assert len(evaluate.seen) == 4
    assert not [candidate for candidate in evaluate.seen if candidate in [trial.candidate for trial in known]]
    assert read_study(database, "t").trials == second.trials
    assert examine(database, "t").findings == ()


def test_optuna_shows_reused_trials_as_complete_and_as_reused(database, tmp_path):
    first = run(database, tmp_path, trials=3, objectives=["accuracy:max", "macs:min"], **SAME)

    run(database, tmp_path, trials=1, objectives=["macs:min", "accuracy:max"], study="t", reuse=True, **SAME)

    ids = [row[0] for row in sql(database, "SELECT id FROM nas_evaluations WHERE study_id = 1 ORDER BY number")]
    for theirs, ours, evaluation in zip(loaded(database, "t").trials[:3], first.trials, ids, strict=True):
        assert theirs.state == TrialState.COMPLETE
        assert theirs.values == [ours.metrics["macs"], ours.metrics["accuracy"]]
        assert theirs.params == ours.candidate
        assert theirs.user_attrs["reused"] == evaluation
        assert (theirs.user_attrs["origin"], theirs.user_attrs["digest"]) == ("reused", ours.digest)
        assert theirs.datetime_start <= theirs.datetime_complete


@pytest.mark.parametrize("by", ["optuna", "us"])
def test_evaluations_outlive_their_study(database, tmp_path, by):
    first, evaluate = run(database, tmp_path, Counting(), trials=12, **SAME), Counting()
    if by == "optuna":
        optuna.delete_study(storage=database, study_name="s")
    else:
        assert delete_study(database, "s") == [tmp_path / "c" / "s"]

    second = run(database, tmp_path, evaluate, trials=1, study="t", reuse=True, seed=9, **SAME)

    assert 0 < len(complete(first)) < 12, "some shall fail"
    assert [trial.candidate for trial in reused(second)] == [trial.candidate for trial in complete(first)]
    assert len(evaluate.seen) == 1
    left = sql(database, "SELECT state, trial_id, number FROM nas_evaluations WHERE study_id IS NULL")
    assert left == [("complete", None, None)] * len(complete(first))
    assert sql(database, "SELECT name FROM nas_studies") == [("t",)]


def test_a_study_of_the_same_name_starts_from_what_its_deleted_namesake_found_out(database, tmp_path):
    first = run(database, tmp_path, trials=5, **SAME)
    delete_study(database, "s")

    second = run(database, tmp_path, trials=2, reuse=True, seed=9, **SAME)

    assert [trial.candidate for trial in reused(second)] == [trial.candidate for trial in first.trials]
    assert states(database) == [TrialState.COMPLETE] * 7


def test_the_checkpoints_of_reused_evaluations_of_a_namesake_belong_to_them(database, tmp_path):
    run(database, tmp_path, trials=3, **SAME)
    delete_study(database, "s")
    run(database, tmp_path, trials=1, reuse=True, seed=9, **SAME)

    assert (tmp_path / "c" / "s" / "0").is_dir()
    assert examine(database, "s").findings == ()


OTHER = {
    "another protocol": {"protocol": {"data": "d2", "recipe": "r1"}},
    "no protocol": {"protocol": None},
    "another full budget": {**SAME, "epochs": (2, 2)},
    "not asked for": {**SAME, "reuse": False},
}


@pytest.mark.parametrize("options", OTHER.values(), ids=OTHER)
def test_what_is_not_comparable_is_not_reused(database, tmp_path, options):
    run(database, tmp_path, trials=3, **SAME)
    evaluate = Counting()

    result = run(database, tmp_path, evaluate, trials=3, study="t", **{"reuse": True, **options})

    assert len(result.trials) == len(evaluate.seen) == 3
    assert reused(result) == []


def test_an_evaluation_without_a_protocol_is_comparable_with_nothing(database, tmp_path):
    run(database, tmp_path, trials=3)

    assert reused(run(database, tmp_path, trials=1, study="t", reuse=True, **SAME)) == []
    assert reused(run(database, tmp_path, trials=1, study="u", reuse=True)) == []


def test_another_smallest_budget_changes_nothing(database, tmp_path):
    run(database, tmp_path, trials=3, epochs=(4, 4), **SAME)

    assert len(reused(run(database, tmp_path, trials=1, study="t", reuse=True, epochs=(2, 4), **SAME))) == 3


def test_failed_evaluations_are_not_reused_and_their_networks_are_tried_again(database, tmp_path):
    def fails(candidate, budget, report):
        raise RuntimeError("no luck")

    run(database, tmp_path, fails, trials=3, **SAME)
    evaluate = Counting()

    result = run(database, tmp_path, evaluate, trials=3, study="t", reuse=True, **SAME)

    assert reused(result) == []
    assert len(evaluate.seen) == 3


def test_what_is_over_a_limit_here_is_not_reused(database, tmp_path):
    first = run(database, tmp_path, trials=12, **SAME)

    result = run(database, tmp_path, trials=1, study="t", reuse=True, constraints=["macs<=12"], **SAME)

    fits = [trial.candidate for trial in first.trials if own_costs(trial.candidate)["macs"] <= 12]
    assert 0 < len(fits) < 12
    assert [trial.candidate for trial in reused(result)] == fits


def test_what_is_not_in_the_other_space_is_not_reused(database, tmp_path):
    first = run(database, tmp_path, trials=12, **SAME)
    smaller = Space({**{f"layer{index}": one_of("skip", "conv3") for index in range(3)}, "depth": int_range(1, 3)})

    result = run(database, tmp_path, trials=1, study="t", reuse=True, space=smaller, **SAME)

    fits = [trial.candidate for trial in first.trials if "conv5" not in layers(trial.candidate)]
    assert 0 < len(fits) < 12
    assert [trial.candidate for trial in reused(result)] == fits


def test_what_was_not_measured_there_is_not_reused(database, tmp_path):
    run(database, tmp_path, trials=3, **SAME)

    def both(candidate, budget, report):
        return {"accuracy": 0.5, "f1": 0.25}

    result = run(database, tmp_path, both, trials=1, study="t", reuse=True, objectives=["f1:max"], **SAME)

    assert len(result.trials) == 1


def test_reused_evaluations_are_not_reused_from_and_the_oldest_of_each_network_is_taken(database, tmp_path):
    first = run(database, tmp_path, trials=4, **SAME)
    run(database, tmp_path, trials=1, study="t", reuse=True, seed=9, **SAME)
    third = run(database, tmp_path, trials=1, study="u", reuse=True, seed=5, **SAME)

    assert len(reused(third)) == 5, "four of the first study and the one that the second trained"
    assert len({trial.digest for trial in third.trials}) == 6
    sources = dict(sql(database, "SELECT id, source FROM nas_evaluations"))
    origins = sql(database, "SELECT reused_from FROM nas_evaluations WHERE source = 'reused'")
    assert {sources[origin] for (origin,) in origins} == {"trained"}
    assert {trial.digest for trial in first.trials} < {trial.digest for trial in reused(third)}


def test_what_was_reused_is_not_taken_in_a_second_time_when_the_study_goes_on(database, tmp_path):
    run(database, tmp_path, trials=4, **SAME)
    second = run(database, tmp_path, trials=2, study="t", reuse=True, seed=9, **SAME)

    again = run(database, tmp_path, trials=3, study="t", reuse=True, seed=9, **SAME)

    assert again.trials[:6] == second.trials
    assert len(reused(again)) == 4
    assert len(again.trials) == 7


def test_adopted_trials_are_not_reused_since_nobody_knows_how_they_were_trained(database, tmp_path):
    from optunas import made_by_optuna, run_by_optuna

    run_by_optuna(made_by_optuna(database, ["accuracy:max"]), 3)
    run(database, tmp_path, trials=4, **SAME)

    assert len(reused(run(database, tmp_path, trials=1, study="t", reuse=True, seed=9, **SAME))) == 1


class Recording(RandomSampler):
    """Keeps what it is told."""

    def __init__(self, space, seed=0):
        super().__init__(space, seed)
        self.loaded, self.asked = [], 0

    def load(self, ended):
        self.loaded += [(genome, values, self.asked) for genome, values in ended]

    def ask(self):
        self.asked += 1
        return super().ask()


def test_the_sampler_learns_from_what_is_reused_before_it_is_asked(database, tmp_path):
    first = run(database, tmp_path, trials=4, **SAME)
    space, goals = own_space(), objectives_from(["accuracy:max"])
    protocol = sql(database, "SELECT DISTINCT protocol FROM nas_evaluations")[0][0]
    facts = json.loads(sql(database, "SELECT settings FROM nas_studies")[0][0])
    store = open_study(database, "t", facts, space, goals, protocol=protocol)
    sampler = Recording(space)
    study = Study(
        plan=Plan(trials=1, checkpoints=tmp_path / "t"),
        pricing=Pricing(space, own_costs, []),
        objectives=goals,
        sampler=sampler,
        store=store,
    )

    taken = study.reuse()
    job = study.next()
    study.handle(Finished(job.number, job.attempt, {"accuracy": 0.5}, 1.0, "here"))
    store.close()

    assert taken == 4
    assert [(genome, list(outcome.values), asked) for genome, outcome, asked in sampler.loaded] == [
        (trial.genome, [trial.metrics["accuracy"]], 0) for trial in first.trials
    ]
    assert study.total == 5
    assert job.number == 4
    assert study.over


def test_numbers_that_optuna_took_meanwhile_are_left_to_it(database, tmp_path):
    run(database, tmp_path, trials=3, **SAME)
    study = optuna.create_study(storage=database, study_name="t", direction="maximize")
    study.enqueue_trial(own_space().params(own_space().sample(random.Random(99))))
    study.enqueue_trial({})
    study.tell(study.ask(), state=TrialState.FAIL)  # not one with parameters

    from optunas import add_complete

    add_complete(study, {"layer0": "conv5", "layer1": "conv5", "layer2": "conv5", "depth": 3}, [0.5])
    result = run(database, tmp_path, trials=2, study="t", reuse=True, **SAME)

    assert [trial.number for trial in reused(result)] == [3, 4, 5]
    assert [trial.number for trial in loaded(database, "t").trials] == list(range(len(loaded(database, "t").trials)))
