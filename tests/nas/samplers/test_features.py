"""Genomes as rows."""

import random

import numpy as np
import pytest

from nas import Space, int_range, of, one_of
from nas.mixers import ConvAttention, Pooling
from nas.samplers.features import Encoder

MIXER = one_of(of(Pooling, size=one_of(3, 5, 7)), of(ConvAttention, kv_kernel=one_of(1, 3), kv_stride=one_of(1, 2)))
SPACES = {
    "flat": {f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(5)},
    "numbers": {"depth": int_range(1, 6), "width": one_of(16, 32, 64), "rate": one_of(0.1, 0.5)},
    "mixed": {"bias": one_of(True, False), "norm": one_of(None, "layer"), "again": one_of(True, False), "x": one_of(1, 0)},
    "conditional": {"first": MIXER, "second": MIXER, "depth": int_range(1, 4)},
    "nested": {
        "a": one_of(on={"kind": one_of("plain", deep={"size": int_range(1, 3), "flag": one_of(True, None)})}, off="none"),
        "b": int_range(1, 2),
    },
    "one gene": {"only": one_of("a", "b", "c")},
}  # fmt: skip


@pytest.fixture(params=SPACES)
def space(request):
    return Space(SPACES[request.param])


def plain_row(space, genome):
    """Gene by gene, in words."""
    flags, genes, kinds = space.active(genome), [], {}
    for index, gene in enumerate(space.genes):
        height = 0.5 if gene.ordered else 0.5**0.5
        genes += [height if flags[index] and genome[index] == option else 0.0 for option in range(len(gene.options))]
        if gene.ordered:
            genes.append(genome[index] / (len(gene.options) - 1) if flags[index] else 0.0)
        kinds.setdefault(repr(gene.options), []).append(index)
    counts = []
    for indices in (indices for indices in kinds.values() if len(indices) > 1):
        counts += [
            sum(flags[index] and genome[index] == option for index in indices) / len(indices)
            for option in range(len(space.genes[indices[0]].options))
        ]
    return [value / len(space.genes) ** 0.5 for value in genes] + counts


def test_rows_of_many_are_those_of_a_plain_loop(space):
    rng = random.Random(0)
    genomes = [space.sample(rng) for _ in range(60)]

    rows = Encoder(space).rows(genomes)

    assert rows.shape[0] == 60
    assert rows == pytest.approx(np.array([plain_row(space, genome) for genome in genomes]))


def test_equal_networks_have_equal_rows_and_others_other_ones(space):
    encoder, rng = Encoder(space), random.Random(0)
    genomes = list({space.sample(rng) for _ in range(100)})

    rows, filled = encoder.rows(genomes), encoder.rows([space.fill(genome, rng) for genome in genomes])

    assert (rows == filled).all()
    assert len({row.tobytes() for row in rows}) == len(genomes)


def test_genes_that_are_not_used_are_zeros():
    space = Space(SPACES["nested"])
    encoder = Encoder(space)
    off = encoder.rows([space.encode({"a": "none", "b": 1})])[0]
    on = encoder.rows([space.encode({"a": {"kind": {"size": 3, "flag": None}}, "b": 1})])[0]

    assert (np.count_nonzero(off), np.count_nonzero(on)) == (2, 6)


def test_neighbours_of_an_ordered_gene_are_nearer_than_its_ends_and_other_options_are_all_alike():
    space = Space({"depth": int_range(1, 5), "kind": one_of("a", "b", "c")})
    rows = Encoder(space).rows([(0, 0), (1, 0), (4, 0), (0, 1), (0, 2)])
    first, step, end, other, another = rows

    apart = [np.linalg.norm(first - row) for row in (step, end, other, another)]

    assert apart[0] < apart[1]
    assert apart[2] == apart[3] == pytest.approx(1 / 2**0.5)


def test_counts_say_how_often_an_option_is_taken_by_genes_of_one_kind():
    space = Space({**SPACES["flat"], "other": one_of("x", "y")})
    encoder = Encoder(space)

    rows = encoder.rows([(0, 0, 0, 1, 2, 0), (2, 0, 1, 0, 0, 1)])

    assert rows[:, encoder.width :] == pytest.approx(np.array([[0.6, 0.2, 0.2]] * 2))
