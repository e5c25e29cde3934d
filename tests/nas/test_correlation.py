"""How far scores rank networks as training did: against scipy, and on populations whose answer is known."""

import numpy as np
import pytest
from scipy import stats

from nas.architecture import Architecture, Block, Embedding, Stage
from nas.mixers import Attention, DepthwiseConv, Identity, Pooling, SeparableConv, TokenMlp
from nas.proxies.correlation import TYPES, agreements, mixer_type, partial, spearman


def rng(seed=0):
    return np.random.default_rng(seed)


def found(columns, goodness, types=None, **given):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    types = types if types is not None else ["attention"] * len(rows)
    return {each.proxy: each for each in agreements(rows, list(goodness), list(types), **given)}


def test_the_correlations_are_scipys_ties_included():
    values, goodness = rng().integers(0, 6, 40).astype(float), rng(1).integers(0, 6, 40).astype(float)

    one = found({"naswot": values}, goodness)["naswot"]

    assert one.spearman == pytest.approx(stats.spearmanr(values, goodness).statistic)
    assert one.kendall == pytest.approx(stats.kendalltau(values, goodness).statistic)
    assert one.count == 40


def test_the_interval_holds_the_true_correlation_about_as_often_as_it_says():
    draws, held = 100, 0
    for seed in range(draws):
        generator = rng(seed)
        common, noise = generator.normal(size=40), generator.normal(size=(2, 40))
        low, high = found({"snip": common + noise[0]}, common + noise[1])["snip"].interval
        held += low <= 0.483 <= high  # Spearman's of a normal pair whose Pearson's is 1/2

    assert 85 <= held <= 100


def test_the_interval_is_the_same_for_the_same_seed():
    values, goodness = rng().normal(size=20), rng(1).normal(size=20)

    first, again, other = (found({"snip": values}, goodness, seed=seed)["snip"].interval for seed in (0, 0, 1))

    assert first == again != other


def test_the_interval_is_of_ranks_so_that_no_scale_matters():
    values, goodness = rng().normal(size=30), rng(1).normal(size=30)

    plain, stretched = (found({"snip": each}, goodness)["snip"].interval for each in (values, np.exp(5 * values)))

    assert stretched == pytest.approx(plain, abs=1e-12)


def test_a_score_that_only_counts_parameters_says_nothing_beyond_them():
    size = rng().normal(size=200)
    goodness = size + rng(1).normal(size=200)
    own = rng(2).normal(size=200)
    table = found(
        {"params": size, "macs": rng(3).normal(size=200), "synflow": np.exp(size), "naswot": goodness + own}, goodness
    )

    assert table["synflow"].spearman == pytest.approx(table["params"].spearman)
    assert table["synflow"].beyond_params is None  # nothing is left of it
    assert table["naswot"].beyond_params > 0.4
    assert table["params"].beyond_params is None


def test_the_partial_correlation_is_the_textbook_formula():
    x, y, z = rng().normal(size=(3, 60))
    y += z
    x += z
    xy, xz, yz = (stats.spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))

    assert partial(x, y, z) == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))


def test_a_score_that_tells_types_apart_but_ranks_backwards_within_them_is_seen_through():
    types = np.repeat(["attention", "convolution", "token MLP"], 20)
    level = np.repeat([0.0, 10, 20], 20)
    inner = rng().normal(size=60)

    one = found({"naswot": level - inner, "params": inner}, level + inner, types)["naswot"]

    assert one.spearman > 0.7
    assert all(rho == pytest.approx(-1) for rho in one.within.values())
    assert one.within_types == pytest.approx(-1, abs=0.05)
    assert one.backwards == ("attention", "convolution", "token MLP")
    assert one.verdict == "better than params and MACs; backwards within attention, convolution, token MLP"


@pytest.mark.parametrize(
    ("make", "verdict"),
    [
        (lambda good, own: good + 0.1 * own, "better than params and MACs"),
        (lambda good, own: good + 1.0 * own, "no better than params or MACs"),
        (lambda good, own: good + 3.0 * own, "worse than params or MACs"),
        (lambda good, own: own, "may be chance"),
        (lambda good, own: -good, "lies: ranks backwards"),
        (lambda good, own: 0 * own, "says nothing: one value for all"),
    ],
)
def test_the_verdict_is_against_the_better_baseline(make, verdict):
    good = rng(5).normal(size=150)
    own, noise = rng(6).normal(size=150), rng(7).normal(size=150)
    columns = {"params": good + noise, "macs": rng(8).normal(size=150), "zico": make(good, own)}

    table = found(columns, good)

    assert table["zico"].verdict == verdict
    assert table["params"].verdict == "a baseline"


def test_types_with_fewer_than_five_networks_have_no_correlation():
    types = ["attention"] * 6 + ["convolution"] * 4
    values = np.arange(10.0)

    one = found({"naswot": values}, values, types)["naswot"]

    assert one.within == {"attention": pytest.approx(1.0)}


def test_networks_without_a_score_are_left_out_of_its_row_only():
    rows = [{"params": float(index), "naswot": float(index)} for index in range(10)]
    del rows[3]["naswot"]
    goodness = [float(index) for index in range(10)]
    goodness[3] = 100.0

    params, naswot = agreements(rows, goodness, ["attention"] * 10)

    assert (params.count, naswot.count) == (10, 9)
    assert naswot.spearman == pytest.approx(1)
    assert params.spearman < 1


def test_too_few_or_constant_values_have_no_correlation():
    assert spearman(np.arange(4.0), np.arange(4.0)) is None
    assert spearman(np.zeros(9), np.arange(9.0)) is None
    assert partial(np.arange(4.0), np.arange(4.0), np.arange(4.0)) is None


def network(*depths):
    embedding = Embedding(kernel=2, stride=2)
    stages = tuple(Stage(embedding=embedding, width=8, blocks=(Block(mixer=mixer),) * depth) for mixer, depth in depths)
    return Architecture(resolution=16, stages=stages)


@pytest.mark.parametrize(
    ("depths", "kind"),
    [
        ([(Attention(head_width=8), 2), (Identity(), 1)], "attention"),
        ([(DepthwiseConv(), 1), (Attention(head_width=8), 2), (SeparableConv(), 2)], "convolution"),
        ([(Pooling(), 1), (Identity(), 1)], "no weights"),
        ([(TokenMlp(), 1), (Pooling(), 1)], "mixed"),
    ],
)
def test_the_type_of_a_network_is_that_of_most_of_its_blocks(depths, kind):
    assert mixer_type(network(*depths)) == kind


def test_every_mixer_of_ours_has_a_type():
    from nas.mixers import MIXERS

    assert {kind for kind, mixer in MIXERS.items() if mixer.__module__.startswith("nas.mixers.")} == TYPES.keys()
