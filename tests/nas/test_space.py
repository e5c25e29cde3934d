"""Spaces: genomes and values, counting, drawing and moving, on small spaces whose every candidate can be listed."""

import collections
import dataclasses
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas import Space, int_range, of, one_of, repeat
from nas.architecture import Architecture, Block, Embedding, Stage
from nas.errors import ArchitectureError, SpaceError
from nas.mixers import Attention, ConvAttention, Pooling

FAST = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@dataclasses.dataclass(frozen=True)
class Net:
    width: int
    mixer: object = "none"
    tags: tuple = ()


@dataclasses.dataclass
class Labelled:
    width: int
    tags: list = dataclasses.field(default_factory=list)


CONDITIONAL = {
    "mixer": one_of(
        attention={"heads": one_of(1, 2, 4), "kind": one_of("plain", conv={"kernel": one_of(1, 3, 5)})},
        pool={"size": one_of(3, 5)},
        none="none",
    ),
    "depth": int_range(1, 3),
    "flag": one_of(True, False),
}  # (3 * (1 + 3) + 2 + 1) * 3 * 2 = 90 candidates
REPEATED = {
    "blocks": repeat({"ratio": one_of(1, 2), "size": one_of(3, 5, 7)}, int_range(1, 4)),
    "scale": one_of(0.5, 1.0),
}  # 48
TUPLES = (one_of(1, 2), [one_of("a", "b"), 3], {"x": one_of(None, "y", 2.5)})  # 12
VALUES = of(Net, width=one_of(8, 16, 32), mixer=one_of(of(Net, width=one_of(1, 2)), "none"))  # 9
LEGAL = of(
    Architecture,
    resolution=8,
    stages=(
        of(
            Stage,
            embedding=of(Embedding, kernel=one_of(1, 3, 9), stride=one_of(1, 2)),
            width=one_of(8, 12, 16),
            blocks=repeat(
                of(
                    Block,
                    mixer=one_of(of(Attention, head_width=one_of(4, 8)), of(ConvAttention, head_width=8), of(Pooling)),
                ),
                int_range(1, 2),
            ),
        ),
    ),
)  # 3 * 2 * 3 * 4 * 2 = 144 combinations; kernel 9 does not fit, head 8 does not divide 12
SMALL = {
    "conditional": (CONDITIONAL, 90),
    "repeated": (REPEATED, 48),
    "tuples": (TUPLES, 12),
    "values": (VALUES, 9),
    "legal": (LEGAL, 80),
}


def small(name):
    return Space(SMALL[name][0])


@st.composite
def templates(draw, depth=2):
    """Random nested templates with at least one choice and few candidates."""
    scalars = st.one_of(
        st.integers(-3, 3), st.booleans(), st.sampled_from(["a", "b", "relu"]), st.none(), st.sampled_from([0.5, 2.5])
    )

    def node(level, name):
        kinds = ["scalar", "choice"] if level == 0 else ["scalar", "choice", "dict", "tuple", "list", "named", "repeat"]
        kind = draw(st.sampled_from(kinds))
        if kind == "scalar":
            return draw(scalars)
        if kind == "choice":
            options = draw(st.lists(scalars, min_size=2, max_size=3, unique_by=lambda value: (type(value), value)))
            return one_of(*options)
        if kind == "dict":
            return {
                key: node(level - 1, f"{name}{key}")
                for key in draw(st.sets(st.sampled_from("pqr"), min_size=1, max_size=2))
            }
        if kind in ("tuple", "list"):
            items = [node(level - 1, f"{name}{index}") for index in range(draw(st.integers(1, 2)))]
            return tuple(items) if kind == "tuple" else items
        if kind == "repeat":
            return {
                "row": repeat(
                    {"item": node(level - 1, name)}, draw(st.sampled_from([2, int_range(1, 3), one_of(1, 3)]))
                )
            }
        # "tag" keeps the options apart: a value then says which option it is of
        return one_of(**{key: {"tag": key, "body": node(level - 1, f"{name}{key}")} for key in ("left", "right")})

    return {"top": node(depth, ""), "switch": one_of("off", "on")}


# -- genomes and values --------------------------------------------------------------------------------------------------


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


# -- drawing -------------------------------------------------------------------------------------------------------------


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


# -- digests -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_equal_spaces_have_equal_digests(name):
    first, second = small(name), small(name)

    digests = {first.digest, second.digest}

    assert len(digests) == 1
    assert len(first.digest) == 32


def test_different_spaces_have_different_digests():
    templates_of = [
        {"a": one_of(1, 2)},
        {"a": one_of(2, 1)},
        {"a": one_of(1, 3)},
        {"a": one_of(1, 2, 3)},
        {"b": one_of(1, 2)},
        {"a": one_of("1", "2")},
        {"a": one_of(1.0, 2.0)},
        {"a": one_of(True, 2)},
        {"a": one_of(one=1, two=2)},
        {"a": one_of(1, 2), "b": 0},
        {"a": one_of(1, 2), "b": 1},
        {"a": one_of(1, 2), "b": True},
        {"a": [one_of(1, 2)]},
        {"a": (one_of(1, 2),)},
        [one_of(1, 2)],
        (one_of(1, 2),),
        one_of(1, 2),
        repeat("x", one_of(1, 2)),
        repeat("y", one_of(1, 2)),
        of(Net, width=one_of(1, 2)),
        of(Attention, head_width=one_of(1, 2)),
        {"a": one_of(1, 2), "m": Attention(head_width=8)},
        {"a": one_of(1, 2), "m": Attention(head_width=16)},
        *(template for template, _ in SMALL.values()),
    ]

    digests = [Space(template).digest for template in templates_of]

    assert len(set(digests)) == len(digests)


# -- what is refused -----------------------------------------------------------------------------------------------------


def test_two_genes_of_one_name_are_refused():
    template = {"a.b": one_of(1, 2), "a": {"b": one_of(3, 4)}}

    with pytest.raises(SpaceError, match=r"^two genes are called 'a\.b': name the options, as in one_of\(small="):
        Space(template)


@pytest.mark.parametrize(
    "template", [{}, [], {"a": 1, "b": (2, 3)}, 5, None, {"a": one_of(1)}, of(Net, width=3), repeat(1, 3)]
)
def test_a_space_without_a_choice_is_refused(template):
    maker = Space

    with pytest.raises(SpaceError, match=r"^this space has no choice: use one_of\(\.\.\.\) or int_range"):
        maker(template)


@pytest.mark.parametrize("options", [(1, 1), ("a", "b", "a"), (None, None), (True, True), (0.5, 2, 0.5)])
def test_the_same_option_twice_is_refused(options):
    twice = max(options, key=options.count)

    with pytest.raises(SpaceError, match=rf"^one_of\(\) has the option {twice!r} twice$"):
        one_of(*options)


def test_the_same_value_under_two_made_names_is_refused():
    options = (Attention(head_width=8), Attention(head_width=8))

    with pytest.raises(SpaceError, match="twice"):
        Space({"mixer": one_of(*options)})


def test_a_choice_of_nothing_is_refused():
    maker = one_of

    with pytest.raises(SpaceError, match=r"^one_of\(\) has no options$"):
        maker()


@pytest.mark.parametrize("bounds", [(3, 2), (1, 4, 0), (1, 4, -1)])
def test_an_empty_range_is_refused(bounds):
    maker = int_range

    with pytest.raises(SpaceError, match=r"^int_range\(.*\) is empty: low <= high and step >= 1 must hold$"):
        maker(*bounds)


def test_a_range_has_both_ends_where_the_step_meets_them():
    options = [int_range(1, 4).options, int_range(2, 9, 3).options, int_range(5, 5).options]

    lengths = [len(option) for option in options]

    assert options == [(1, 2, 3, 4), (2, 5, 8), (5,)]
    assert lengths == [4, 3, 1]


def test_an_unknown_field_is_refused_with_the_known_ones():
    cls = Attention

    with pytest.raises(
        SpaceError, match=r"^of\(Attention\): unknown field 'heads'; known: head_width, qkv_bias, out_bias, reduction$"
    ):
        of(cls, heads=one_of(1, 2))


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "3", one_of(0, 1), one_of(1, "2")])
def test_a_count_that_is_no_positive_whole_number_is_refused(count):
    template = repeat(one_of(1, 2), count)

    with pytest.raises(
        SpaceError, match=r"^repeat\(\): a count of \[.*\] is not one or more whole numbers of at least 1$"
    ):
        Space(template)


def test_options_of_one_class_get_names_of_their_own():
    choice = one_of(
        of(Attention, head_width=8), Pooling(), of(Attention, head_width=one_of(16, 32)), Attention(), "attention_9"
    )

    labels = choice.labels

    assert labels == ("attention", "pooling", "attention_2", "attention_3", "attention_9")


def test_a_string_option_that_looks_like_a_made_name_is_no_second_option():
    options = ("list_2", [1], [2])

    choice = one_of(*options)

    assert len(set(choice.labels)) == 3


def test_parts_that_cannot_be_changed_are_built_once_and_lists_and_dicts_for_every_candidate():
    space = Space({"mixer": of(Pooling, size=one_of(3, 5)), "tags": [one_of("a", "b")], "width": int_range(1, 3)})
    one, other, third = (space.decode(genome) for genome in ((1, 0, 0), (1, 0, 2), (0, 0, 0)))

    assert one["mixer"] is other["mixer"]
    assert (one["mixer"].size, third["mixer"].size) == (5, 3)
    one["tags"].append("changed")
    assert other["tags"] == ["a"]
    assert space.decode((1, 0, 0)) == {"mixer": Pooling(size=5), "tags": ["a"], "width": 1}


def test_more_parts_than_are_remembered_are_still_built_right(monkeypatch):
    monkeypatch.setattr("nas.nodes.KEPT", 3)
    space = Space(of(Pooling, size=one_of(3, 5, 7, 9, 11, 13)))

    assert [space.decode((option,)).size for option in (0, 1, 2, 3, 4, 5, 0, 3)] == [3, 5, 7, 9, 11, 13, 3, 9]
