"""The hypervolume against counting, sampling and known values."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.hypervolume import covering, hypervolume, scaled


def counted(points, side):
    """Unit cells of a cube that a point with whole coordinates dominates."""
    cells = itertools.product(range(side), repeat=len(points[0]))
    return sum(any(all(x <= c for x, c in zip(point, cell, strict=True)) for point in points) for cell in cells)


def on_a_sphere(count, dimensions, seed):
    """Points none of which dominates another."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        values = [abs(rng.gauss(0, 1)) for _ in range(dimensions)]
        size = math.sqrt(sum(value * value for value in values))
        found.append([1 - value / size for value in values])
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[st.integers(0, 6)] * n), min_size=1, max_size=12)))
def test_it_is_the_number_of_unit_cells_that_points_with_whole_coordinates_dominate(points):
    assert hypervolume(points, [5] * len(points[0])) == pytest.approx(counted(points, 5))


@pytest.mark.parametrize("dimensions", [2, 3, 5])
def test_it_is_the_share_of_random_points_that_are_dominated(dimensions):
    points, rng, hits, draws = on_a_sphere(30, dimensions, 1), random.Random(2), 0, 10_000
    for _ in range(draws):
        drawn = [rng.random() for _ in range(dimensions)]
        hits += any(all(x <= d for x, d in zip(point, drawn, strict=True)) for point in points)

    volume = hypervolume(points, [1.0] * dimensions)

    deviation = math.sqrt(volume * (1 - volume) / draws)
    assert abs(hits / draws - volume) < 4 * deviation


@pytest.mark.parametrize(
    ("points", "reference", "volume"),
    [
        ([], [1.0, 1.0], 0.0),
        ([[3.0], [1.0], [2.0]], [5.0], 4.0),
        ([[0.0, 0.0]], [2.0, 3.0], 6.0),
        ([[0.0, 1.0], [1.0, 0.0]], [2.0, 2.0], 3.0),
        ([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], [2.0, 2.0, 2.0], 7.0),
        ([[1.0, 1.0, 1.0, 1.0], [0.0, 1.5, 1.5, 1.5]], [2.0, 2.0, 2.0, 2.0], 1.125),
    ],
)
def test_known_values(points, reference, volume):
    assert hypervolume(points, reference) == pytest.approx(volume)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_dominated_equal_and_far_points_change_nothing(dimensions):
    points = on_a_sphere(8, dimensions, 3)
    worse = [[value + 0.01 for value in points[0]]]
    beyond = [[-1.0] * (dimensions - 1) + [1.0]]

    before = hypervolume(points, [1.0] * dimensions)

    assert hypervolume([*worse, *points, points[1], *beyond], [1.0] * dimensions) == pytest.approx(before)


POINTS = [(0.1, 0.9), (0.3, 0.6), (0.32, 0.59), (0.7, 0.2), (0.3, 0.6), (0.8, 0.95)]


def test_points_that_cover_add_most_first_and_none_adds_nothing():
    assert covering(POINTS, (1, 1), 1) == [1]
    assert covering(POINTS, (1, 1), 3) == [1, 3, 0]
    assert covering(POINTS, (1, 1), 9) == [1, 3, 0, 2]
    assert covering(POINTS, (1, 1), 3, begun=[5, 0]) == [5, 0, 2]
    assert covering(POINTS, (1, 1), 1, begun=[5, 0]) == [5]
    assert covering([], (1, 1), 3) == covering(POINTS, (1, 1), 0) == covering(POINTS, (0, 0), 3) == []


@pytest.mark.parametrize("seed", range(5))
def test_points_that_cover_have_63_percent_of_the_best_choice_at_least(seed):
    rng = random.Random(seed)
    points = [(rng.random(), rng.random(), rng.random()) for _ in range(9)]
    best = max(hypervolume(some, (1, 1, 1)) for some in itertools.combinations(points, 3))

    found = hypervolume([points[index] for index in covering(points, (1, 1, 1), 3)], (1, 1, 1))

    assert (1 - 1 / math.e) * best <= found <= best


def test_scaled_values_are_0_to_1_among_everybody_and_0_where_all_are_alike():
    assert scaled([(2, 7, -1), (6, 7, -3)], [(2, 7, -1), (4, 7, -2), (6, 7, -3)]) == [[0, 0, 1], [1, 0, 0]]
    assert scaled([(8, 9)], [(2, 7), (6, 7)]) == [[1.5, 2]]
