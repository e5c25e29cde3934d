"""A narrowed space is the whole one with less in it: same paths, same labels, same networks; and samplers take it."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import search_spaces
from nas import Space, int_range, of, one_of, repeat, search
from nas.errors import InputError, NasError, SpaceError
from nas.mixers import ConvAttention, Pooling
from nas.narrow import carried, narrowed, settled
from nas.replicates import replicated
from nas.samplers import NAMES

WHOLES = {
    (name, resolution): search_spaces.get(name, resolution)
    for name, resolution in [
        ("metaformer", 28), ("metaformer", 224), ("cvt", 28), ("cvt", 224), ("cvt13-nas", 224), ("isotropic", 28),
        ("isotropic", 224),
    ]
}  # fmt: skip
MIXERS = {
    "mixer": one_of(of(Pooling, size=one_of(3, 5, 7)), of(Pooling, size=one_of(9, 11)), of(ConvAttention, kv_stride=one_of(1, 2))),
    "depth": int_range(1, 6),
    "order": one_of(4, 2, 1),
    "odd": one_of(True, 1, "1"),
}  # fmt: skip


def some_of(space, rng):
    return {gene.path: rng.sample(gene.options, rng.randint(1, len(gene.options))) for gene in space.genes}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(whole=st.sampled_from(list(WHOLES)), seed=st.integers(0, 2**32))
def test_a_candidate_is_the_same_network_in_both_spaces_under_the_same_names(whole, seed):
    space, rng = WHOLES[whole], random.Random(seed)
    kept = some_of(space, rng)
    narrow = narrowed(space, kept)

    for _ in range(10):
        genome = narrow.sample(rng)
        params = narrow.params(genome)
        same = space.genome(params)
        assert space.params(same) == params
        assert space.decode(same) == narrow.decode(genome)
        assert narrow.encode(space.decode(same)) == genome
        assert carried(genome, narrow, space) == same
        assert carried(same, space, narrow) == genome
        assert all(label in kept[path] for path, label in params.items())


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_it_holds_all_candidates_that_take_kept_options_and_counts_them(seed):
    space, rng = Space(MIXERS), random.Random(seed)
    kept = some_of(space, rng)
    narrow = narrowed(space, kept)
    alike = {path: [(type(label), label) for label in labels] for path, labels in kept.items()}

    held = [
        genome for genome in space
        if all((type(label), label) in alike[path] for path, label in space.params(genome).items())
    ]  # fmt: skip

    assert narrow.count().value == len(list(narrow)) == len(held)
    assert [carried(genome, narrow, space) for genome in narrow] == held
    assert all(carried(genome, space, narrow) is None for genome in set(space) - set(held))


def test_paths_labels_and_order_stay_also_where_they_were_numbered_or_one_is_left():
    narrow = narrowed(Space(MIXERS), {"mixer": ["pooling_2", "conv_attention"], "order": [4], "depth": [6, 2]})

    genes = {gene.path: gene for gene in narrow.genes}
    assert {path: gene.options for path, gene in genes.items()} == {
        "mixer": ("pooling_2", "conv_attention"), "mixer.pooling_2.size": (9, 11), "mixer.conv_attention.kv_stride": (1, 2),
        "depth": (2, 6), "order": (4,), "odd": (True, 1, "1"),
    }  # fmt: skip
    assert (genes["depth"].ordered, genes["order"].ordered) == (True, False)
    assert genes["mixer.conv_attention.kv_stride"].when == 1
    assert settled(narrow) == (genes["order"],)


def test_depths_keep_their_numbers_when_the_first_is_settled():
    rows = Space({"rows": repeat(repeat(one_of("a", "b"), one_of(1, 3)), int_range(1, 3))})

    narrow = narrowed(rows, {"rows.depth": [2]})

    assert [gene.path for gene in narrow.genes] == [gene.path for gene in rows.genes]
    assert [gene.options for gene in narrow.genes] == [(2,), (1, 3), ("a", "b")]


def test_narrowing_twice_is_narrowing_once_and_narrowing_to_all_is_the_space_itself():
    space = Space(MIXERS)
    once = narrowed(space, {"depth": [1, 2], "odd": [1]})
    twice = narrowed(narrowed(space, {"depth": [1, 2, 3], "odd": [1]}), {"depth": [1, 2]})

    assert once.digest == twice.digest
    assert once.genes == twice.genes
    assert narrowed(space, {"depth": range(1, 7)}) is space


def test_its_digest_is_its_own_and_that_of_a_template_with_the_same_choices():
    space = Space({"a": one_of(1, 2, 4), "b": one_of("x", "y")})

    assert narrowed(space, {"a": [1, 2]}).digest == Space({"a": one_of(1, 2), "b": one_of("x", "y")}).digest
    assert narrowed(space, {"a": [1]}).digest not in {space.digest, Space({"a": 1, "b": one_of("x", "y")}).digest}


@pytest.mark.parametrize("template", [MIXERS, one_of(1, 2, 3), one_of(a=one_of("x", "y"), b="z")])
def test_its_networks_can_be_trained_again(template):
    space = Space(template)
    rng = random.Random(3)
    narrow = narrowed(space, some_of(space, rng))
    again = replicated(narrow)

    assert again.count().value == 500 * narrow.count().value
    assert [gene.options for gene in again.genes[:-1]] == [gene.options for gene in narrow.genes]


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ({"dept": [1]}, "unknown gene 'dept': did you mean depth"),
        ({"depth": [1, 9]}, r"^depth: 9 is no option; known: 1, 2, 3, 4, 5, 6$"),
        ({"odd": [False]}, "^odd: False is no option; known: True, 1, '1'$"),
        ({"depth": []}, "^depth: none of its options is kept; at least one is needed$"),
    ],
)
def test_what_the_space_does_not_have_is_refused(kept, told):
    with pytest.raises(InputError, match=told):
        narrowed(Space(MIXERS), kept)


def test_a_space_with_one_candidate_has_no_mutant():
    narrow = narrowed(Space({"a": one_of(1, 2), "b": one_of("x", "y")}), {"a": [2], "b": ["x"]})

    assert list(narrow) == [narrow.sample(random.Random(0))]
    with pytest.raises(SpaceError, match="no gene of it has a second option"):
        narrow.mutate((0, 0), random.Random(0))


def share(candidate, budget, report):
    return {"accuracy": candidate["depth"] / 6}


def size(candidate):
    return {"params": 10.0 * candidate["depth"] + candidate["order"]}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cmaes"])  # which is for spaces of numbers only
def test_every_sampler_searches_a_narrowed_space_with_settled_genes(name):
    narrow = narrowed(Space(MIXERS), {"order": [4], "depth": [2, 3, 5], "mixer": ["pooling"]})

    found = search(
        narrow, share, objectives=["accuracy:max"], costs=size, constraints=["params<=100"], trials=14, sampler=name,
        runner="inline", storage=None,
    )  # fmt: skip

    assert len(found.trials) == 14
    assert {trial.candidate["order"] for trial in found.trials} == {4}
    assert {trial.candidate["depth"] for trial in found.trials} <= {2, 3, 5}


def test_where_hardly_any_candidate_keeps_the_limits_settled_genes_stay():
    space = Space({f"g{index}": int_range(0, 9) for index in range(12)})
    narrow = narrowed(space, {"g0": [5], "g7": [0]})

    found = search(
        narrow, lambda candidate, budget, report: {"accuracy": 1.0 / (1 + candidate["g1"])}, objectives=["accuracy:max"],
        costs=lambda candidate: {"params": float(sum(candidate.values()) + 1)}, constraints=["params<=16"], trials=10,
        sampler="random", runner="inline", storage=None,
    )  # fmt: skip

    assert len(found.trials) == 10
    assert {(trial.candidate["g0"], trial.candidate["g7"]) for trial in found.trials} == {(5, 0)}


def test_carrying_a_foreign_genome_says_so():
    with pytest.raises(NasError, match="a genome of this space has 7 genes, not 1"):
        carried((0,), Space(MIXERS), Space(MIXERS))
