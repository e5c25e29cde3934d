"""Drawing from spaces, and how many candidates they have."""

import collections
import random

import pytest
from small_spaces import CONDITIONAL, Net, small

from nas import Space, of, one_of
from nas.architecture import Embedding
from nas.errors import SpaceError
from nas.mixers import Attention


@pytest.mark.parametrize("name", ["conditional", "repeated"])
def test_samples_take_every_option_of_a_choice_alike_where_the_choice_is_made(name):
    space, rng, draws = small(name), random.Random(7), 12_000

    genomes = [space.sample(rng) for _ in range(draws)]

    assert set(genomes) == set(space)
    for index, gene in enumerate(space.genes):
        taken = collections.Counter(genome[index] for genome in genomes if space.active(genome)[index])
        expected, freedom = sum(taken.values()) / len(gene.options), len(gene.options) - 1
        chi_square = sum((taken[option] - expected) ** 2 / expected for option in range(len(gene.options)))
        assert chi_square - freedom < 5 * (2 * freedom) ** 0.5, gene.path


def test_samples_reach_every_legal_candidate():
    space, rng = small("legal"), random.Random(7)

    assert {space.sample(rng) for _ in range(6_000)} == set(space)


def test_an_option_without_settings_is_not_crowded_out_by_one_with_many():
    space = Space(one_of(none="plain", rich={f"part{index}": one_of(*range(10)) for index in range(4)}))
    rng = random.Random(0)

    plain = sum(space.decode(space.sample(rng)) == "plain" for _ in range(1000))

    assert 430 < plain < 570


def test_the_authors_word_that_all_is_legal_makes_the_count_exact():
    template = of(Attention, head_width=one_of(8, 16), qkv_bias=one_of(True, False), reduction=one_of(*range(1, 31)))
    rich = {f"part{index}": template for index in range(4)}

    told, untold = Space(rich, legal=True).count(), Space(rich).count()

    assert (told.value, told.exact) == (120**4, True)
    assert (untold.value, untold.exact) == (120**4, False)


def test_samples_of_one_seed_are_the_same():
    space = Space(CONDITIONAL)

    first, second = ([space.sample(random.Random(seed)) for seed in range(50)] for _ in range(2))

    assert first == second
    assert len(set(first)) > 20


def test_mutants_reach_every_option_of_a_gene_that_they_switch_on():
    space, rng = Space(CONDITIONAL), random.Random(3)
    genome = space.encode({"mixer": "none", "depth": 1, "flag": True})

    sizes = collections.Counter(space.params(space.mutate(genome, rng)).get("mixer.pool.size") for _ in range(600))

    assert sizes[3] > 20
    assert sizes[5] > 20


def test_a_sample_of_a_space_without_a_legal_candidate_is_refused():
    space = Space(of(Attention, head_width=one_of(0, -1)))

    with pytest.raises(SpaceError, match=r"^none of 2000 candidates drawn from this space is legal$"):
        space.sample(random.Random(0))


def test_a_mutation_without_a_legal_neighbour_is_refused():
    space = Space(of(Attention, head_width=one_of(8, 0)))

    with pytest.raises(SpaceError, match=r"^this candidate has no legal neighbour$"):
        space.mutate((0,), random.Random(0))


def test_a_cross_without_a_legal_child_is_the_first_parent():
    space = Space(of(Embedding, kernel=one_of(4, 0), stride=one_of(4, 0)))

    child = space.crossover((0, 1), (1, 0), random.Random(1))

    assert child in {(0, 0), (0, 1)}


def test_a_large_space_is_estimated_within_a_tenth():
    widths = {f"w{index}": one_of(8, 12, 16) for index in range(9)}
    space = Space(
        of(
            Net,
            width=1,
            mixer=one_of(**{f"m{i}": of(Attention, head_width=one_of(0, 8)) for i in range(4)}),
            tags=widths,
        )
    )

    count = space.count()

    assert not count.exact
    assert str(count).startswith("about ")
    assert abs(count.value / (4 * 3**9) - 1) < 0.1


def test_a_count_reads_well():
    space = Space({f"g{index}": one_of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9) for index in range(12)})

    texts = [str(space.count()), str(Space({"a": one_of(*range(1500))}).count())]

    assert texts == ["1.00e+12", "1,500"]
