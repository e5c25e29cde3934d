"""What samplers make of trials that stop at rungs."""

import random

import numpy as np
import pytest

from nas import Space, one_of
from nas.feasible import Pricing
from nas.objectives import limits_from, objectives_from
from nas.samplers import make_sampler
from nas.samplers.base import Outcome

SPACE = Space({f"gene{index}": one_of("a", "b", "c", "d") for index in range(8)})
LEARNING = ["auto", "evolution", "tpe", "nsga2", "nsga3"]
ONE, TWO = objectives_from(["accuracy:max"]), objectives_from(["accuracy:max", "size:min"])


def merit(genome):
    return sum(option == 3 for option in genome) / len(genome)


def size(genome):
    return float(sum(option == 0 for option in genome))


def at(genome, share):
    """Training brings out the merit; at the first rung there is noise in it."""
    noise = random.Random(str(genome)).gauss(0, 0.03) * (1 - share)
    return (merit(genome) + noise) * share**0.5


def outcome(genome, share, goals, *, settled=True):
    def values(level):
        return [at(genome, level), size(genome)][: len(goals)]

    earlier = {lower: values(lower) for lower in (1 / 9, 1 / 3) if lower < share}
    return Outcome(values(share), (), share, earlier, settled, first=1 / 9)


def climb(sampler, goals, trials, *, promoted=3):
    """Every trial stops at the first rung; of each three the best goes on to the second and the best of nine to the end."""
    seen, waiting = [], []
    for _ in range(trials):
        proposal = sampler.ask()
        genome = SPACE.canonical(proposal.genome)
        handle = sampler.accept(proposal, genome)
        sampler.see(handle, outcome(genome, 1 / 9, goals))
        seen.append(genome)
        waiting.append((at(genome, 1 / 9), handle, genome))
        if len(waiting) == 9:
            waiting.sort(reverse=True)
            for place, (_, number, network) in enumerate(waiting):
                share = 1.0 if place == 0 else 1 / 3 if place < promoted else 1 / 9
                if 0 < place < promoted:
                    sampler.see(number, outcome(network, share, goals))
                sampler.tell(number, outcome(network, share, goals))
            waiting = []
    return seen


def made(name, goals, seed=0):
    return make_sampler(name, SPACE, goals, seed, pricing=Pricing(SPACE, None, ()))


@pytest.mark.parametrize("goals", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("name", LEARNING)
def test_every_sampler_that_learns_learns_from_the_rungs(name, goals):
    trials, seeds = (36, 1) if name == "auto" else (108, 2)
    late = []
    for seed in range(seeds):
        genomes = climb(made(name, goals, seed), goals, trials)
        late += [merit(genome) - 0.02 * size(genome) for genome in genomes[-15:]]

    assert np.mean(late) > 0.25 - 0.04 + 0.08  # what random genomes have, and three times the error of their mean


@pytest.mark.parametrize("name", [*LEARNING, "gp"])
def test_what_is_under_way_or_fails_after_a_rung_breaks_no_sampler(name):
    sampler = made(name, ONE)
    rng = random.Random(0)
    for _ in range(14):
        proposal = sampler.ask()
        genome = SPACE.canonical(proposal.genome)
        handle = sampler.accept(proposal, genome)
        sampler.see(handle, outcome(genome, 1 / 18, ONE, settled=False))
        sampler.see(handle, outcome(genome, 1 / 9, ONE))
        sampler.see(handle, outcome(genome, 2 / 9, ONE, settled=False))
        sampler.tell(handle, rng.choice([None, outcome(genome, 1 / 3, ONE), outcome(genome, 1.0, ONE)]))

    assert SPACE.contains(sampler.ask().genome)


@pytest.mark.parametrize("name", LEARNING)
def test_a_study_that_goes_on_with_rungs_is_learnt_from(name):
    rng = random.Random(1)
    genomes = [SPACE.sample(rng) for _ in range(60)]
    order = sorted(genomes, key=merit, reverse=True)
    shares = {genome: 1.0 if place < 7 else 1 / 3 if place < 20 else 1 / 9 for place, genome in enumerate(order)}
    sampler = made(name, ONE)
    sampler.load((genome, outcome(genome, shares[genome], ONE)) for genome in genomes)
    for genome in order[20:23]:
        sampler.see(sampler.add(genome), outcome(genome, 1 / 9, ONE))

    proposed = []
    for _ in range(12):
        proposal = sampler.ask()
        genome = SPACE.canonical(proposal.genome)
        proposed.append(merit(genome))
        sampler.tell(sampler.accept(proposal, genome), outcome(genome, 1.0, ONE))

    assert np.mean(proposed) > 0.25 + 0.08


def test_half_trained_values_are_no_results_of_optunas_samplers_beside_complete_ones():
    """TPE sees them as pruned; the others see every trial at its first rung."""
    tpe, nsga = made("tpe", ONE), made("nsga2", TWO)
    climb(tpe, ONE, 9)
    climb(nsga, TWO, 9)

    states = [trial.state.name for trial in tpe._study.trials]  # what Optuna was told is not said otherwise
    assert sorted(states) == ["COMPLETE"] + ["PRUNED"] * 8
    values = {trial.number: trial.values[0] for trial in nsga._study.trials if trial.state.name == "COMPLETE"}
    assert len(values) == 9
    assert max(values.values()) < 0.5  # of the full budget they would be up to 3 times as large


def test_evolution_forgets_what_failed_after_a_rung():
    sampler = make_sampler("evolution", SPACE, ONE, 0)
    best, other = (3,) * 8, (0,) * 8
    handles = [sampler.add(genome) for genome in (best, *[other] * 20)]
    for handle, genome in zip(handles, (best, *[other] * 20), strict=True):
        sampler.see(handle, outcome(genome, 1 / 9, ONE))
    again = sampler.add(best)
    sampler.see(again, outcome(best, 1 / 9, ONE))

    sampler.tell(again, None)

    assert best not in [member.genome for member in sampler._population]


def test_tpe_is_told_that_what_was_pruned_is_over_a_limit():
    sampler = make_sampler("tpe", SPACE, ONE, 0, metric_limits=limits_from(["loss<=1"]))
    handle = sampler.add((3,) * 8)

    sampler.tell(handle, Outcome([0.9], [0.5], 1 / 9, {}, True))

    (trial,) = sampler._study.trials
    assert (trial.state.name, trial.constraints) == ("PRUNED", {"0": 0.5})


def test_a_study_that_goes_on_tells_nsga_what_it_would_have_told_it_at_the_time():
    """The value at the first rung, of what is complete and of what is set aside, whether or not something was pruned."""
    genomes = [SPACE.sample(random.Random(seed)) for seed in range(4)]
    sampler = made("nsga2", TWO)
    sampler.load((genome, outcome(genome, 1.0, TWO)) for genome in genomes[:3])
    sampler.see(sampler.add(genomes[3]), outcome(genomes[3], 1 / 9, TWO))

    told = [trial.values[0] for trial in sampler._study.trials]
    assert told == [at(genome, 1 / 9) for genome in genomes]
