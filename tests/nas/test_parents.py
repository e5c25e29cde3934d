"""Whose weights a candidate begins with: the nearest trained one that is still kept."""

import random

import pytest

import search_spaces
from nas.jobs import Budget
from nas.parents import Parents, differing
from nas.trial import State, Trial


@pytest.fixture
def parents(layers):
    return Parents(layers, wanted=True)


def trained(space, folder, number, genome, stop=9):
    """A complete trial whose checkpoint is there."""
    place = folder / str(number)
    place.mkdir()
    (place / "state.pt").write_bytes(b"weights")
    return Trial(
        number=number, genome=genome, candidate=space.decode(genome), digest=str(number), state=State.COMPLETE,
        origin="random", attempt=1, metrics={}, budget=Budget(0, stop, 0, "cpu", str(place)),
    )  # fmt: skip


def loss(value):
    return 0.0, (value,)


def test_genes_that_only_one_candidate_has_differ_too():
    assert differing({"a": 1, "b": "x"}, {"a": 1, "b": "x"}) == 0
    assert differing({"a": 1, "b": "x"}, {"a": 2, "b": "x"}) == 1
    assert differing({"a": 1, "b": "x"}, {"a": 2, "c": "x"}) == 3


def test_the_fewest_differing_genes_win_over_a_longer_training_and_a_better_one(layers, parents, tmp_path):
    parents.take(trained(layers, tmp_path, 0, (0, 0, 1, 1), stop=27), loss(0.0))
    parents.take(trained(layers, tmp_path, 1, (0, 0, 0, 1), stop=1), loss(0.9))

    assert parents.nearest((0, 0, 0, 0)) == 1


def test_of_several_as_near_the_longest_trained_is_taken_then_the_best_then_the_first(layers, parents, tmp_path):
    parents.take(trained(layers, tmp_path, 0, (0, 0, 0, 1), stop=3), loss(0.1))
    parents.take(trained(layers, tmp_path, 1, (0, 0, 1, 0), stop=9), loss(0.5))
    assert parents.nearest((0, 0, 0, 0)) == 1

    parents.take(trained(layers, tmp_path, 2, (0, 1, 0, 0), stop=9), loss(0.4))
    assert parents.nearest((0, 0, 0, 0)) == 2

    parents.take(trained(layers, tmp_path, 3, (1, 0, 0, 0), stop=9), loss(0.4))
    assert parents.nearest((0, 0, 0, 0)) == 2


def test_one_whose_checkpoint_is_gone_or_that_failed_gives_nothing(layers, parents, tmp_path):
    near, far = trained(layers, tmp_path, 0, (0, 0, 0, 1)), trained(layers, tmp_path, 1, (0, 1, 1, 1))
    parents.take(near, loss(0.0))
    parents.take(far, loss(0.0))

    (tmp_path / "0" / "state.pt").unlink()
    assert parents.nearest((0, 0, 0, 0)) == 1

    parents.forget(1)
    assert parents.nearest((0, 0, 0, 0)) is None


def test_without_being_wanted_there_is_no_parent(layers, tmp_path):
    parents = Parents(layers, wanted=False)
    parents.take(trained(layers, tmp_path, 0, (0, 0, 0, 1)), loss(0.0))

    assert parents.nearest((0, 0, 0, 0)) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_mutants_parent_is_as_near_as_any(tmp_path, seed):
    space, rng = search_spaces.get("metaformer", 8), random.Random(seed)
    parents = Parents(space, wanted=True)
    genomes = list(dict.fromkeys(space.sample(rng) for _ in range(20)))
    for number, genome in enumerate(genomes):
        parents.take(trained(space, tmp_path, number, genome), loss(0.0))

    child = space.mutate(genomes[seed], rng)

    nearest = space.params(genomes[parents.nearest(child)])
    distances = [differing(space.params(genome), space.params(child)) for genome in genomes]
    assert differing(nearest, space.params(child)) == min(distances) <= distances[seed]
