"""How the metrics of a trial are judged, and which limit is on what."""

import pytest

from nas.errors import InputError
from nas.goals import Goals, split
from nas.objectives import limits_from, objectives_from

OBJECTIVES = objectives_from(["accuracy:max"])
GOALS = Goals(OBJECTIVES, limits_from(["macs<=10"]), limits_from(["loss<=2", "f1>=0.5"]))


def test_limits_on_known_costs_are_told_from_limits_on_metrics():
    limits = limits_from(["accuracy>=0.9", "macs<=10", "loss<=2", "params<=5"])

    known, on_metrics = split(limits, ("params", "macs"), OBJECTIVES)

    assert [*map(str, known)] == ["macs<=10", "params<=5"]
    assert [*map(str, on_metrics)] == ["accuracy>=0.9", "loss<=2"]


@pytest.mark.parametrize(
    ("wrong", "right"), [("parms", "params"), ("mac", "macs"), ("activations_bytes", "activation_bytes")]
)
def test_a_misspelt_cost_is_not_taken_for_a_metric(wrong, right):
    known = ("params", "macs", "activation_bytes")

    with pytest.raises(
        InputError, match=f"^limit '{wrong}<=3': did you mean '{right}'.*Known before training: params, macs"
    ):
        split(limits_from([f"{wrong}<=3"]), known, OBJECTIVES)
    assert split(limits_from([f"{wrong}<=3"]), known, objectives_from([f"{wrong}:min"]))[1], "an objective exists"


def test_excesses_are_of_every_limit_in_one_order_whatever_the_order_of_the_metrics():
    one = GOALS.excesses({"f1": 0.4, "loss": 1.5, "macs": 12.0})
    two = GOALS.excesses({"macs": 8.0, "loss": 3.0, "f1": 0.75, "accuracy": 0.9})

    assert list(one) == list(two) == ["macs<=10", "loss<=2", "f1>=0.5"]
    assert list(one.values()) == pytest.approx([2.0, -0.5, 0.1])
    assert list(two.values()) == pytest.approx([-2.0, 1.0, -0.25])


def test_what_is_limited_is_missed_when_it_is_not_measured():
    assert GOALS.missing({"accuracy": 0.9, "loss": 1.0}) == "metric 'f1' of the limit f1>=0.5"
    assert GOALS.missing({"accuracy": 0.9, "loss": 1.0, "f1": 0.1}) == ""
