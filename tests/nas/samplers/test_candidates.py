"""The reserve: what may be in it, and what is never in it."""

import dataclasses
import random

import numpy as np
import pytest
from evaluations import macs

from nas import Space, int_range, of, one_of
from nas.errors import ArchitectureError
from nas.feasible import Pricing
from nas.objectives import limits_from
from nas.samplers.candidates import KEPT, MOST, Candidates

LAYERS = Space({f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(10)})


@dataclasses.dataclass(frozen=True)
class Even:
    """Legal only where the sum is even."""

    first: int
    second: int

    def __post_init__(self):
        if (self.first + self.second) % 2:
            raise ArchitectureError([("first", "odd")])


def make(space=LAYERS, costs=macs, limits=(), seed=0):
    return Candidates(Pricing(space, costs, limits_from(list(limits))), random.Random(seed))


def test_what_was_seen_is_illegal_or_over_a_limit_never_comes_in():
    space = Space({"pair": of(Even, first=int_range(1, 6), second=int_range(1, 6)), "depth": int_range(1, 4)})
    candidates = make(space, lambda value: {"size": value["depth"] * value["pair"].first}, ["size<=12"])
    candidates.survey()
    gone = list(candidates.reserve)[:10]
    for genome in gone:
        candidates.saw(genome)

    candidates.grow([*gone, (0, 1, 0), (5, 5, 3)])
    candidates.grow_anywhere(300)

    found = list(candidates.reserve.values())
    assert not set(gone) & set(candidates.reserve)
    assert len(found) == sum((a + b) % 2 == 0 and a * d <= 12 for a in range(1, 7) for b in range(1, 7)
                             for d in range(1, 5)) - 10  # fmt: skip
    assert all(space.contains(each.genome) and each.costs["size"] <= 12 for each in found)


def test_genomes_of_one_network_are_one_candidate():
    space = Space({"mixer": one_of(pool={"size": one_of(3, 5, 7)}, none="none"), "depth": int_range(1, 2)})
    candidates = make(space, None)

    candidates.grow([(1, 0, 0), (1, 1, 0), (1, 2, 0)])
    candidates.saw((1, 0, 0))
    candidates.grow([(1, 2, 0)])

    assert not candidates.reserve


def test_a_full_reserve_is_cut_to_the_first_named():
    candidates = make(Space({f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(14)}))
    candidates.grow_anywhere(MOST)
    before = list(candidates.reserve)
    candidates.cut(before[::-1])
    assert list(candidates.reserve) == before, "it is not full yet"

    candidates.grow_anywhere(300)
    order = list(candidates.reserve)[::-1]
    candidates.cut(order)

    assert list(candidates.reserve) == order[:KEPT]


def test_tight_limits_leave_a_reserve_to_choose_from():
    space = Space({f"layer{index}": one_of("conv5", "conv3", "skip") for index in range(14)})
    candidates = make(space, macs, ["macs<=9"])
    rng = random.Random(1)
    assert sum(macs(space.decode(space.sample(rng)))["macs"] <= 9 for _ in range(5000)) <= 2

    candidates.survey()

    assert len(candidates.reserve) >= 20
    assert all(each.costs["macs"] <= 9 for each in candidates.reserve.values())


def test_children_are_legal_and_near_their_parents():
    candidates, parent = make(), LAYERS.sample(random.Random(0))

    children = [candidates.child([parent]) for _ in range(200)]

    changes = [sum(a != b for a, b in zip(child, parent, strict=True)) for child in children]
    assert all(LAYERS.contains(child) for child in children)
    assert set(changes) <= {0, 1, 2, 3, 4}
    assert np.mean([count == 1 for count in changes]) > 0.4
    assert np.mean([count >= 2 for count in changes]) > 0.15


def test_costs_are_known_by_candidate_and_rows_hold_them_on_a_scale_that_every_run_shares():
    one, other = make(seed=0), make(seed=1)
    genomes = [LAYERS.sample(random.Random(seed)) for seed in range(50)]

    found = one.of(genomes)

    costs = np.array([each.row[one.columns.counts : one.columns.costs] for each in found])
    assert [each.costs for each in found] == [macs(LAYERS.decode(genome)) for genome in genomes]
    assert costs.shape[1] == 1
    assert abs(costs.mean()) < 0.5
    assert 0.5 < costs.std() < 2
    assert [each.row[-1] for each in found] == [1.0] * 50
    assert (np.array([each.row for each in found]) == [each.row for each in other.of(genomes)]).all()


@pytest.mark.parametrize(
    "costs",
    [
        lambda value: {"x": 0.0},
        lambda value: {"x": -5.0 * (value["layer0"] == "skip")},
        lambda value: {"x": 7.0, "y": 3.3e9, "z": 1e-12},
        lambda value: {"x": 0.1 + (list(value.values()) == ["conv5"] * 10), "y": len(str(value))},
        None,
    ],
    ids=["zero", "negative", "constant", "almost constant", "none"],
)
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::sklearn.exceptions.ConvergenceWarning")
def test_costs_that_are_zero_negative_constant_or_absent_leave_rows_of_a_sensible_size(costs):
    candidates = make(costs=costs)
    genomes = [*(LAYERS.sample(random.Random(seed)) for seed in range(30)), LAYERS.encode(
        {f"layer{index}": "conv5" for index in range(10)})]  # fmt: skip

    rows = np.array([each.row for each in candidates.of(genomes)])

    assert np.isfinite(rows).all()
    assert np.abs(rows).max() < 100
    assert rows.shape[1] == candidates.columns.costs + 1
