"""Which networks a search by inherited weights trains at its end."""

import dataclasses

import pytest
from trials import trial

from nas.config import read_config
from nas.objectives import objectives_from
from nas.ranking import pareto, ranked
from runners.oneshot import chosen_of

TWO = ["accuracy:max", "params:min"]


@dataclasses.dataclass
class Found:
    """What of a result is looked at."""

    ranked: list
    pareto: list


def chosen(accuracies, retrain, spread):
    trials = [trial(number, accuracy=each) for number, each in enumerate(accuracies)]
    order = sorted(trials, key=lambda each: -each.metrics["accuracy"])
    config = read_config(None, {"weights": "supernet", "retrain": retrain, "spread": spread})
    return [[each.number for each in part] for part in chosen_of(Found(order, order[:1]), config)]


def test_the_best_are_trained_and_others_down_to_the_worst():
    accuracies = [0.5, 0.9, 0.1, 0.7, 0.3, 0.8, 0.2, 0.6, 0.4]

    assert chosen(accuracies, 2, 3) == [[1, 5], [7, 8, 2]]
    assert chosen(accuracies, 0, 1) == [[], [2]]
    assert chosen(accuracies, 3, 100) == [[1, 5, 3], [7, 0, 8, 4, 6, 2]]
    assert chosen(accuracies, 100, 5) == [[1, 5, 3, 7, 0, 8, 4, 6, 2], []]
    assert chosen([], 3, 6) == [[], []]


@pytest.mark.parametrize("count", range(1, 30))
def test_no_network_is_trained_twice_for_the_spread(count):
    best, others = chosen([number / 40 for number in range(31)], 2, count)

    assert len({*best, *others}) == 2 + min(count, 29)
    assert others[-1] == 0


def chosen_of_front(pairs, retrain, spread):
    """By accuracy and parameters."""
    trials = [trial(number, accuracy=accuracy, params=float(params)) for number, (accuracy, params) in enumerate(pairs)]
    goals = objectives_from(TWO)
    config = read_config(None, {"weights": "supernet", "retrain": retrain, "spread": spread, "objectives": TWO})
    return [
        [each.number for each in part]
        for part in chosen_of(Found(ranked(trials, goals), pareto(trials, goals)), config)
    ]


def test_of_several_objectives_the_most_accurate_is_trained_and_what_covers_most_of_the_front():
    pairs = [(0.90, 100), (0.89, 98), (0.88, 96), (0.70, 30), (0.50, 10), (0.60, 90)]

    assert chosen_of_front(pairs, 1, 0) == [[0], []]
    assert chosen_of_front(pairs, 2, 0) == [[0, 3], []]
    assert chosen_of_front(pairs, 3, 1) == [[0, 3, 4], [5]]
    assert chosen_of_front(pairs, 9, 9) == [[0, 3, 4, 2, 1], [5]]
    assert chosen_of_front(pairs, 0, 2) == [[], [2, 4]]
