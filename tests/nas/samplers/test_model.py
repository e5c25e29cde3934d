"""The model of one loss: from one result to thousands, and how often the costly part is done."""

import random

import numpy as np
import pytest
from surrogates import LAYERS, accuracy, macs
from threadpoolctl import threadpool_info, threadpool_limits

from nas.feasible import Pricing
from nas.samplers import model as module
from nas.samplers.candidates import Candidates
from nas.samplers.gaussian import GaussianProcess
from nas.samplers.model import FOLDS, MOST, Data, Model, subset, winsorised

MAKER = Candidates(Pricing(LAYERS, macs, ()), random.Random(0))
NONE = np.zeros((0, MAKER.columns.costs + 1))


def data(count, seed=0, noise=0.0):
    rng = random.Random(seed)
    genomes = [LAYERS.sample(rng) for _ in range(count)]
    losses = [-accuracy(LAYERS.decode(genome)) + rng.gauss(0, noise) for genome in genomes]
    return Data(np.array([each.row for each in MAKER.of(genomes)]), np.array(losses))


@pytest.mark.parametrize(("count", "share"), [(40, 0.75), (150, 0.5), (900, 0.45)])
@pytest.mark.slow
def test_held_out_candidates_are_predicted_better_than_by_the_mean(count, share):
    known, asked = data(count, noise=0.01), data(200, 1)

    mean, std = Model(MAKER.columns).predict(known, NONE, asked.rows)

    naive = np.abs(asked.losses - known.losses.mean()).mean()
    assert np.abs(mean - asked.losses).mean() < share * naive
    assert (std > 0).all()


@pytest.mark.parametrize("count", [60, 310, 900])
@pytest.mark.slow
def test_what_is_doubted_is_about_as_much_as_predictions_are_off(count):
    known, asked = data(count, noise=0.01), data(300, 1)

    mean, std = Model(MAKER.columns).predict(known, NONE, asked.rows)

    assert (np.abs(mean - asked.losses) > 2 * std).mean() < 0.25
    assert std.mean() < 2.5 * np.abs(mean - asked.losses).mean()


def test_trees_take_one_thread_and_leave_others_theirs(monkeypatch):
    def threads():
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "openmp"}

    class Trees(module.HistGradientBoostingRegressor):
        def fit(self, *given):
            seen.append(threads())
            return super().fit(*given)

    seen = []
    monkeypatch.setattr(module, "HistGradientBoostingRegressor", Trees)
    with threadpool_limits(2, user_api="openmp"):
        Model(MAKER.columns).predict(data(310), NONE, data(20, 1).rows)
        after = threads()

    assert (seen, after) == ([{1}] * FOLDS, {2})


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_results_give_a_finite_guess(count):
    known = data(count)

    mean, std = Model(MAKER.columns).predict(known, known.rows[:1], data(20, 1).rows)

    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()


@pytest.mark.slow
def test_scales_and_trees_are_fitted_again_only_when_the_results_have_grown_by_a_tenth(monkeypatch):
    fits = {"scales": [], "trees": []}

    class Process(GaussianProcess):
        def __init__(self, columns, rows, values, scales=None):
            if scales is None:
                fits["scales"].append(count)
            super().__init__(columns, rows, values, scales)

    class Trees(module.HistGradientBoostingRegressor):
        def fit(self, *given):
            fits["trees"].append(count)
            return super().fit(*given)

    monkeypatch.setattr(module, "GaussianProcess", Process)
    monkeypatch.setattr(module, "HistGradientBoostingRegressor", Trees)
    everything, model = data(360), Model(MAKER.columns)

    for count in (280, 281, 300, 301, 302, 308, 309, 330, 339, 340):
        model.predict(Data(everything.rows[:count], everything.losses[:count]), NONE, everything.rows[-5:])

    assert fits == {"scales": [280, 308, 339], "trees": [count for count in (301, 308, 339) for _ in range(FOLDS)]}


def test_what_runs_is_believed_to_give_what_is_expected_and_is_doubted_no_more():
    known, asked = data(60), data(30, 1)

    mean, std = Model(MAKER.columns).predict(known, NONE, asked.rows)
    believed, less = Model(MAKER.columns).predict(known, asked.rows[:3], asked.rows)

    assert believed[:3] == pytest.approx(mean[:3], abs=0.05)
    assert (less[:3] < 0.7 * std[:3]).all()
    assert (less <= std + 1e-9).all()


def test_of_many_results_the_best_half_and_some_of_the_others_are_in_the_process():
    losses = np.random.default_rng(0).random(5000)

    kept = subset(losses)

    best = np.argsort(losses)[: MOST // 2]
    assert len(kept) == len(set(kept)) <= MOST
    assert set(best) <= set(kept)
    assert losses[kept].max() > 0.95
    assert (subset(losses[:MOST]) == np.arange(MOST)).all()


def test_only_far_outliers_on_the_bad_side_are_drawn_in():
    losses = np.linspace(0, 1, 40)

    assert winsorised(losses) == pytest.approx(losses, abs=1e-9)
    assert winsorised(-losses) == pytest.approx(-losses, abs=1e-9)
    found = winsorised(np.array([*losses, 1e30, -50.0]))
    assert found[-2] < 3
    assert found[-1] == -50
