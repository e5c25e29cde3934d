"""What choices did, which of them matter, and how short trainings and scores rank."""

import random

import pytest
from accounts import gene, record, trial

from dashboards.correlations import scores, short_trainings
from dashboards.effects import effects
from dashboards.failures import failures
from dashboards.importance import importance
from nas.objectives import Objective
from nas.trial import State

ACCURACY, LOSS = Objective("accuracy", maximize=True), Objective("loss", maximize=False)


def test_an_option_has_the_mean_of_its_networks_with_students_interval():
    choices = [gene("mixer", "pool", "conv", "attention"), gene("mixer.conv.kernel", 3, 5, ordered=True)]
    taken = {
        0: {"mixer": "pool"}, 1: {"mixer": "conv", "mixer.conv.kernel": 5}, 2: {"mixer": "pool"},
        3: {"mixer": "pool"}, 4: {"mixer": "conv", "mixer.conv.kernel": 3},
    }  # fmt: skip
    values = {0: 0.1, 1: 0.9, 2: 0.2, 3: 0.6}

    mixer, kernel = effects(choices, taken, values, ACCURACY)

    pool, conv = mixer.options
    assert (mixer.count, pool.label, pool.count, pool.best, pool.trial) == (4, "pool", 3, 0.6, 3)
    assert (pool.mean, pool.median) == (pytest.approx(0.3), pytest.approx(0.2))
    half = 4.302653 * 0.2645751 / 3**0.5  # t of 2 degrees of freedom, standard deviation of 0.1, 0.2, 0.6
    assert (pool.low, pool.high) == (pytest.approx(0.3 - half), pytest.approx(0.3 + half))
    assert (conv.count, conv.low, conv.high) == (1, None, None)
    assert (kernel.gene, kernel.count, [option.label for option in kernel.options]) == ("mixer.conv.kernel", 1, ["5"])
    assert effects(choices, taken, values, LOSS)[0].options[0].trial == 0


def test_many_numbers_are_told_in_ranges_that_hold_all_of_them():
    choices = [gene("width", *range(1, 31), ordered=True)]
    taken = {number: {"width": number + 1} for number in range(30)}

    (found,) = effects(choices, taken, dict.fromkeys(range(30), 0.5), ACCURACY)

    assert [option.label for option in found.options] == [
        "1 to 5", "6 to 10", "11 to 15", "16 to 20", "21 to 25", "26 to 30",
    ]  # fmt: skip
    assert sum(option.count for option in found.options) == 30


def planted(count, seed=0, noise=0.0):
    """Accuracy follows from the kernel where there is one, and a little from the width; the norm does nothing."""
    rng = random.Random(seed)
    choices = [
        gene("norm", "batch", "layer"), gene("mixer", "pool", "conv"), gene("width", 16, 32, ordered=True),
        gene("mixer.conv.kernel", 3, 5, 7, ordered=True),
    ]  # fmt: skip
    taken, values = {}, {}
    for number in range(count):
        row = {"norm": rng.choice(["batch", "layer"]), "mixer": rng.choice(["pool", "conv"]), "width": rng.choice([16, 32])}  # fmt: skip
        if row["mixer"] == "conv":
            row["mixer.conv.kernel"] = rng.choice([3, 5, 7])
        taken[number] = row
        values[number] = 0.1 * row.get("mixer.conv.kernel", 2) + row["width"] / 320 + rng.gauss(0, noise)
    return choices, taken, values


def test_planted_genes_come_first_conditional_ones_among_those_that_use_them():
    found = importance(*planted(200))

    weights = {weight.gene: weight for weight in found.weights}
    assert found.better
    assert found.r2 > 0.95
    assert [weight.gene for weight in found.weights] == ["mixer", "mixer.conv.kernel", "width", "norm"]
    assert abs(weights["norm"].loss) < 0.01
    assert 80 < weights["mixer.conv.kernel"].count < 120
    assert weights["mixer"].low <= weights["mixer"].loss <= weights["mixer"].high
    assert found == importance(*planted(200))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_noise_the_ranking_is_called_meaningless(seed):
    choices, taken, _ = planted(60)
    rng = random.Random(seed)

    found = importance(choices, taken, {number: rng.random() for number in taken})

    assert not found.better
    assert found.verdict.startswith("meaningless")


def test_few_networks_or_equal_ones_are_not_ranked():
    assert importance(*planted(19)).r2 is None
    choices, taken, values = planted(30)
    assert importance(choices, taken, dict.fromkeys(values, 0.5)).weights == ()
    assert importance([], {}, {}).verdict.startswith("not ranked: 0 networks")


def test_of_many_networks_some_are_drawn_and_it_is_said():
    found = importance(*planted(1100))

    assert (found.networks, found.of) == (1000, 1100)


def test_a_short_training_that_ranks_alike_correlates_at_one():
    def one(number, early):
        return trial(number, accuracy=number / 10, stop=9, curve={1: {"accuracy": early}, 3: {"accuracy": number / 20}})

    trials = [one(number, early) for number, early in enumerate([0.5, 0.1, 0.4, 0.2, 0.3, 0.6])]
    trials.append(trial(6, State.PRUNED, curve={1: {"accuracy": 0.9}}))

    first, second = short_trainings(record(trials, epochs=[1, 9], rungs={"factor": 3, "brackets": 1}), "accuracy")

    assert (first.epochs, first.networks) == (1, 6)
    assert first.spearman == pytest.approx(1 - 6 * (4**2 + 1 + 1 + 2**2 + 2**2) / (6 * 35))
    assert first.low < first.spearman < first.high
    assert (second.epochs, second.spearman, second.high) == (3, pytest.approx(1), pytest.approx(1))


def test_scores_that_trials_carry_are_held_against_their_training():
    rows = [trial(n, accuracy=n / 10, naswot=n * 2.0, synflow=-float(n), params=1.0 + n % 3) for n in range(12)]

    found = scores(record(rows), ACCURACY)

    told = {each.proxy: each.spearman for each in found.agreements}
    assert (found.networks, told["naswot"], told["synflow"]) == (12, pytest.approx(1), pytest.approx(-1))
    assert scores(record([trial(0, accuracy=0.5, params=3.0)]), ACCURACY) is None


def test_failures_that_differ_in_numbers_only_are_one_reason():
    reasons = ["diverged: loss is 3.5e10", "out of memory", "diverged: loss is 7", "", "diverged: loss is 1"]
    trials = [trial(n, State.FAIL, reason=reason) for n, reason in enumerate(reasons)]

    found = failures([*trials, trial(9, accuracy=0.5)])

    assert [(each.reason, each.count, each.trials) for each in found] == [
        ("diverged: loss is 3.5e10", 3, (0, 2, 4)), ("out of memory", 1, (1,)), ("no reason was given", 1, (3,)),
    ]  # fmt: skip
