"""How the metrics of a trial are judged, and which limit is on what."""

import pytest

from nas.errors import InputError
from nas.goals import Goals, split
from nas.jobs import Budget
from nas.objectives import limits_from, objectives_from
from nas.samplers import Outcome
from nas.trial import State, Trial

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


def trial(state, metrics, curve, stop=4):
    return Trial(0, (0,), {}, "digest", state, "auto", 1, metrics, Budget(0, stop, 0, "cpu", "x"), curve)


CURVE = {1: {"accuracy": 0.2}, 2: {"accuracy": 0.5, "loss": 1.5}, 4: {"accuracy": 0.8}}


def test_an_outcome_tells_what_was_reported_on_the_way_and_not_the_end_in_its_place():
    goals = Goals(objectives_from(["accuracy:max", "macs:min"]), (), limits_from(["loss<=2"]), full=4)

    told = goals.outcome(trial(State.COMPLETE, {"accuracy": 0.9, "loss": 2.5, "macs": 7.0}, CURVE))

    assert told == Outcome([0.9, 7.0], [0.5], 1.0, {0.25: [0.2, 7.0], 0.5: [0.5, 7.0]})


def test_an_outcome_of_what_runs_or_was_stopped_is_of_its_last_step_with_its_share_of_the_budget():
    goals = Goals(objectives_from(["accuracy:max", "macs:min"]), (), limits_from(["loss<=2"]), full=4)
    curve = {step: CURVE[step] for step in (1, 2)}

    for state in (State.RUNNING, State.PRUNED):
        told = goals.outcome(trial(state, {"macs": 7.0}, curve))
        settled = state is State.PRUNED
        assert told == Outcome([0.5, 7.0], [-0.5], 0.5, {0.25: [0.2, 7.0]}, settled)


def test_of_an_objective_that_only_some_steps_report_nothing_is_told_for_the_others():
    goals = Goals(objectives_from(["loss:min"]), full=4)

    assert goals.outcome(trial(State.COMPLETE, {"loss": 1.0, "accuracy": 0.9}, CURVE)).earlier == {0.5: [1.5]}


def test_nothing_is_told_of_what_failed_and_of_what_lacks_an_objective():
    assert GOALS.outcome(trial(State.FAIL, {}, CURVE)) is None
    assert GOALS.outcome(trial(State.RUNNING, {}, {})) is None
    assert GOALS.outcome(trial(State.RUNNING, {}, {1: {"loss": 1.0, "f1": 0.6}})) is None
    assert GOALS.outcome(trial(State.RUNNING, {}, {9: {"accuracy": 0.5, "loss": 1.0, "f1": 0.6}})) is None
