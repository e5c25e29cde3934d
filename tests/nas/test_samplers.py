"""What every sampler keeps to, whoever made it."""

import random
import subprocess
import sys
import time

import pytest

from nas import Space, int_range, of, one_of
from nas import search as whole_search
from nas.errors import InputError
from nas.mixers import ConvAttention, Pooling
from nas.objectives import limits_from, objectives_from
from nas.samplers import NAMES, Outcome, make_sampler

EVERY = [name for name in NAMES if name != "cmaes"]  # which is for spaces of numbers only
LEARNING = ["evolution", "tpe", "nsga2", "nsga3"]
COUNT = {"gp": 13}  # trials where each proposal takes a good part of a second


@pytest.fixture
def space():
    mixer = one_of(of(Pooling, size=one_of(3, 5, 7)), of(ConvAttention, kv_kernel=one_of(1, 3), kv_stride=one_of(1, 2)))
    return Space({"mixer": mixer, "depth": int_range(1, 6), "width": one_of(16, 32, 64)})


def score(space, genome):
    value = space.decode(genome)
    good = isinstance(value["mixer"], ConvAttention) and value["mixer"].kv_stride == 1
    return value["depth"] / 6 + value["width"] / 64 + good


def search(space, name, trials, seed=0, goals=("accuracy:max",)):
    sampler = make_sampler(name, space, objectives_from(list(goals)), seed)
    found = []
    for _ in range(trials):
        proposal = sampler.ask()
        genome = space.canonical(proposal.genome)
        handle = sampler.accept(proposal, genome)
        sampler.tell(handle, Outcome([score(space, genome)] * len(goals)))
        found.append((proposal.origin, score(space, genome)))
    return found


def mean_of_proposals(space, sampler, count=30):
    found = []
    for _ in range(count):
        proposal = sampler.ask()
        sampler.tell(sampler.accept(proposal, space.canonical(proposal.genome)), None)
        found.append(score(space, proposal.genome))
    return sum(found) / count


@pytest.mark.parametrize("name", LEARNING)
def test_a_sampler_that_learns_does_better_later_than_at_its_random_start(space, name):
    found = [search(space, name, 80, seed) for seed in range(3)]

    early = sum(value for run in found for _, value in run[:10])
    late = sum(value for run in found for _, value in run[-10:])

    assert late > early * 1.15


def test_proposals_say_whether_they_are_from_the_random_start(space):
    origins = [origin for origin, _ in search(space, "tpe", 14)]

    assert origins == ["random"] * 10 + ["tpe"] * 4
    assert {origin for origin, _ in search(space, "random", 14)} == {"random"}


@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "macs:min")])
@pytest.mark.parametrize("name", EVERY)
def test_rejected_failed_and_foreign_candidates_do_not_disturb_it(space, name, goals):
    sampler = make_sampler(name, space, objectives_from(list(goals)), 0)
    rng = random.Random(0)

    for step in range(22 if name == "gp" else 40):
        if step % 4 == 0:
            sampler.reject(sampler.ask())
        elif step % 4 == 1:
            sampler.tell(sampler.add(space.sample(rng)), Outcome([rng.random()] * len(goals)))
        elif step % 4 == 2:
            proposal = sampler.ask()
            sampler.tell(sampler.accept(proposal, space.canonical(proposal.genome)), None)
        else:
            proposal = sampler.ask()
            sampler.tell(sampler.accept(proposal, space.sample(rng)), Outcome([rng.random()] * len(goals)))

    genome = sampler.ask().genome
    assert len(genome) == len(space.genes)
    assert all(0 <= option < len(gene.options) for option, gene in zip(genome, space.genes, strict=True))


@pytest.mark.soak_when("gp-goals1")
@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "macs:min")])
@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_gives_the_same_proposals_and_another_seed_others(space, name, goals):
    runs = [[value for _, value in search(space, name, COUNT.get(name, 30), seed, goals)] for seed in (0, 0, 1)]

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_random_proposals_are_legal_canonical_and_of_every_option(space):
    sampler = make_sampler("random", space, objectives_from(["accuracy:max"]), 0)
    genomes = [sampler.ask().genome for _ in range(300)]

    assert all(space.contains(genome) and space.canonical(genome) == genome for genome in genomes)
    for index, gene in enumerate(space.genes):
        assert {genome[index] for genome in genomes} == set(range(len(gene.options)))


@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "macs:min")])
@pytest.mark.parametrize("name", LEARNING)
def test_what_was_loaded_is_learnt_from(space, name, goals):
    rng = random.Random(0)
    genomes = [space.sample(rng) for _ in range(60)]
    ended = [(genome, Outcome([score(space, genome), -score(space, genome)][: len(goals)])) for genome in genomes]
    sampler = make_sampler(name, space, objectives_from(list(goals)), 0)

    sampler.load([*ended, (genomes[0], None)])

    assert sampler.ask().origin == name
    assert mean_of_proposals(space, sampler) > 1.15 * sum(score(space, genome) for genome in genomes) / len(genomes)


@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "macs:min")])
@pytest.mark.parametrize("name", LEARNING)
def test_what_somebody_else_proposed_is_learnt_from(space, name, goals):
    rng = random.Random(0)
    genomes = [space.sample(rng) for _ in range(60)]
    sampler = make_sampler(name, space, objectives_from(list(goals)), 0)

    for genome in genomes:
        sampler.tell(sampler.add(genome), Outcome([score(space, genome), -score(space, genome)][: len(goals)]))

    assert mean_of_proposals(space, sampler) > 1.15 * sum(score(space, genome) for genome in genomes) / len(genomes)


def test_evolution_mutates_the_best_of_its_latest_results_and_members_of_the_front(space):
    one, two = (objectives_from(goals) for goals in (["accuracy:max"], ["accuracy:max", "macs:min"]))
    rng = random.Random(0)
    parent = space.sample(rng)
    others = [space.sample(rng) for _ in range(30)]
    changed = []
    for objectives in (one, two):
        sampler = make_sampler("evolution", space, objectives, 0)
        worst, best = (Outcome(values[: len(objectives)]) for values in ([-1.0, 9.0], [1.0, 0.0]))
        sampler.load([*((genome, worst) for genome in others), *((parent, best),) * 23])
        children = [sampler.ask() for _ in range(50)]
        assert {child.origin for child in children} == {"evolution"}
        changed.append([sum(a != b for a, b in zip(child.genome, parent, strict=True)) for child in children])

    assert all(sum(count <= 2 for count in counts) >= 20 for counts in changed)  # others switch genes on
    assert all(max(counts) >= 1 for counts in changed)


@pytest.mark.parametrize("name", EVERY)
def test_what_was_loaded_leaves_the_handles_of_what_runs_alone(space, name):
    rng = random.Random(0)
    sampler = make_sampler(name, space, objectives_from(["accuracy:max"]), 0)
    running = sampler.add(space.sample(rng))

    sampler.load([(space.sample(rng), Outcome([0.5])), (space.sample(rng), None)])
    other = sampler.add(space.sample(rng))
    proposal = sampler.ask()
    third = sampler.accept(proposal, space.canonical(proposal.genome))

    for handle, outcome in ((third, Outcome([0.1])), (running, None), (other, Outcome([0.2]))):
        sampler.tell(handle, outcome)


def test_a_large_study_is_loaded_within_seconds(space):
    rng = random.Random(0)
    ended = [(space.sample(rng), Outcome([rng.random()])) for _ in range(5000)]
    sampler = make_sampler("auto", space, objectives_from(["accuracy:max"]), 0)
    started = time.perf_counter()

    sampler.load(ended)

    assert time.perf_counter() - started < 5


def test_an_unknown_sampler_names_the_known_ones(space):
    with pytest.raises(
        InputError, match=r"unknown sampler 'tpee': did you mean tpe.*known: auto, evolution, tpe, nsga2, nsga3"
    ):
        make_sampler("tpee", space, objectives_from(["accuracy:max"]), 0)


def tight(value):
    """Over the limit by this: large networks are."""
    return value["depth"] / 6 + value["width"] / 64 - 1


@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "macs:min")])
@pytest.mark.parametrize("name", ["evolution", "tpe", "nsga2"])
def test_a_limit_on_what_is_measured_keeps_proposals_within_it(space, name, goals):
    """The score alone leads to the largest network, as it does without the limit."""
    rng, shares = random.Random(0), []
    genomes = [space.sample(rng) for _ in range(80)]
    for limits in (limits_from(["size<=1"]), ()):
        sampler = make_sampler(name, space, objectives_from(list(goals)), 0, metric_limits=limits)
        outcomes = [
            Outcome(
                [score(space, genome), -score(space, genome)][: len(goals)], [tight(space.decode(genome))] * len(limits)
            )
            for genome in genomes
        ]
        sampler.load(zip(genomes[:40], outcomes[:40], strict=True))
        for genome, outcome in zip(genomes[40:], outcomes[40:], strict=True):
            sampler.tell(sampler.add(genome), outcome)
        asked = [sampler.ask().genome for _ in range(40)]
        shares.append(sum(tight(space.decode(genome)) <= 0 for genome in asked) / len(asked))

    assert shares[0] > shares[1] + 0.15


def test_of_what_is_over_the_limits_evolution_prefers_the_least_over(space):
    rng = random.Random(0)
    near, others = space.sample(rng), [space.sample(rng) for _ in range(29)]
    sampler = make_sampler(
        "evolution", space, objectives_from(["a:max", "b:min"]), 0, metric_limits=limits_from(["x<=1", "y<=1000"])
    )

    sampler.load(
        [*((genome, Outcome([9.0, 0.0], [0.5, -1.0])) for genome in others), (near, Outcome([0.0, 9.0], [0.0, 100.0]))]
    )

    parents = [sampler._parent() for _ in range(60)]
    assert parents.count(near) == pytest.approx(60 * 8 / 30, abs=12), "whenever it is drawn into the tournament"


@pytest.mark.parametrize("name", EVERY)
def test_eight_different_candidates_are_soon_found_without_a_result_between_them(space, name):
    sampler = make_sampler(name, space, objectives_from(["accuracy:max"]), 0)
    rng = random.Random(0)
    for _ in range(20):
        genome = space.sample(rng)
        sampler.tell(sampler.add(genome), Outcome([score(space, genome)]))

    batch, asks = set(), 0
    while len(batch) < 8:
        asks += 1
        proposal = sampler.ask()
        genome = space.canonical(proposal.genome)
        if genome in batch:
            sampler.reject(proposal)
        else:
            sampler.accept(proposal, genome)
            batch.add(genome)

    assert asks <= 24


def evaluate(candidate, budget, report):
    a, b, c = (ord(letter) - ord("a") for letter in candidate.values())
    return {"accuracy": a + a * b - c, "macs": a + b + c}


@pytest.mark.parametrize("goals", [("accuracy:max",), ("accuracy:max", "macs:min")])
@pytest.mark.parametrize("name", EVERY)
def test_a_search_evaluates_every_candidate_of_a_small_space_once_and_then_says_so(name, goals):
    letters = "ab" if name == "gp" else "abc"
    space = Space({"one": one_of("a", "b", "c"), "two": one_of(*letters), "three": one_of(*letters)})

    result = whole_search(space, evaluate, objectives=goals, trials=40, sampler=name, storage=None, runner="inline")

    assert result.exhausted
    assert len({trial.genome for trial in result.trials}) == len(result.trials) == space.count().value


@pytest.mark.parametrize(
    ("name", "absent"),
    [("random", "optuna torch numpy"), ("evolution", "optuna torch numpy"), ("brute-force", "optuna torch numpy"),
     ("auto", "optuna torch"), ("qmc", "optuna torch"), ("tpe", "torch"), ("nsga3", "torch")],
)  # fmt: skip
def test_a_sampler_brings_only_the_packages_that_it_needs(name, absent):
    script = (
        "import sys; from nas import Space, one_of; from nas.objectives import objectives_from; "
        "from nas.samplers import Outcome, make_sampler; space = Space({'a': one_of(*range(30)), 'b': one_of(1, 2)}); "
        f"sampler = make_sampler({name!r}, space, objectives_from(['accuracy:max']), 0)\n"
        "for _ in range(12): proposal = sampler.ask(); genome = space.canonical(proposal.genome); "
        "sampler.tell(sampler.accept(proposal, genome), Outcome([1.0]))\n"
        f"print([package for package in {absent.split()!r} if package in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"
    assert found.stderr == ""


@pytest.mark.parametrize("name", [name for name in NAMES if name != "auto"])
def test_scores_that_a_sampler_would_not_look_at_are_refused(name, space):
    with pytest.raises(InputError, match=f"sampler {name}: only auto chooses by scores"):
        make_sampler(name, space, objectives_from(["accuracy:max"]), 0, scores=lambda _: {"s": 1.0})


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (lambda _: 1 / 0, "scores failed for .*: ZeroDivisionError: division by zero"),
        (lambda _: [1.0], "scores failed for .*: AttributeError"),
        (lambda _: {"s": "high"}, "scores failed for .*: ValueError"),
    ],
)
def test_scores_that_fail_or_are_no_numbers_end_the_search_with_one_line(space, scores, told):
    with pytest.raises(InputError, match=told):
        whole_search(
            space, lambda *_: {"accuracy": 0.5}, objectives=["accuracy:max"], scores=scores, trials=20,
            storage=None, runner="inline",
        )  # fmt: skip
