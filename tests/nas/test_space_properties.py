"""What holds of every space, tried on random templates; and the order of options, uniform draws and digests."""

import collections
import dataclasses
import os
import random
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nas import Space, int_range, of, one_of, repeat
from nas.errors import ArchitectureError, SpaceError
from nas.store.optuna_rows import distribution

FAST = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
FEW = 400  # candidates of a space that is listed


@dataclasses.dataclass(frozen=True)
class Box:
    inside: object
    label: str = "plain"


@dataclasses.dataclass(frozen=True)
class Even:
    number: int

    def __post_init__(self):
        if self.number % 2:
            raise ArchitectureError([("number", f"{self.number} is odd")])


SCALARS = st.sampled_from([-1, 0, 2, True, False, None, 0.5, 2.5, "a", "b", "relu"])
FLAT = st.builds(
    lambda options, ordered: one_of(*options, ordered=ordered),
    st.lists(SCALARS, min_size=2, max_size=3, unique_by=lambda value: (type(value), value)),
    st.sampled_from([None, True, False]),
)
RANGES = st.builds(lambda low, more, step: int_range(low, low + more * step, step), *[st.integers(1, 3)] * 3)


def named(bodies, ordered):
    # the tag keeps the options apart: a value then says which option it is of
    return one_of(**{f"n{index}": {"tag": index, "body": body} for index, body in enumerate(bodies)}, ordered=ordered)


def nested(inner):
    return st.one_of(
        st.dictionaries(st.sampled_from("pqr"), inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.builds(named, st.lists(inner, min_size=2, max_size=3), st.sampled_from([None, True])),
        inner.map(lambda body: of(Box, inside=body)),
        st.builds(lambda body, count: {"row": repeat(body, count)}, inner, st.sampled_from([2, int_range(1, 3)])),
        st.builds(lambda body, count: repeat(of(Box, inside=body), count), inner, st.sampled_from([1, one_of(1, 3)])),
    )


TEMPLATES = st.recursive(SCALARS | FLAT | RANGES, nested, max_leaves=6).map(
    lambda top: {"top": top, "switch": one_of("off", "on")}
)
SEEDS = st.integers(0, 2**32)


def listed(template):
    space = Space(template)
    assume(space.root.count <= FEW)
    return space, list(space)


# -- random templates ----------------------------------------------------------------------------------------------------


@FAST
@given(template=TEMPLATES)
def test_the_count_is_that_of_the_genomes_of_their_values_and_of_their_params(template):
    space, genomes = listed(template)

    values = {repr(space.decode(genome)) for genome in genomes}
    params = {repr(space.params(genome)) for genome in genomes}

    assert space.count().exact
    assert space.count().value == len(genomes) == len(set(genomes)) == len(values) == len(params)


@FAST
@given(template=TEMPLATES)
def test_every_genome_listed_is_canonical_and_round_trips(template):
    space, genomes = listed(template)

    assert [space.canonical(genome) for genome in genomes] == genomes
    assert [space.encode(space.decode(genome)) for genome in genomes] == genomes
    assert [space.genome(space.params(genome)) for genome in genomes] == genomes


@FAST
@given(template=TEMPLATES, seed=SEEDS)
def test_what_is_drawn_moved_or_crossed_is_among_the_candidates(template, seed):
    (space, genomes), rng = listed(template), random.Random(seed)
    everything = set(genomes)

    for _ in range(10):
        first, second = space.sample(rng), space.uniform(rng)
        assert {first, second, space.mutate(first, rng), space.crossover(first, second, rng)} <= everything


@FAST
@given(template=TEMPLATES, seed=SEEDS)
def test_a_child_has_each_gene_that_it_uses_from_a_parent_that_uses_it(template, seed):
    space, rng = Space(template), random.Random(seed)
    parents = [space.sample(rng), space.sample(rng)]

    for _ in range(5):
        child = space.params(space.crossover(*parents, rng))
        for path, label in child.items():
            given_by = [space.params(parent)[path] for parent in parents if path in space.params(parent)]
            assert repr(label) in map(repr, given_by)


@FAST
@given(template=TEMPLATES)
def test_neighbours_are_one_step_away_and_lead_everywhere(template):
    space, genomes = listed(template)
    reached, waiting = {genomes[0]}, [genomes[0]]

    while waiting:
        here = waiting.pop()
        near = list(space.neighbours(here))
        assert len(set(near)) == len(near)
        assert here not in near
        for there in near:
            moved = [
                index
                for index, both in enumerate(zip(space.active(here), space.active(there), strict=True))
                if all(both) and here[index] != there[index]
            ]
            assert len(moved) == 1
            assert not space.genes[moved[0]].ordered or abs(here[moved[0]] - there[moved[0]]) == 1
        waiting += [there for there in near if there not in reached]
        reached.update(near)

    assert reached == set(genomes)


@FAST
@given(template=TEMPLATES, seed=SEEDS)
def test_a_genome_outside_the_space_is_refused_by_every_reader_of_genomes(template, seed):
    space, rng = Space(template), random.Random(seed)
    genome, index = space.sample(rng), rng.randrange(len(space))
    beyond = list(genome)
    beyond[index] = rng.choice([-1, len(space.genes[index].options)])

    for wrong in (beyond, genome[1:], (*genome, 0)):
        assert not space.contains(wrong)
        for reader in (space.decode, space.canonical, space.params, lambda it: space.mutate(it, rng)):
            with pytest.raises(SpaceError):
                reader(wrong)
        with pytest.raises(SpaceError):
            space.crossover(genome, wrong, rng)


@FAST
@given(template=TEMPLATES)
def test_the_digest_is_that_of_an_equal_template_and_of_no_other(template):
    digest = Space(template).digest

    assert Space(dict(template)).digest == digest
    assert Space(template | {"switch": one_of("on", "off")}).digest != digest
    assert Space(template | {"switch": one_of("off", "on", ordered=True)}).digest != digest


# -- order ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "ordered"),
    [
        (one_of(1, 2, 4), True),
        (one_of(4, 2, 1), False),
        (one_of("none", "small", "large"), False),
        (one_of(True, False), False),
        (one_of("none", "small", "large", ordered=True), True),
        (one_of(4, 2, 1, ordered=True), True),
        (one_of(small=[1], large=[2], ordered=True), True),
        (one_of(1, 2, 4, ordered=False), False),
    ],
)
def test_rising_numbers_are_in_an_order_unless_the_author_says_otherwise(choice, ordered):
    space = Space({"a": choice})

    assert space.genes[0].ordered is ordered
    assert space.genes[0].options == choice.labels
    assert [space.genome(space.params(genome)) for genome in space] == list(space)


@pytest.mark.parametrize("option", [[1], "yes", 1, of(Box, inside=1)])
def test_an_option_called_ordered_is_refused(option):
    with pytest.raises(SpaceError, match=r"^one_of\(ordered=.*\): True, False or None says .* needs another one$"):
        one_of(ordered=option, other=2)


def test_only_an_order_that_the_options_do_not_have_by_themselves_changes_the_digest():
    numbers, words = (1, 2, 4), ("none", "small", "large")

    told = [
        Space(one_of(*options, ordered=order)).digest for options in (numbers, words) for order in (None, True, False)
    ]

    assert told[0] == told[1] != told[2]
    assert told[3] == told[5] != told[4]


def test_a_digest_is_what_it_was_before_choices_had_an_order():
    space = Space({"a": one_of(1, 2), "b": one_of("x", one={"c": int_range(1, 3)})})

    assert space.digest == "e5a726ae04a61bb0ff8b7c0339563df2"


def test_neighbours_in_an_ordered_gene_are_the_options_beside():
    space = Space({"size": one_of("none", "small", "medium", "large", ordered=True), "kind": one_of("a", "b", "c")})

    near = set(space.neighbours((1, 0)))

    assert near == {(0, 0), (2, 0), (1, 1), (1, 2)}
    assert set(space.neighbours((3, 2))) == {(2, 2), (3, 0), (3, 1)}


def test_mutants_step_in_an_ordered_gene_more_often_than_they_jump_and_reach_every_option():
    rng = random.Random(0)
    ordered, named_ = Space(one_of(*range(9))), Space(one_of(*range(9), ordered=False))

    moves = [collections.Counter(space.mutate((4,), rng)[0] for _ in range(4000)) for space in (ordered, named_)]

    for counts in moves:
        assert set(counts) == set(range(9)) - {4}
    assert moves[0][3] + moves[0][5] == pytest.approx(4000 * (1 / 2 + 1 / 8), rel=0.05)
    assert moves[1][3] + moves[1][5] == pytest.approx(4000 / 4, rel=0.1)


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        (one_of(2, 4, 6), "IntDistribution"),
        (one_of(6, 4, 2, ordered=True), "CategoricalDistribution"),
        (one_of(False, True, ordered=True), "CategoricalDistribution"),
        (one_of("none", "small", ordered=True), "CategoricalDistribution"),
        (one_of(2, 4, 6, ordered=False), "CategoricalDistribution"),
    ],
)
def test_every_option_of_an_ordered_choice_shows_in_sql_as_its_label(choice, kind):
    gene = Space({"a": choice}).genes[0]

    column = distribution(gene)

    assert type(column).__name__ == kind
    assert all(column._contains(column.to_internal_repr(label)) for label in gene.options)


# -- uniform draws -------------------------------------------------------------------------------------------------------

CROWDED = {
    "mixer": one_of(
        rich={"a": one_of(1, 2, 3), "b": one_of(*"xyz"), "c": one_of(deep={"d": int_range(1, 4)}, none="none")},
        poor={"e": one_of(1, 2)},
        none="none",
    ),
    "flag": one_of(True, False),
}  # (3 * 3 * 5 + 2 + 1) * 2 = 96


def chi_square(space, drawn):
    counts, expected = collections.Counter(drawn), len(drawn) / space.count().value
    assert set(counts) <= set(space)
    return sum((counts[genome] - expected) ** 2 / expected for genome in space)


@pytest.mark.parametrize("odd", [False, True])
def test_uniform_draws_take_every_legal_candidate_alike(odd):
    space = Space({"net": CROWDED, "even": of(Even, number=one_of(0, 1, 2, 3, 4))} if odd else CROWDED)
    rng, freedom = random.Random(0), space.count().value - 1

    uniform = chi_square(space, [space.uniform(rng) for _ in range(9600)])
    sampled = chi_square(space, [space.sample(rng) for _ in range(9600)])

    assert freedom + 1 == 96 * (3 if odd else 1)
    assert abs(uniform - freedom) < 4 * (2 * freedom) ** 0.5
    assert sampled > 10 * freedom


def test_a_class_that_refuses_values_makes_the_count_of_a_large_space_an_estimate():
    space = Space({f"g{index}": of(Even, number=one_of(0, 1, 2, 3)) for index in range(8)})

    assert not space.count().exact
    assert space.count().value == pytest.approx(2**8, rel=0.9)


# -- repetitions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inner", [repeat(one_of("a", "b"), one_of(1, 3)), of(Box, inside=repeat(of(Box, inside="a"), one_of(1, 3)))]
)
def test_a_repetition_of_repetitions_has_a_depth_for_each(inner):
    space = Space({"rows": repeat(inner, int_range(1, 3)), "end": one_of("x", "y")})

    assert [gene.path for gene in space.genes if "depth" in gene.path] == ["rows.depth", "rows.depth_2"]
    assert [space.encode(space.decode(genome)) for genome in space] == list(space)


# -- digests and values --------------------------------------------------------------------------------------------------

TOLD = """
from functools import partial
from nas import Space, one_of
class Plain: pass
def layer(): pass
print(Space({"a": one_of(1, 2), "b": {"f": layer, "p": partial(layer, 1), "o": Plain(), "s": frozenset("abcdef")}}).digest)
"""


def test_a_digest_is_the_same_in_every_process():
    told = [
        subprocess.run(
            [sys.executable, "-c", TOLD],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert told[0] == told[1]
    assert len(told[0].strip()) == 32


def test_items_that_differ_in_type_only_are_no_repetition():
    space = Space({"row": repeat(one_of(1, 2), int_range(1, 3))})

    with pytest.raises(SpaceError, match="the items differ"):
        space.encode({"row": (1, True)})


def test_true_is_not_one_inside_a_value_of_a_class():
    space = Space(one_of(yes=Box(inside=True), one=Box(inside=1)))

    assert [space.encode(Box(inside=value)) for value in (True, 1)] == [(0,), (1,)]
