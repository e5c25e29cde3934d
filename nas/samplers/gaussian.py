"""A Gaussian process over candidates, with few length scales: of all genes, of the counts, of the costs.

With one length scale a gene, some dozens of results would not tell dozens of scales apart, and the search for them
takes seconds. The process is scikit-learn's; the kernel and the prior of its scales are here.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from nas.samplers.features import Array

# logarithms of amplitude, lengths of genes, counts, costs and fidelity, share of noise: where they are expected
NAMES = ("amplitude", "genes", "counts", "costs", "fidelity", "noise")
EXPECTED = np.log([1.0, 0.5, 0.5, 1.0, 1.0, 0.05])
SPREAD = np.array([1.0, 0.7, 0.7, 0.7, 0.7, 1.5])
BOUNDS = np.log([(0.05, 20.0), (0.05, 5.0), (0.05, 5.0), (0.05, 20.0), (0.1, 20.0), (1e-4, 2.0)])
WEIGHTS = np.array([1.0, 1.0, 0.5]) / 2.5  # of genes with counts, counts alone, costs alone
STEPS = 25  # of the search for the scales


@dataclasses.dataclass(frozen=True)
class Columns:
    """Where genes, counts and costs end in a row; after them comes the fidelity."""

    genes: int
    counts: int
    costs: int


class CandidateKernel(Kernel):  # type: ignore[misc]  # scikit-learn has no types
    """Sum of Matérn 5/2 kernels over genes and counts, over counts, and over costs, times one over the fidelity.

    Each is equation 4.17 of Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006). The sum lets what
    an option does in general be learnt from few results, and leaves room for how genes work together.
    """

    def __init__(self, columns: Columns, scales: tuple[float, ...] = tuple(EXPECTED)) -> None:
        self.columns, self.scales = columns, scales

    @property
    def hyperparameters(self) -> list[Any]:
        """One: all logarithms together."""
        return [Hyperparameter("scales", "numeric", np.exp(BOUNDS), len(NAMES))]

    @property
    def theta(self) -> Array:
        """The logarithms."""
        return np.array(self.scales)

    @theta.setter
    def theta(self, theta: Array) -> None:
        self.scales = tuple(map(float, theta))

    @property
    def bounds(self) -> Array:
        """Of the logarithms."""
        return BOUNDS

    def __call__(self, rows: Array, others: Array | None = None, eval_gradient: bool = False) -> Any:  # noqa: FBT001, FBT002
        """(n, m), and for `eval_gradient` its derivatives by the logarithms (n, n, 6). The noise is on the diagonal."""
        amplitude, genes, counts, costs, fidelity, noise = np.exp(self.scales)
        squares = (
            [_squares(part, other) for part, other in zip(self._parts(rows), self._parts(others), strict=True)]
            if others is not None
            else [_squares(part, part) for part in self._parts(rows)]
        )
        together, alone, paid, far = squares[0] + squares[1], squares[1], squares[2], squares[3]
        found = [_matern(together, genes), _matern(alone, counts), _matern(paid, costs), _matern(far, fidelity)]
        base = sum(weight * value for weight, (value, _) in zip(WEIGHTS, found[:3], strict=True))
        kernel = amplitude * base * found[3][0]
        if others is None:
            kernel[np.diag_indices_from(kernel)] += amplitude * noise
        if not eval_gradient:
            return kernel
        gradient = np.empty((*kernel.shape, len(NAMES)))
        gradient[..., 0] = kernel
        for index in range(3):
            gradient[..., index + 1] = amplitude * WEIGHTS[index] * found[index][1] * found[3][0]
        gradient[..., 4] = amplitude * base * found[3][1]
        gradient[..., 5] = amplitude * noise * np.eye(len(kernel))
        return kernel, gradient

    def diag(self, rows: Array) -> Array:
        """(n,) without the noise: what is asked for is the candidate's own value."""
        return np.full(len(rows), np.exp(self.scales[0]))

    def is_stationary(self) -> bool:
        """It is."""
        return True

    def _parts(self, rows: Array) -> tuple[Array, ...]:
        c = self.columns
        return rows[:, : c.genes], rows[:, c.genes : c.counts], rows[:, c.counts : c.costs], rows[:, c.costs :]


class GaussianProcess:
    """Fitted to values (n,) of rows (n, d)."""

    def __init__(self, columns: Columns, rows: Array, values: Array, scales: Array | None = None) -> None:
        """`scales` are those of an earlier fit, to be kept; None searches for the likeliest under the prior."""
        self._mean, self._std = float(values.mean()), float(values.std()) or 1.0
        kernel = CandidateKernel(columns, tuple(EXPECTED if scales is None else scales))
        self._process = GaussianProcessRegressor(
            kernel, alpha=1e-6, optimizer=None if scales is not None else _likeliest
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._process.fit(rows, (values - self._mean) / self._std)

    @property
    def scales(self) -> Array:
        """The logarithms of `NAMES`."""
        return np.array(self._process.kernel_.theta)

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (m,) of what a training of these would give, without its noise."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tiny negative variances are set to 0, as they should be
            mean, std = self._process.predict(rows, return_std=True)
        return self._mean + self._std * mean, self._std * np.maximum(std, 1e-5)


def _likeliest(loss: Callable[..., Any], start: Array, bounds: Array) -> tuple[Array, float]:
    """The scales of the largest posterior density, for scikit-learn."""

    def posterior(theta: Array) -> tuple[float, Array]:
        value, gradient = loss(theta, eval_gradient=True)
        apart = (theta - EXPECTED) / SPREAD
        return value + 0.5 * float(apart @ apart), gradient + apart / SPREAD

    found = minimize(posterior, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": STEPS})
    return np.asarray(found.x), float(found.fun)


def _squares(a: Array, b: Array) -> Array:
    found = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
    return np.asarray(np.maximum(found, 0.0))


def _matern(squares: Array, length: float) -> tuple[Array, Array]:
    """The kernel, and its derivative by the logarithm of the length."""
    distance = np.sqrt(5.0 * squares) / length
    falling = np.exp(-distance)
    return (1.0 + distance + distance * distance / 3.0) * falling, distance * distance / 3.0 * (
        1.0 + distance
    ) * falling
