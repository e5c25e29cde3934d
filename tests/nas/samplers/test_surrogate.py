"""`auto` as a whole: batches, limits, resuming, seeds, and what it finds."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from surrogates import LAYERS, accuracy, macs, results, sampler_of, searched, taken, told

from nas import Space, int_range, one_of
from nas.hypervolume import hypervolume
from nas.objectives import limits_from
from nas.samplers import Outcome
from nas.samplers.evidence import ENOUGH as STARTUP

TWO = ("accuracy:max", "macs:min")


def both(value):
    return Outcome([accuracy(value), macs(value)["macs"]])


def values_of(genomes):
    return [accuracy(LAYERS.decode(genome)) for genome in genomes]


def apart(genomes):
    """Mean number of genes in which two of them differ."""
    return np.mean([sum(a != b for a, b in zip(x, y, strict=True)) for x in genomes for y in genomes if x is not y])


# -- what it finds ---------------------------------------------------------------------------------------------------


def test_within_a_limit_it_finds_better_networks_than_random_search():
    best = {"auto": [], "random": []}
    for seed in range(3):
        genomes = searched(sampler_of(limits=["macs<=30"], seed=seed), told, 40)
        assert all(macs(LAYERS.decode(genome))["macs"] <= 30 for genome in genomes)
        best["auto"].append(max(values_of(genomes)))
        drawn = searched(sampler_of("random", seed=seed), told, 600)
        within = [genome for genome in drawn if macs(LAYERS.decode(genome))["macs"] <= 30]
        best["random"].append(max(values_of(within[:120])))

    assert len(within) >= 120
    assert min(best["auto"]) > max(best["random"])


@pytest.mark.soak_when("measured")
@pytest.mark.parametrize("second", ["macs", "latency"], ids=["known", "measured"])
def test_of_two_objectives_it_finds_a_better_front_than_random_search(second):
    volumes = {"auto": [], "random": []}
    for name, trials in (("auto", 40), ("random", 120)):
        for seed in range(2):
            sampler = sampler_of(name, ("accuracy:max", f"{second}:min"), seed=seed)
            found = [LAYERS.decode(genome) for genome in searched(sampler, both, trials)]
            volumes[name].append(hypervolume([(-accuracy(each), macs(each)["macs"]) for each in found], (-0.4, 60)))

    assert min(volumes["auto"]) > max(volumes["random"])


@pytest.mark.soak_when("goals2", "goals5")
@pytest.mark.parametrize(
    "goals",
    [("loss:min",), ("loss:min", "macs:max"), ("accuracy:max", "latency:min", "macs:min"), ("macs:min", "params:max"),
     ("latency:max",), ("accuracy:max", "accuracy2:max", "loss:min", "macs:min")],
)  # fmt: skip
def test_any_mix_of_objectives_is_searched_in_their_directions(goals):
    def truth(value):
        known = {"accuracy": accuracy(value), "accuracy2": accuracy(value) ** 2, "loss": 1 - accuracy(value)}
        known |= {"latency": macs(value)["macs"] ** 0.7, "params": 5.0 * value["width1"]}
        return known | macs(value)

    def costs(value):
        return macs(value) | {"params": 5.0 * value["width1"]}

    def merit(value):
        signs = {goal.split(":")[0]: 1 if goal.endswith("max") else -1 for goal in goals}
        return hypervolume(
            [[-sign * truth(value)[name] / unit[name] for name, sign in signs.items()]], [1.0] * len(goals)
        )

    unit = truth(LAYERS.decode(tuple(len(gene.options) - 1 for gene in LAYERS.genes)))
    outcome = lambda value: Outcome([truth(value)[goal.split(":")[0]] for goal in goals])  # noqa: E731
    genomes = searched(sampler_of(goals=goals, costs=costs), outcome, 25)

    drawn = [merit(LAYERS.decode(genome)) for genome, _ in results(300, outcome)]
    assert len(set(genomes)) == 25
    assert max(merit(LAYERS.decode(genome)) for genome in genomes) > np.quantile(drawn, 0.97)


# -- batches and repeats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goals", [("accuracy:max",), TWO])
@pytest.mark.parametrize("known", [0, 30])
def test_many_workers_are_given_different_candidates_that_do_not_clump(goals, known):
    outcome = told if len(goals) == 1 else both
    sampler = sampler_of(goals=goals)
    sampler.load(results(known, outcome))

    batch = [taken(sampler)[0] for _ in range(16)]

    assert len(set(batch)) == 16
    assert apart(batch) > 5, "of 12 genes"


def test_what_runs_keeps_a_batch_apart():
    """Without it the same corner is proposed again and again, a gene or two apart."""
    spread = []
    for runs in (True, False):
        for seed in range(3):
            sampler = sampler_of(seed=seed)
            sampler.load(results(60, told, seed))
            batch = []
            for _ in range(12):
                genome, handle, _ = taken(sampler)
                batch.append(genome)
                if not runs:
                    sampler.tell(handle, None)  # which is forgotten, but not proposed again
            spread.append(apart(batch))

    assert np.mean(spread[:3]) > np.mean(spread[3:]) + 0.5


def test_nothing_that_was_evaluated_failed_or_was_rejected_is_proposed_again():
    space = Space({"mixer": one_of(pool={"size": one_of(3, 5, 7)}, none="none"), "depth": int_range(1, 8)})
    sampler, rng = sampler_of(space=space, costs=None), random.Random(0)
    seen = [space.sample(rng)]
    sampler.load([(seen[0], None)])
    for step in range(24):
        proposal = sampler.ask()
        genome = space.canonical(proposal.genome)
        seen.append(genome)
        if step % 3 == 0:
            sampler.reject(proposal)
        else:
            sampler.tell(sampler.accept(proposal, genome), None if step % 3 == 1 else Outcome([sum(genome)]))

    assert len(set(seen)) == 25


def test_what_was_evaluated_in_the_place_of_a_proposal_counts():
    sampler = sampler_of()
    sampler.load(results(20, told))
    other = LAYERS.encode({**LAYERS.decode((0,) * 12), "mixer3": "attention"})

    handle = sampler.accept(sampler.ask(), other)
    sampler.tell(handle, Outcome([9.0]))

    near = [sum(a != b for a, b in zip(taken(sampler)[0], other, strict=True)) for _ in range(3)]
    assert np.mean(near) < 6


@pytest.mark.parametrize("space", [Space({"only": one_of("a", "b", "c")}), Space({"depth": int_range(1, 30)})])
def test_a_space_of_one_gene_is_searched_and_when_it_is_used_up_proposals_go_on(space):
    sampler = sampler_of(space=space, costs=lambda value: {"size": 1.0})
    count = len(space.genes[0].options)

    genomes = searched(sampler, lambda value: Outcome([len(str(value))]), count + 3, space)

    assert set(genomes[:count]) == {(option,) for option in range(count)}
    assert len(genomes) == count + 3


# -- limits on what is measured --------------------------------------------------------------------------------------


def heat(value):
    """Known from a training only."""
    return sum(value[f"mixer{index}"] == "attention" for index in range(4)) - 1.5


@pytest.mark.soak_when("before training")
@pytest.mark.parametrize("before", [False, True], ids=["by training", "before training"])
def test_a_limit_on_what_is_measured_is_learnt_and_kept(before):
    shares = []
    for limited in (False, True):
        sampler = sampler_of(metric_limits=limits_from(["heat<=1.5"]))
        over = 0
        for step in range(40):
            proposal = sampler.ask()
            value = LAYERS.decode(proposal.genome)
            over += step >= 20 and heat(value) > 0
            if before and limited and heat(value) > 0:
                sampler.reject(proposal, (heat(value),))
            else:
                outcome = Outcome([accuracy(value)], (heat(value),) if limited else ())
                sampler.tell(sampler.accept(proposal, proposal.genome), outcome)
        shares.append(over / 20)

    assert shares[0] > 0.7
    assert shares[1] < 0.35


# -- fidelities ------------------------------------------------------------------------------------------------------


def test_beginnings_of_trainings_that_run_lead_the_search():
    """Those that run are seen at a quarter of the budget only, where losses are three times what they come to."""
    means = []
    for seen in (False, True):
        sampler = sampler_of(goals=("loss:min",))
        full = [(g, Outcome([2 - v], earlier={0.25: [3 * (2 - v)]})) for g, v in
                ((g, o.values[0]) for g, o in results(12, told))]  # fmt: skip
        sampler.load(full)
        for genome, outcome in results(50, told, seed=1):
            handle = sampler.add(genome)
            if seen:
                sampler.see(handle, Outcome([3 * (2 - outcome.values[0])], fidelity=0.25))
        means.append(np.mean(values_of([taken(sampler)[0] for _ in range(10)])))

    assert means[1] > means[0] + 0.02


# -- resuming and seeds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goals", [("accuracy:max",), TWO])
def test_what_is_loaded_counts_as_if_it_had_been_told_one_by_one(goals):
    outcome = told if len(goals) == 1 else both
    ended = [*results(30, outcome), (LAYERS.sample(random.Random(5)), None)]
    loaded, added = sampler_of(goals=goals), sampler_of(goals=goals)

    loaded.load(ended)
    for genome, each in ended:
        added.tell(added.add(genome), each)

    one, other = loaded._evidence, added._evidence
    assert [(c.genome, loss.tolist()) for c, loss in one.results] == [
        (c.genome, loss.tolist()) for c, loss in other.results
    ]
    assert loaded._candidates._seen == added._candidates._seen
    assert [taken(sampler)[2] for sampler in (loaded, added)] == ["surrogate"] * 2


def test_a_search_that_goes_on_repeats_nothing_and_is_as_good():
    first = sampler_of()
    genomes = searched(first, told, 25)
    second = sampler_of()

    second.load((genome, told(LAYERS.decode(genome))) for genome in genomes)
    more = searched(second, told, 12)

    assert not set(genomes) & set(more)
    assert np.mean(values_of(more)) > np.mean(values_of(genomes[:STARTUP])) + 0.1
    assert more != searched(first, told, 12), "other draws than those of the run before"


SCRIPT = """
from surrogates import LAYERS, accuracy, macs, sampler_of, searched
from nas.samplers import Outcome
sampler = sampler_of(goals=("accuracy:max", "macs:min"), limits=["macs<=40"],
                     scores=lambda value: {"b": value["width0"] * 1.0, "a": len(value["mixer0"]) * 1.0})
outcome = lambda value: Outcome([accuracy(value), macs(value)["macs"]], earlier={0.5: [0.5, macs(value)["macs"]]})
print(searched(sampler, outcome, 16))
"""


def test_the_same_seed_gives_the_same_search_in_every_process():
    path = os.pathsep.join(["tests", *sys.path])
    found = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": path},
            capture_output=True, text=True, check=True,
        )
        for hashing in ("1", "2")
    ]  # fmt: skip

    assert found[0].stdout == found[1].stdout
    assert [each.stderr for each in found] == ["", ""]


# -- values of any size ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_a_search_does_not_depend_on_the_unit_of_its_objective(scale):
    runs = [searched(sampler_of(), lambda value, by=by: Outcome([by * accuracy(value)]), 25) for by in (1.0, scale)]

    assert np.mean(values_of(runs[1][STARTUP:])) == pytest.approx(np.mean(values_of(runs[0][STARTUP:])), abs=0.06)


@pytest.mark.parametrize("huge", [1e30, 1.7e308])
@pytest.mark.parametrize("goals", [("loss:min",), ("loss:min", "macs:min"), ("loss:min", "other:min")])
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::sklearn.exceptions.ConvergenceWarning")
def test_constant_and_gigantic_values_end_no_search_and_mislead_none(goals, huge):
    for outcome in (lambda value: 0.3, lambda value: huge if value["norm0"] == "batch" else 1 - accuracy(value)):
        sampler = sampler_of(goals=goals)
        genomes = searched(
            sampler, lambda value, of=outcome: Outcome([of(value), macs(value)["macs"]][: len(goals)]), 24
        )
        assert len(set(genomes)) == 24

    late = [LAYERS.decode(genome) for genome in genomes[STARTUP:]]
    assert np.mean([value["norm0"] == "layer" for value in late]) > 0.7
