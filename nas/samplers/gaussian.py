"""A Gaussian process over candidates: two kinds of distance, of genes and of costs, each with one length scale.

With one length scale a gene, some dozens of results would not tell dozens of scales apart, and the search for them
takes seconds. Posterior and marginal likelihood as in Rasmussen and Williams, "Gaussian Processes for Machine Learning"
(2006), algorithm 2.1; the kernel is Matérn 5/2 (their equation 4.17) over the joint distance.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

START = np.log([0.5, 1.0, 0.05])  # length of the genes, of the costs, share of noise
LOW, HIGH = np.log([0.05, 0.05, 1e-4]), np.log([5.0, 20.0, 2.0])
SPREAD = np.array([0.7, 1.0, 1.5])  # of the prior over their logarithms
STEPS = 60  # evaluations of the likelihood in one fit


@dataclasses.dataclass(frozen=True)
class Points:
    """Candidates as numbers: genes (n, g) and costs (n, c), both scaled to about 1."""

    genes: Array
    costs: Array

    def __len__(self) -> int:
        return len(self.genes)

    def squares(self, other: Points) -> tuple[Array, Array]:
        """Squared distances to other points, of genes and of costs: two arrays (n, m)."""
        return _squares(self.genes, other.genes), _squares(self.costs, other.costs)


def _squares(a: Array, b: Array) -> Array:
    found = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
    return np.asarray(np.maximum(found, 0.0))


class GaussianProcess:
    """Fitted to values (n,); see `predict`."""

    def __init__(self, points: Points, values: Array, scales: Array | None = None) -> None:
        """`scales` are those of an earlier fit, to be kept; None searches for them."""
        self._points = points
        self._mean, self._std = float(values.mean()), float(values.std()) or 1.0
        self._values = (values - self._mean) / self._std
        self._squares = points.squares(points)
        self.scales = self._fitted() if scales is None else scales
        self._solve(self.scales)

    def predict(self, points: Points) -> tuple[Array, Array]:
        """Mean and standard deviation (m,) of what a training of these would give, without its noise."""
        cross = _matern(*points.squares(self._points), self.scales)
        mean = cross @ self._weights
        solved = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
        variance = np.maximum(1.0 - (solved * solved).sum(0), 1e-9) * self._amplitude
        return self._mean + self._std * mean, self._std * np.sqrt(variance)

    def _fitted(self) -> Array:
        found = minimize(
            self._loss,
            START,
            method="Nelder-Mead",
            options={"maxfev": STEPS, "initial_simplex": START + np.vstack([np.zeros(3), np.diag([0.8, 1.0, 1.5])])},
        )
        return np.asarray(np.clip(found.x, LOW, HIGH))

    def _loss(self, scales: Array) -> float:
        """Minus the logarithm of likelihood times prior, the amplitude at its best."""
        if not self._solve(np.clip(scales, LOW, HIGH)):
            return 1e9
        count = len(self._values)
        likelihood = 0.5 * count * np.log(self._amplitude) + np.log(np.diag(self._factor)).sum()
        prior = 0.5 * (((scales - START) / SPREAD) ** 2).sum()
        return float(likelihood + prior)

    def _solve(self, scales: Array) -> bool:
        noise = np.exp(scales[2]) + 1e-6
        kernel = _matern(*self._squares, scales)
        kernel[np.diag_indices_from(kernel)] += noise
        try:
            self._factor = cholesky(kernel, lower=True, check_finite=False)
        except LinAlgError:
            return False
        self._weights = cho_solve((self._factor, True), self._values, check_finite=False)
        self._amplitude = max(float(self._values @ self._weights) / len(self._values), 1e-6)
        return True


def _matern(genes: Array, costs: Array, scales: Array) -> Array:
    distance = np.sqrt(5.0 * (genes / np.exp(2 * scales[0]) + costs / np.exp(2 * scales[1])))
    return np.asarray((1.0 + distance + distance * distance / 3.0) * np.exp(-distance))
