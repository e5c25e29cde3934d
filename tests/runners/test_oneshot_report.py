"""What is said of how far inherited weights can be trusted."""

import dataclasses
import io
import random

import pytest
from networks import network, stage
from rich.console import Console
from scipy import stats
from trials import trial

from nas.intervals import interval
from nas.mixers import Pooling
from nas.objectives import Objective
from nas.replicates import Confirmed
from nas.supernet.files import SupernetFile
from nas.trial import State
from runners.oneshot_report import Trained, trust_of
from runners.retrain_report import Retrained

FILE = SupernetFile("/deep/supernet.safetensors", "0" * 32, "s", "d", 8, {"epochs": 30, "seconds": 90.0})
NETWORK = network(stage(Pooling(), width=8), resolution=8)


def row(number, inherited, trained, params, macs):
    """A network that was judged and trained; one whose training failed for None."""
    judged = trial(number, accuracy=inherited, loss=1 - inherited, params=params, macs=macs)
    values = {} if trained is None else {0: {"accuracy": trained}}
    intervals = {} if trained is None else {"accuracy": interval([trained])}
    return Confirmed(dataclasses.replace(judged, candidate=NETWORK), trained is None, values, intervals)


ACCURACY = Objective("accuracy", maximize=True)


def found(*rows, judge=ACCURACY):
    """Networks trained, of a study by inherited weights."""
    rows = [row(number, *each) for number, each in enumerate(rows)]
    return Retrained(
        study="s.retrain", of="s", network=None, recipe="search", fields={}, weights="scratch", inherited=True,
        judge=judge, images=359, rows=rows, tested={}, failed=[], exported=None,
    )  # fmt: skip


def told(trust):
    out = Console(file=io.StringIO(), width=300)
    Trained(FILE, None, trust).tell(out)
    return out.file.getvalue()


def numbers(seed, count=12, noise=0.0):
    rng = random.Random(seed)
    values = [(each / count, rng.random(), rng.random()) for each in range(count)]
    return [(inherited + noise * rng.random(), inherited, a, b) for inherited, a, b in values]


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_tau_is_what_scipy_says_of_the_pairs(noise):
    pairs = numbers(1, noise=noise)
    inherited, trained, params, macs = zip(*pairs, strict=True)

    trust = trust_of(found(*pairs))

    said = stats.kendalltau(inherited, trained)
    assert (trust.inherited, trust.chance, trust.count) == (said.statistic, said.pvalue, 12)
    assert trust.params == stats.kendalltau(params, trained).statistic
    assert trust.macs == stats.kendalltau(macs, trained).statistic
    assert f"tau {trust.inherited:+.2f} (p {trust.chance:.2g}); {trust.params:+.2f} by parameters" in told(trust)


def test_tau_by_hand():
    """Of the six pairs one is in the other order."""
    trust = trust_of(found((0.1, 0.2, 4, 1), (0.2, 0.3, 3, 1), (0.4, 0.4, 2, 1), (0.3, 0.5, 1, 1)))

    assert trust.inherited == pytest.approx(4 / 6)
    assert (trust.params, trust.macs) == (-1, None)
    assert "+0.67 (p 0.33); -1.00 by parameters\n" in told(trust)


def test_an_order_of_use_is_not_called_low():
    trust = trust_of(found(*numbers(2, noise=0.1)))

    assert not trust.low
    assert "believe" not in told(trust)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (numbers(3, noise=9.0), "the order by inherited weights says little: believe the trained networks only"),
        ([(0.1, 0.2, 1, 1), (0.2, 0.3, 2, 2), (0.3, 0.4, 3, 3)], "that may be chance: believe the trained networks"),
        ([(-x, *rest) for x, *rest in numbers(2, noise=0.1)], "the order by inherited weights says little"),
    ],
    ids=["noise", "few", "backwards"],
)
def test_where_the_order_says_little_or_may_be_chance_it_is_said_and_what_helps(rows, why):
    trust = trust_of(found(*rows))

    assert trust.low
    assert why in told(trust)
    assert "more --supernet-epochs" in told(trust)


def test_a_loss_is_better_where_it_is_lower():
    rows = [(0.9, 0.2, 1, 1), (0.8, 0.3, 1, 1), (0.7, 0.4, 1, 1)]
    by_accuracy = found(*rows)
    turned = [dataclasses.replace(each, intervals={"loss": each.intervals["accuracy"]}) for each in by_accuracy.rows]
    by_loss = dataclasses.replace(by_accuracy, rows=turned, judge=Objective("loss", maximize=False))

    assert trust_of(by_accuracy).inherited == pytest.approx(-1)
    assert trust_of(by_loss).inherited == pytest.approx(1)  # of the loss it is 1 less the accuracy that rises


@pytest.mark.parametrize(
    "rows", [[], [(0.1, 0.2, 1, 1), (0.2, 0.3, 1, 1)], [(0.1, 0.2, 1, 1)] * 2 + [(0.3, None, 1, 1)]]
)
def test_of_fewer_than_three_that_were_trained_nothing_is_known(rows):
    assert trust_of(found(*rows)) is None
    assert "how far its order can be trusted is not known: fewer than 3 networks were trained" in told(None)


def test_without_any_training_nothing_is_known():
    assert trust_of(None) is None
    assert Trained(FILE, None, None).as_json()["trained"] is None


def test_a_trial_that_was_never_judged_does_not_count():
    rows = found(*numbers(2, count=4))
    failed = dataclasses.replace(
        rows.rows[0], trial=dataclasses.replace(rows.rows[0].trial, state=State.FAIL, metrics={})
    )

    assert trust_of(dataclasses.replace(rows, rows=[failed, *rows.rows[1:]])).count == 3


@pytest.mark.parametrize("same", [0, 1], ids=["inherited", "trained"])
def test_values_that_are_all_alike_have_no_order(same):
    rows = [[0.1 * number, 0.2 * number, number, number] for number in range(4)]
    for each in rows:
        each[same] = 0.5

    trust = trust_of(found(*rows))

    assert (trust.inherited, trust.chance, trust.low) == (None, None, True)
    assert "is one value for all 4 networks: no rank correlation" in told(trust)


def test_json_has_the_file_how_it_was_made_and_the_trust():
    body = Trained(FILE, found(*numbers(2)), trust_of(found(*numbers(2)))).as_json()

    assert (body["file"], body["digest"], body["epochs"]) == (FILE.path, FILE.digest, 30)
    assert (body["trust"]["count"], body["trust"]["inherited"], body["trust"]["low"]) == (12, pytest.approx(1), False)
    assert body["trained"]["study"] == "s.retrain"
