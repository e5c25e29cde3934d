"""The Gaussian process: its kernel, what it predicts, and what it makes of results that say little."""

import numpy as np
import pytest
from scipy.linalg import cho_factor, cho_solve

from nas.samplers.gaussian import BOUNDS, EXPECTED, NAMES, WEIGHTS, CandidateKernel, Columns, GaussianProcess

COLUMNS = Columns(6, 9, 11)


def some_rows(count, seed=0, fidelities=(1.0,)):
    rng = np.random.default_rng(seed)
    rows = rng.random((count, 12)) * 0.6
    rows[:, -1] = rng.choice(fidelities, count)
    return rows


def truth(rows):
    return np.sin(4 * rows[:, 0]) + rows[:, 7] - 2 * rows[:, 9]


def matern(one, other, length):
    distance = np.sqrt(5) * np.linalg.norm(one[:, None] - other[None], axis=2) / length
    return (1 + distance + distance**2 / 3) * np.exp(-distance)


def plain_kernel(one, other, scales):
    amplitude, genes, counts, costs, fidelity, _ = np.exp(scales)
    parts = [matern(one[:, :9], other[:, :9], genes), matern(one[:, 6:9], other[:, 6:9], counts)]
    parts.append(matern(one[:, 9:11], other[:, 9:11], costs))
    return amplitude * np.tensordot(WEIGHTS, parts, 1) * matern(one[:, 11:], other[:, 11:], fidelity)


@pytest.mark.parametrize("seed", range(5))
def test_the_kernel_is_the_formula_symmetric_and_positive_definite(seed):
    rows = some_rows(40, seed, (0.25, 0.5, 1.0))
    rows[5] = rows[6]
    scales = np.random.default_rng(seed).uniform(*BOUNDS.T)

    kernel = CandidateKernel(COLUMNS, tuple(scales))(rows)

    noise = np.exp(scales[0] + scales[-1]) * np.eye(40)
    assert kernel == pytest.approx(plain_kernel(rows, rows, scales) + noise, abs=1e-6)
    assert kernel == pytest.approx(kernel.T, rel=1e-12)
    assert np.linalg.eigvalsh(kernel).min() > 0
    assert np.diag(kernel) - np.diag(noise) == pytest.approx(CandidateKernel(COLUMNS, tuple(scales)).diag(rows))


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_the_derivative_by_each_scale_is_that_of_finite_differences(index):
    rows, step = some_rows(20, fidelities=(0.25, 0.5, 1.0)), np.eye(len(NAMES))[index] * 1e-5
    scales = EXPECTED + 0.3

    _, gradient = CandidateKernel(COLUMNS, tuple(scales))(rows, eval_gradient=True)

    above, below = (CandidateKernel(COLUMNS, tuple(scales + sign * step))(rows) for sign in (1, -1))
    assert gradient[..., index] == pytest.approx((above - below) / 2e-5, abs=1e-6)
    assert np.abs(gradient[..., index]).max() > 1e-3


def test_the_prediction_is_the_textbooks_posterior():
    rows, asked, values = some_rows(30, fidelities=(0.5, 1.0)), some_rows(10, 1), np.random.default_rng(2).random(30)
    scales = EXPECTED + np.array([0.2, -0.1, 0.1, 0.3, -0.2, 0.4])

    mean, std = GaussianProcess(COLUMNS, rows, values, scales).predict(asked)

    noise = (np.exp(scales[0] + scales[-1]) + 1e-6) * np.eye(30)
    factor = cho_factor(plain_kernel(rows, rows, scales) + noise)
    across = plain_kernel(asked, rows, scales)
    scaled = across @ cho_solve(factor, (values - values.mean()) / values.std())
    left = np.exp(scales[0]) - np.einsum("ij,ji->i", across, cho_solve(factor, across.T))
    assert mean == pytest.approx(values.mean() + values.std() * scaled, rel=1e-5)
    assert std == pytest.approx(values.std() * np.sqrt(left), rel=1e-4)


def test_what_has_no_noise_is_met_and_the_fit_finds_that_it_has_little():
    rows = some_rows(60)
    process = GaussianProcess(COLUMNS, rows, truth(rows))
    noisy = GaussianProcess(COLUMNS, rows, truth(rows) + np.random.default_rng(0).normal(0, 0.5, 60))

    mean, std = process.predict(rows)

    assert mean == pytest.approx(truth(rows), abs=0.1)
    assert std.max() < 0.15
    assert process.scales[-1] < noisy.scales[-1] - 1


def test_what_is_held_out_is_predicted_far_better_than_by_the_mean():
    rows, asked = some_rows(120), some_rows(100, 1)

    mean, std = GaussianProcess(COLUMNS, rows, truth(rows)).predict(asked)

    left = mean - truth(asked)
    assert np.abs(left).mean() < 0.25 * np.abs(truth(asked) - truth(rows).mean()).mean()
    assert (np.abs(left) < 2 * std).mean() > 0.85


def test_far_away_the_mean_is_expected_and_the_deviation_grows_on_the_way():
    rows, values = some_rows(30), truth(some_rows(30))
    process = GaussianProcess(COLUMNS, rows, values, EXPECTED)
    path = np.repeat(rows[:1], 5, axis=0)
    path[:, :11] += np.array([0.0, 0.3, 1.0, 3.0, 50.0])[:, None]

    mean, std = process.predict(path)

    assert (np.diff(std) > 0).all()
    assert mean[-1] == pytest.approx(values.mean(), abs=1e-3)
    assert std[-1] == pytest.approx(values.std(), rel=1e-3)


def test_more_results_leave_less_doubt():
    rows, asked = some_rows(80), some_rows(20, 1)
    values = np.tile([1.0, -1.0], 40)

    few, more = (GaussianProcess(COLUMNS, rows[:n], values[:n], EXPECTED).predict(asked)[1] for n in (10, 80))

    assert (more < few).all()


def test_a_result_of_a_lower_fidelity_says_less_than_one_of_the_full():
    rows, values = some_rows(12), np.zeros(12)
    values[0] = 3.0
    asked = rows[:1].copy()
    means, deviations = [], []
    for fidelity in (1.0, 0.5, 0.1):
        rows[0, -1] = fidelity
        mean, std = GaussianProcess(COLUMNS, rows, values, EXPECTED).predict(asked)
        means.append(mean[0])
        deviations.append(std[0])

    assert means[0] > means[1] > means[2]
    assert deviations[0] < deviations[1] < deviations[2]


def test_scales_that_are_given_are_kept_and_others_are_found_and_within_bounds():
    rows = some_rows(40)
    given = EXPECTED + 0.123

    kept = GaussianProcess(COLUMNS, rows, truth(rows), given).scales
    found = GaussianProcess(COLUMNS, rows, truth(rows)).scales

    assert kept == pytest.approx(given)
    assert np.abs(found - EXPECTED).max() > 0.2
    assert ((BOUNDS[:, 0] <= found + 1e-9) & (found - 1e-9 <= BOUNDS[:, 1])).all()


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.3], [0.1] * 7, [5e8, 7e9, 1e9], [1e-9, 3e-9, 2e-9], [0, 0, 1e30]])
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::sklearn.exceptions.ConvergenceWarning")
def test_few_equal_tiny_and_huge_values_give_finite_predictions_of_their_size_without_a_warning(values):
    values = np.array(values, dtype=float)
    rows = some_rows(len(values))

    mean, std = GaussianProcess(COLUMNS, rows, values).predict(np.vstack([rows, some_rows(5, 1)]))

    assert np.isfinite(mean).all()
    assert (std > 0).all()
    assert mean.min() >= values.min() - 0.5 * np.ptp(values) - 1e-6
    assert mean.max() <= values.max() + 0.5 * np.ptp(values) + 1e-6


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::sklearn.exceptions.ConvergenceWarning")
def test_of_results_of_one_candidate_the_mean_is_expected():
    rows = np.repeat(some_rows(2), [20, 20], axis=0)
    values = np.concatenate([np.random.default_rng(0).normal(1, 0.1, 20), np.random.default_rng(1).normal(2, 0.1, 20)])

    mean, std = GaussianProcess(COLUMNS, rows, values).predict(rows[[0, -1]])

    assert mean == pytest.approx([values[:20].mean(), values[20:].mean()], abs=0.03)
    assert (std < 0.1).all()
