"""Checkpoints: those of the best few and of the front stay, the rest goes, whatever the order of the ends."""

import random

import pytest

from nas.jobs import Budget
from nas.keeping import BEST, Keeper
from nas.objectives import limits_from, objectives_from
from nas.ranking import pareto, ranked, violation
from nas.trial import State, Trial


def ended(number, metrics, state=State.COMPLETE):
    return Trial(
        number=number, genome=(0,), candidate={}, digest=str(number), state=state, origin="random", attempt=1,
        metrics=metrics, budget=Budget(0, 1, 0, "cpu", ""),
    )  # fmt: skip


@pytest.mark.parametrize("goals", [["accuracy:max"], ["accuracy:max", "macs:min"], ["a:max", "b:min", "c:max"]])
@pytest.mark.parametrize("seed", range(5))
def test_what_stays_is_what_ranking_all_of_them_would_keep(tmp_path, goals, seed):
    rng, objectives, trials = random.Random(seed), objectives_from(goals), []
    keeper = Keeper(tmp_path, objectives)

    for number in rng.sample(range(60), 60):
        (tmp_path / str(number)).mkdir()
        values = {objective.name: rng.choice([1.0, 2.0, 3.0, rng.random()]) for objective in objectives}
        trials.append(ended(number, values, State.FAIL if rng.random() < 0.1 else State.COMPLETE))
        keeper.take(trials[-1])

        kept = {trial.number for trial in (*ranked(trials, objectives)[:BEST], *pareto(trials, objectives))}
        assert {int(path.name) for path in tmp_path.iterdir()} == kept


def test_what_a_study_left_is_taken_again_without_harm(tmp_path):
    objectives = objectives_from(["accuracy:max"])
    trials = [ended(number, {"accuracy": number / 10}) for number in range(9)]
    for trial in trials[-BEST:]:
        (tmp_path / str(trial.number)).mkdir()
    keeper = Keeper(tmp_path, objectives)

    for trial in trials:
        keeper.take(trial)

    assert {int(path.name) for path in tmp_path.iterdir()} == {4, 5, 6, 7, 8}


@pytest.mark.parametrize("goals", [["accuracy:max"], ["accuracy:max", "macs:min"]])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_over_a_limit_stays_only_while_nothing_is_within(tmp_path, goals, seed):
    rng, objectives, limits, trials = random.Random(seed), objectives_from(goals), limits_from(["loss<=1"]), []
    keeper = Keeper(tmp_path, objectives, limits)

    for number in range(40):
        (tmp_path / str(number)).mkdir()
        values = {objective.name: rng.choice([1.0, 2.0, rng.random()]) for objective in objectives}
        trials.append(ended(number, {**values, "loss": rng.uniform(1.1, 2) if number < 15 else rng.uniform(0, 2)}))
        keeper.take(trials[-1])

        within = ranked(trials, objectives, limits)
        order = sorted(trials, key=lambda trial: (violation(trial, limits), trial.number))
        kept = [*within[:BEST], *pareto(trials, objectives, limits)] if within else order[:BEST]
        assert {int(path.name) for path in tmp_path.iterdir()} == {trial.number for trial in kept}


def test_what_another_trial_is_about_to_begin_with_is_deleted_once_that_has_begun(tmp_path):
    needed = {0, 7}
    keeper = Keeper(tmp_path, objectives_from(["accuracy:max"]), needed=lambda: needed)
    for number in range(9):
        (tmp_path / str(number)).mkdir()
        keeper.take(ended(number, {"accuracy": number / 10}, State.FAIL if number == 7 else State.COMPLETE))

    def kept():
        return {int(path.name) for path in tmp_path.iterdir()}

    assert kept() == {0, 3, 4, 5, 6, 7, 8}
    keeper.sweep()
    assert kept() == {0, 3, 4, 5, 6, 7, 8}
    needed.remove(0)
    keeper.sweep()
    assert kept() == {3, 4, 5, 6, 7, 8}
    needed.clear()
    keeper.sweep()
    assert kept() == {3, 4, 5, 6, 8}
