"""What a candidate is expected to add to the best so far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from nas.objectives import front

Array = NDArray[np.float64]

WEIGHTS = 256  # directions from the reference point, for three and more


def expected_improvement(best: float, mean: Array, std: Array) -> Array:
    """Of a loss below `best` (Jones et al., "Efficient Global Optimization", 1998, equation 15): (m,)."""
    scaled = (best - mean) / std
    density = np.exp(-0.5 * scaled * scaled) / np.sqrt(2 * np.pi)
    return np.asarray((best - mean) * ndtr(scaled) + std * density)


def expected_hypervolume_gain(losses: Array, reference: Array, draws: Array) -> Array:
    """Expected growth of the volume that `losses` (n, k) dominate below `reference` (k,), for candidates (m,).

    `draws` (d, m, k) are equally likely outcomes of the candidates. Two objectives: the area itself. More: the mean
    over directions of what is gained along each (Deng and Zhang, "Approximating Hypervolume and Hypervolume
    Contributions Using Polar Coordinate", 2019).
    """
    inside = losses[(losses < reference).all(1)]
    inside = inside[front(inside.tolist())] if len(inside) else inside
    columns = draws.shape[2]
    if columns == 2:
        return np.asarray(np.mean([_area(inside, reference, draw) for draw in draws], axis=0))
    directions = np.abs(np.random.default_rng(0).standard_normal((WEIGHTS, columns)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    held = _along(inside, reference, directions).max(0) if len(inside) else np.zeros(WEIGHTS)
    gains = [
        (np.maximum(_along(draw, reference, directions), held) ** columns - held**columns).mean(1) for draw in draws
    ]
    return np.asarray(np.mean(gains, axis=0))


def _area(inside: Array, reference: Array, points: Array) -> Array:
    """What each of `points` (m, 2) adds to the area between the front `inside` and the reference point: (m,)."""
    order = inside[np.argsort(inside[:, 0])] if len(inside) else inside
    left = np.concatenate([[-np.inf], order[:, 0]])
    right = np.concatenate([order[:, 0], [reference[0]]])
    height = np.concatenate([[reference[1]], order[:, 1]])
    width = np.maximum(0.0, np.minimum(right[None], reference[0]) - np.maximum(left[None], points[:, :1]))
    return np.asarray((width * np.maximum(0.0, height[None] - points[:, 1:])).sum(1))


def _along(points: Array, reference: Array, directions: Array) -> Array:
    """How far each direction runs from the reference point within what a point dominates: (points, directions)."""
    room = np.maximum(0.0, reference - points)
    return np.asarray((room[:, None, :] / np.maximum(directions[None], 1e-9)).min(2))
