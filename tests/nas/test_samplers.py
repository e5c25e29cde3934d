"""Optuna's samplers over our genome."""

import random

import pytest

from nas import Space, int_range, of, one_of
from nas.errors import InputError
from nas.mixers import ConvAttention, Pooling
from nas.objectives import objectives_from
from nas.samplers import make_sampler


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
        sampler.tell(handle, [score(space, genome)] * len(goals))
        found.append((proposal.origin, score(space, genome)))
    return found


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
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
@pytest.mark.parametrize("name", ["auto", "tpe", "nsga2", "random"])
def test_rejected_failed_and_foreign_candidates_do_not_disturb_it(space, name, goals):
    sampler = make_sampler(name, space, objectives_from(list(goals)), 0)
    rng = random.Random(0)

    for step in range(40):
        if step % 4 == 0:
            sampler.reject(sampler.ask())
        elif step % 4 == 1:
            sampler.tell(sampler.add(space.sample(rng)), [rng.random()] * len(goals))
        elif step % 4 == 2:
            proposal = sampler.ask()
            sampler.tell(sampler.accept(proposal, space.canonical(proposal.genome)), None)
        else:
            proposal = sampler.ask()
            sampler.tell(sampler.accept(proposal, space.sample(rng)), [rng.random()] * len(goals))

    genome = sampler.ask().genome
    assert len(genome) == len(space.genes)
    assert all(0 <= option < len(gene.options) for option, gene in zip(genome, space.genes, strict=True))


def test_an_unknown_sampler_names_the_known_ones(space):
    with pytest.raises(InputError, match=r"unknown sampler 'tpee': did you mean tpe.*known: auto, tpe, nsga2, random"):
        make_sampler("tpee", space, objectives_from(["accuracy:max"]), 0)
