"""What options are worth, where the truth is planted."""

import math
import random

import pytest

import search_spaces
from nas import Space, int_range, one_of
from nas.errors import InputError, SpaceError
from nas.supernet.scoring import Judged, scored

PLAIN = Space({"mixer": one_of(pool="pool", conv={"kernel": one_of(3, 5, 7)}), "width": one_of(16, 32, 64), "norm": one_of("batch", "layer")})  # fmt: skip
EFFECTS = {"mixer": {"pool": 0.0, "conv": 0.05}, "mixer.conv.kernel": {3: -0.02, 5: 0.0, 7: 0.02}, "width": {16: 0.0, 32: 0.04, 64: 0.08}, "norm": {"batch": 0.0, "layer": 0.0}}  # fmt: skip


def worth(params):
    return 0.5 + sum(EFFECTS[path][label] for path, label in params.items())


def drawn(count, seed=0, noise=0.0, space=PLAIN, value=worth):
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        genome = space.sample(rng)
        params = space.params(genome)
        found.append(Judged(genome, value(params) + rng.gauss(0, noise), float(params.get("width", 1))))
    return found


def by_name(scores):
    return {(each.gene, each.label): each for each in scores}


def test_differences_of_scores_are_the_planted_ones_and_within_their_errors():
    """Those of conv with its best kernel, which is worth 0.02 more than the middle one."""
    found = by_name(scored(PLAIN, drawn(300, noise=0.02)))

    def apart(gene, one, other):
        first, second = found[gene, one], found[gene, other]
        assert first.error > 0
        return first.score - second.score, math.hypot(first.error, second.error)

    for gene, one, other, planted in [
        ("mixer", "conv", "pool", 0.07), ("mixer.conv.kernel", 7, 3, 0.04), ("width", 64, 16, 0.08), ("norm", "layer", "batch", 0.0),
    ]:  # fmt: skip
        difference, error = apart(gene, one, other)
        assert error < 0.01
        assert abs(difference - planted) < 3 * error


def test_a_nested_gene_is_compared_among_its_users_only():
    judged = drawn(200)
    users = sum(PLAIN.params(each.genome)["mixer"] == "conv" for each in judged)

    found = by_name(scored(PLAIN, judged))

    kernels = [found["mixer.conv.kernel", size] for size in (3, 5, 7)]
    assert sum(each.judged for each in kernels) == users == found["mixer", "conv"].judged
    assert sum(each.judged for each in kernels) < 200
    assert [each.score for each in kernels] == sorted(each.score for each in kernels)


def test_an_option_is_worth_what_it_is_with_the_best_of_its_settings():
    """By the mean of its kernels conv is worse than pool; with its best kernel it is better by 0.1."""
    worths = {"pool": 0.5, 3: 0.2, 5: 0.3, 7: 0.6}

    found = by_name(
        scored(PLAIN, drawn(300, noise=0.01, value=lambda params: worths[params.get("mixer.conv.kernel", "pool")]))
    )

    conv, pool, best = found["mixer", "conv"], found["mixer", "pool"], found["mixer.conv.kernel", 7]
    assert conv.accuracy < pool.accuracy
    assert conv.score - pool.score == pytest.approx(0.1, abs=0.01)
    assert conv.error > best.error


def test_what_company_an_option_had_is_taken_out():
    """All candidates with layer norm but few are wide: their plain mean is that of the width."""
    rng = random.Random(1)
    judged = []
    for each in drawn(2000):
        params = PLAIN.params(each.genome)
        if params["norm"] == ("layer" if params["width"] == 64 else "batch") or rng.random() < 0.1:
            judged.append(each)
    found = by_name(scored(PLAIN, judged))

    def plain(norm):
        mine = [each.accuracy for each in judged if PLAIN.params(each.genome)["norm"] == norm]
        return sum(mine) / len(mine)

    assert plain("layer") - plain("batch") > 0.03
    assert found["norm", "layer"].score == pytest.approx(found["norm", "batch"].score, abs=0.004)


@pytest.mark.parametrize("count", [60, 250])
@pytest.mark.slow
def test_scores_err_less_than_plain_means_also_with_fewer_candidates_than_options(count):
    space = search_spaces.get("metaformer", 28)
    options = sum(len(gene.options) for gene in space.genes)
    assert 60 < options < 250
    top = [gene for gene in space.genes if gene.parent is None]
    ours = plain = 0.0
    for seed in range(3):
        rng = random.Random(seed)
        planted = {(gene.path, label): rng.gauss(0, 0.02) for gene in top for label in gene.options}
        judged = drawn(
            count, seed, 0.01, space, lambda params, known=planted: sum(known.get(each, 0) for each in params.items())
        )
        found = by_name(scored(space, judged))
        for gene in top:
            users = {
                label: [each.accuracy for each in judged if space.params(each.genome)[gene.path] == label]
                for label in gene.options
            }
            first, *others = [label for label in gene.options if len(users[label]) >= 5]
            means = {label: sum(users[label]) / len(users[label]) for label in [first, *others]}
            for label in others:
                true = planted[gene.path, label] - planted[gene.path, first]
                ours += (found[gene.path, label].score - found[gene.path, first].score - true) ** 2
                plain += (means[label] - means[first] - true) ** 2

    assert math.sqrt(ours / plain) < 0.75


def test_cost_is_traded_for_accuracy_by_its_logarithm_whatever_its_unit():
    judged = drawn(300)
    free, paid = by_name(scored(PLAIN, judged)), by_name(scored(PLAIN, judged, 0.1))
    other = by_name(scored(PLAIN, [each._replace(cost=1e6 * each.cost) for each in judged], 0.1))

    assert free["width", 64].score > free["width", 16].score
    assert paid["width", 64].score < paid["width", 16].score
    loss = (free["width", 64].score - free["width", 16].score) - (paid["width", 64].score - paid["width", 16].score)
    assert loss == pytest.approx(0.1 * math.log(64 / 16), rel=1e-4)
    assert paid["width", 64].cost == pytest.approx(64, rel=1e-4)
    assert paid["width", 64].accuracy == free["width", 64].accuracy
    assert other["width", 64].score == pytest.approx(paid["width", 64].score)


def test_what_was_not_judged_has_no_score_and_one_candidate_has_no_error():
    nothing = scored(PLAIN, [])
    single = by_name(scored(PLAIN, [Judged(PLAIN.genome({"mixer": "pool", "width": 32, "norm": "batch"}), 0.5, 2.0)]))

    assert {(each.score, each.error, each.cost, each.judged) for each in nothing} == {(None, None, None, 0)}
    assert single["width", 32].score == 0.5
    assert (single["width", 32].error, single["width", 32].cost) == (None, pytest.approx(2.0))
    assert single["width", 16].score is None
    assert single["mixer.conv.kernel", 3].judged == 0


def test_equal_accuracies_give_equal_scores():
    found = scored(Space({"a": int_range(1, 4), "b": one_of("x", "y")}), [Judged((a, b), 0.25, 1.0) for a in range(4) for b in range(2)])  # fmt: skip

    assert {each.score for each in found} == {0.25}
    assert {each.error for each in found} == {0.0}


@pytest.mark.parametrize(
    ("judged", "weight", "told"),
    [
        (Judged((0, 0, 0, 0), math.nan, 1.0), 0.0, "judged candidate 1: its accuracy is nan, and a number is expected"),
        (Judged((0, 0, 0, 0), 0.5, 0.0), 0.0, "judged candidate 1: its cost is 0, and more than 0 is expected"),
        (Judged((0, 0, 0, 0), 0.5, 1.0), -1.0, "cost weight -1: 0 or more is expected"),
    ],
)
def test_what_is_no_judgement_is_refused(judged, weight, told):
    with pytest.raises(InputError, match=told):
        scored(PLAIN, [Judged((0, 0, 0, 0), 0.5, 1.0), judged], weight)


def test_a_genome_of_another_space_is_refused():
    with pytest.raises(SpaceError, match="has 4 genes, not 2"):
        scored(PLAIN, [Judged((0, 0), 0.5, 1.0)])
