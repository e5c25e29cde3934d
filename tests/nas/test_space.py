"""Spaces: genomes and values, and the moves between them, on small spaces whose every candidate can be listed."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_spaces import CONDITIONAL, LEGAL, REPEATED, SMALL, Labelled, small, templates

from nas import Space, int_range, of, one_of, repeat
from nas.errors import ArchitectureError, SpaceError

FAST = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", SMALL)
def test_every_candidate_of_a_small_space_is_listed_once_and_counted_exactly(name):
    space, expected = small(name), SMALL[name][1]

    listed = list(space)

    assert len(listed) == len(set(listed)) == expected
    assert space.count().value == expected
    assert space.count().exact
    assert len({repr(space.decode(genome)) for genome in listed}) == expected


@pytest.mark.parametrize("name", SMALL)
def test_decode_and_encode_are_inverse(name):
    space = small(name)

    again = [space.encode(space.decode(genome)) for genome in space]

    assert again == list(space)


@pytest.mark.parametrize("name", SMALL)
def test_params_and_genome_are_inverse(name):
    space = small(name)

    again = [space.genome(space.params(genome)) for genome in space]

    assert again == list(space)


@FAST
@given(template=templates(), seed=st.integers(0, 2**32))
def test_any_template_round_trips_and_counts_what_it_lists(template, seed):
    space, rng = Space(template), random.Random(seed)

    drawn = [space.sample(rng) for _ in range(5)]

    for genome in drawn:
        value = space.decode(genome)
        assert space.canonical(genome) == genome
        assert space.encode(value) == genome
        assert repr(space.decode(space.encode(value))) == repr(value)
        assert space.genome(space.params(genome)) == genome
        assert space.contains(genome)
    if space.count().value <= 2000:
        assert len(set(space)) == space.count().value
        assert set(drawn) <= set(space)


@FAST
@given(template=templates(), seed=st.integers(0, 2**32))
def test_any_genome_in_range_has_one_canonical_form_of_equal_value_and_identity(template, seed):
    space, rng = Space(template), random.Random(seed)
    genome = tuple(rng.randrange(len(gene.options)) for gene in space.genes)

    canonical = space.canonical(genome)

    assert space.canonical(canonical) == canonical
    assert repr(space.decode(canonical)) == repr(space.decode(genome))
    assert space.params(canonical) == space.params(genome)
    assert space.identity(space.decode(canonical)) == space.identity(space.decode(genome))


@FAST
@given(template=templates(), seed=st.integers(0, 2**32))
def test_mutants_differ_in_the_gene_moved_and_what_it_switches_and_stay_in_the_space(template, seed):
    space, rng = Space(template), random.Random(seed)
    genome = space.sample(rng)

    mutants = [space.mutate(genome, rng) for _ in range(10)]

    for mutant in mutants:
        before, after = space.params(genome), space.params(mutant)
        shared = [path for path in before if path in after]
        assert space.contains(mutant)
        assert mutant == space.canonical(mutant)
        assert sum(repr(before[path]) != repr(after[path]) for path in shared) == 1


@FAST
@given(template=templates(), seed=st.integers(0, 2**32))
def test_a_cross_of_two_parents_takes_each_gene_from_one_of_them(template, seed):
    space, rng = Space(template), random.Random(seed)
    first, second = space.sample(rng), space.sample(rng)

    child = space.crossover(first, second, rng)

    assert space.contains(child)
    assert child == space.canonical(child)
    for option, used, pair in zip(child, space.active(child), zip(first, second, strict=True), strict=True):
        assert option in pair or not used


@pytest.mark.parametrize("name", SMALL)
def test_neighbours_are_the_legal_candidates_one_gene_away_each_once(name):
    space = small(name)
    everything = set(space)

    for genome in everything:
        near = list(space.neighbours(genome))

        params = space.params(genome)
        assert len(set(near)) == len(near)
        assert genome not in near
        assert set(near) <= everything
        for other in near:
            theirs = space.params(other)
            assert sum(repr(params[path]) != repr(theirs[path]) for path in params if path in theirs) == 1


def test_neighbours_of_a_flat_space_are_all_at_distance_one():
    space = Space({"a": one_of(1, 2, 3), "b": one_of("x", "y")})

    near = set(space.neighbours((1, 0)))

    assert near == {(0, 0), (2, 0), (1, 1)}


def test_gene_paths_name_the_place_and_options_of_a_choice():
    space = Space(CONDITIONAL)

    options = {gene.path: gene.options for gene in space.genes}

    assert options == {
        "mixer": ("attention", "pool", "none"),
        "mixer.attention.heads": (1, 2, 4),
        "mixer.attention.kind": ("plain", "conv"),
        "mixer.attention.kind.conv.kernel": (1, 3, 5),
        "mixer.pool.size": (3, 5),
        "depth": (1, 2, 3),
        "flag": (True, False),
    }
    assert {gene.path for gene in space.genes if gene.ordered} == {
        "mixer.attention.heads",
        "mixer.attention.kind.conv.kernel",
        "mixer.pool.size",
        "depth",
    }


def test_params_show_active_genes_only():
    space = Space(CONDITIONAL)
    value = {"mixer": {"size": 5}, "depth": 2, "flag": False}

    params = space.params(space.encode(value))

    assert params == {"mixer": "pool", "mixer.pool.size": 5, "depth": 2, "flag": False}


def test_repeated_items_are_equal_and_as_many_as_the_depth_says():
    space = Space(REPEATED)
    genome = space.genome({"blocks.depth": 3, "blocks.ratio": 2, "blocks.size": 7, "scale": 0.5})

    value = space.decode(genome)

    assert value == {"blocks": ({"ratio": 2, "size": 7},) * 3, "scale": 0.5}


def test_two_repeated_parts_side_by_side_each_have_a_depth_of_their_own():
    template = {"encoder": repeat("block", int_range(1, 3)), "decoder": repeat("block", int_range(1, 2))}

    space = Space(template)

    assert space.count().value == len(set(space)) == 6
    assert space.decode(space.encode({"encoder": ("block",) * 3, "decoder": ("block",)})) == {
        "encoder": ("block",) * 3,
        "decoder": ("block",),
    }


def test_candidates_whose_inactive_genes_differ_are_identical():
    space = Space(CONDITIONAL)
    first, second = (2, 0, 0, 0, 0, 1, 1), (2, 2, 1, 2, 1, 1, 1)

    identities = {space.identity(space.decode(genome)) for genome in (first, second)}

    assert len(identities) == 1
    assert space.canonical(second) == first
    assert space.active(second) == [True, False, False, False, False, True, True]


@pytest.mark.parametrize("name", SMALL)
def test_different_candidates_have_different_identities(name):
    space = small(name)

    identities = [space.identity(space.decode(genome)) for genome in space]

    assert len(set(identities)) == len(identities)


def test_the_identity_of_an_architecture_is_its_digest():
    space = Space(LEGAL)
    architecture = space.decode(next(iter(space)))

    identity = space.identity(architecture)

    assert identity == architecture.digest


def test_true_is_not_one():
    space = Space({"a": one_of(True, 1, False, 0)})
    values = [{"a": value} for value in (True, 1, False, 0)]

    genomes = [space.encode(value) for value in values]

    assert genomes == [(0,), (1,), (2,), (3,)]
    assert [space.genome(value) for value in values] == genomes
    assert len({space.identity(value) for value in values}) == 4
    assert [type(space.decode(genome)["a"]) for genome in genomes] == [bool, int, bool, int]


def test_true_is_not_one_in_a_part_without_choices():
    space = Space({"a": one_of(yes=[True], one=[1])})

    genomes = [space.encode({"a": value}) for value in ([True], [1])]

    assert genomes == [(0,), (1,)]


def test_a_whole_and_a_real_option_of_equal_value_are_told_apart_or_refused():
    try:
        space = Space({"a": one_of(1, 1.0)})
    except SpaceError:
        return

    again = [space.genome(space.params(genome)) for genome in space]

    assert again == [(0,), (1,)]
    assert [space.encode(space.decode(genome)) for genome in space] == again


def test_a_constant_is_part_of_what_encode_compares():
    space = Space({"a": one_of(1, 2), "b": "fixed"})

    with pytest.raises(SpaceError, match=r"not in the space: b: 'other' is not 'fixed'"):
        space.encode({"a": 1, "b": "other"})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"mixer": "none", "depth": 4, "flag": True}, r"depth: 4 is none of 1, 2, 3"),
        ({"mixer": {"size": 4}, "depth": 1, "flag": True}, r"mixer\.size: 4 is none of 3, 5"),
        ({"mixer": "none", "depth": 1}, r"value: flag is on one side only"),
        ({"mixer": "none", "depth": 1, "flag": True, "x": 1}, r"value: x is on one side only"),
        ({"mixer": "none", "depth": True, "flag": True}, r"depth: True is none of 1, 2, 3"),
        ([], r"value: list is not dict"),
    ],
)
def test_a_value_outside_the_space_is_refused_with_the_place(value, message):
    space = Space(CONDITIONAL)

    with pytest.raises(SpaceError, match=rf"^not in the space: {message}$"):
        space.encode(value)


def test_blocks_that_differ_are_not_in_a_space_that_repeats_one():
    space = Space(REPEATED)
    value = {"blocks": ({"ratio": 1, "size": 3}, {"ratio": 2, "size": 3}), "scale": 0.5}

    with pytest.raises(SpaceError, match=r"^not in the space: blocks: the items differ, and this space repeats one$"):
        space.encode(value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mixer": "none", "depth": 1}, "the gene 'flag' has no value"),
        ({"mixer": "none", "depth": 1, "flag": True, "width": 3}, "no gene is called 'width'"),
        ({"mixer": "rnn", "depth": 1, "flag": True}, "mixer: 'rnn' is no option; known: 'attention', 'pool', 'none'"),
        ({"mixer": "none", "depth": 1, "flag": 1}, "flag: 1 is no option; known: True, False"),
    ],
)
def test_params_that_make_no_candidate_are_refused_with_the_gene(params, message):
    space = Space(CONDITIONAL)

    with pytest.raises(SpaceError, match=f"^{message}$"):
        space.genome(params)


@pytest.mark.parametrize(
    ("genome", "message"),
    [
        ((0, 0, 0), "a genome of this space has 2 genes, not 3"),
        ((0,), "not 1"),
        ((0, 3), r"b: option 3 of 2"),
        ((-1, 0), r"a: option -1 of 3"),
    ],
)
def test_a_genome_of_another_length_or_range_is_refused(genome, message):
    space = Space({"a": one_of(1, 2, 3), "b": one_of("x", "y")})

    with pytest.raises(SpaceError, match=message):
        space.decode(genome)


def test_an_illegal_combination_is_in_no_list_and_no_sample():
    space = Space(LEGAL)
    illegal = space.genome(
        {
            "stages.0.embedding.kernel": 9,
            "stages.0.embedding.stride": 1,
            "stages.0.width": 8,
            "stages.0.mixer": "pooling",
            "stages.0.depth": 1,
        }
    )

    with pytest.raises(ArchitectureError, match=r"stages\[0\]\.embedding\.kernel: 9 does not fit the 8x8 map"):
        space.decode(illegal)

    assert not space.contains(illegal)
    assert illegal not in set(space)


def test_a_decoded_value_that_its_user_changes_leaves_the_space_as_it_was():
    space = Space({"a": one_of(1, 2), "fixed": {"layers": [8, 16]}})
    before, digest = repr(space.decode((0,))), space.digest

    space.decode((1,))["fixed"]["layers"].append(32)

    assert repr(space.decode((0,))) == before
    assert Space(space.template).digest == digest


def test_a_class_with_a_default_factory_round_trips():
    space = Space(of(Labelled, width=one_of(8, 16)))

    genome = space.encode(space.decode((1,)))

    assert genome == (1,)
