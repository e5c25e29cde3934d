"""A second look by slow scores."""

import math
import random

import numpy as np
import pytest
from surrogates import LAYERS, accuracy, results, sampler_of, searched, taken, told

from nas.samplers import Outcome
from nas.samplers.evidence import ENOUGH as STARTUP
from nas.samplers.surrogate import SHORT


def noisy(value):
    """An objective of which half cannot be seen in the genes one by one."""
    return accuracy(value) + 0.15 * hidden(value)


def hidden(value):
    return random.Random(str(sorted(value.items()))).gauss(0, 1)


def proposed(scores, seed):
    """The mean of what is proposed after 30 random results."""

    def outcome(value):
        return Outcome([noisy(value)])

    sampler = sampler_of(seed=seed, scores=scores)
    sampler.load(results(30, outcome, seed))
    return np.mean([noisy(LAYERS.decode(genome)) for genome in searched(sampler, outcome, 12)])


def test_a_score_that_tells_what_the_genes_do_not_leads_to_better_networks():
    told_of = [proposed(lambda value: {"hint": hidden(value), "empty": 3.0}, seed) for seed in range(4)]
    without = [proposed(None, seed) for seed in range(4)]

    assert np.mean(told_of) > np.mean(without) + 0.05


@pytest.mark.parametrize(
    "scores",
    [
        lambda value: {},
        lambda value: {"same": 2.0},
        lambda value: {"nothing": math.nan},
        lambda value: {"huge": math.inf if value["norm0"] == "layer" else 1.0},
        lambda value: {"some": 1.0 * value["width0"]} if value["norm0"] == "layer" else {},
        lambda value: {"far": 1e300 * value["width0"], "near": 1e-300 * value["width0"]},
    ],
    ids=["none", "constant", "no number", "infinite", "missing", "far"],
)
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::sklearn.exceptions.ConvergenceWarning")
def test_scores_that_are_missing_constant_or_no_numbers_end_no_search(scores):
    genomes = searched(sampler_of(scores=scores), told, STARTUP + 3)

    assert len(set(genomes)) == STARTUP + 3


def test_only_what_was_trained_runs_or_is_most_promising_is_scored_and_once():
    asked = []
    sampler = sampler_of(scores=lambda value: asked.append(tuple(value.values())) or {"hint": hidden(value)})
    sampler.load(results(STARTUP + 5, told))
    assert asked == []

    running = taken(sampler)
    first = len(asked)
    taken(sampler)

    assert first == STARTUP + 5 + SHORT
    assert len(asked) <= first + SHORT
    assert len(set(asked)) == len(asked)
    assert tuple(LAYERS.decode(running[0]).values()) in asked


@pytest.mark.soak
def test_of_a_large_study_not_everything_is_scored():
    asked = []
    sampler = sampler_of(scores=lambda value: asked.append(value) or {"hint": 1.0 * value["width0"]})
    sampler.load(results(400, told))

    taken(sampler)

    assert len(asked) <= 350
