"""Objectives, limits and the front."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import InputError
from nas.objectives import Limit, Objective, excess, front, limits_from, objectives_from


@pytest.mark.parametrize(
    ("text", "name", "maximize"),
    [
        ("accuracy:max", "accuracy", True),
        ("macs:min", "macs", False),
        ("loss:minimize", "loss", False),
        ("f_1:maximize", "f_1", True),
    ],
)
def test_an_objective_is_read_from_its_name_and_direction(text, name, maximize):
    expected = Objective(name, maximize)

    objective = Objective.parse(text)

    assert objective == expected
    assert Objective.parse(str(objective)) == objective


@pytest.mark.parametrize(
    "text",
    [
        "",
        "accuracy",
        "accuracy:",
        ":max",
        "accuracy:up",
        "a:b:max",
        "accuracy:MAX",
        "top 1:max",
        "1st:max",
        "accuracy=max",
    ],
)
def test_a_text_that_is_no_objective_is_refused_with_the_form(text):
    parse = Objective.parse

    with pytest.raises(
        InputError, match=rf"^objective '{text}': NAME:max or NAME:min is expected, as in accuracy:max$"
    ):
        parse(text)


def test_the_loss_of_an_objective_is_what_is_to_be_small():
    metrics = {"accuracy": 0.9, "macs": 3e6}

    losses = [Objective.parse(text).loss(metrics) for text in ("accuracy:max", "macs:min")]

    assert losses == [-0.9, 3e6]


def test_objectives_come_from_a_list_or_a_mapping_in_order():
    listed = objectives_from(["accuracy:max", "macs:min"])

    mapped = objectives_from({"accuracy": "maximize", "macs": "minimize"})

    assert mapped == listed
    assert [str(objective) for objective in listed] == ["accuracy:max", "macs:min"]


@pytest.mark.parametrize("given_none", [[], {}, ()])
def test_a_search_for_nothing_is_refused(given_none):
    read = objectives_from

    with pytest.raises(InputError, match=r"^no objective: at least one is needed, as in accuracy:max$"):
        read(given_none)


def test_an_objective_named_twice_is_refused():
    texts = ["accuracy:max", "macs:min", "accuracy:min"]

    with pytest.raises(InputError, match=r"^an objective is named twice in accuracy:max, macs:min, accuracy:min$"):
        objectives_from(texts)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("params<=2e6", Limit("params", "<=", 2e6)),
        (" params  <=  2_000_000 ", Limit("params", "<=", 2e6)),
        ("macs>=1.5", Limit("macs", ">=", 1.5)),
        ("gain>=-3", Limit("gain", ">=", -3.0)),
    ],
)
def test_a_limit_is_read_from_its_name_sign_and_bound(text, limit):
    parse = Limit.parse

    parsed = parse(text)

    assert parsed == limit
    assert parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "params",
        "params<2e6",
        "params=2e6",
        "params<=",
        "<=2e6",
        "params<=two",
        "params<=nan",
        "params<=inf",
        "1p<=3",
        "a<=1<=2",
        "a b<=1",
    ],
)
def test_a_text_that_is_no_limit_is_refused_with_the_form(text):
    parse = Limit.parse

    with pytest.raises(
        InputError, match=rf"^limit '{text}': NAME<=NUMBER or NAME>=NUMBER is expected, as in params<=2e6$"
    ):
        parse(text)


def test_limits_come_from_a_list_a_mapping_or_nothing():
    listed = limits_from(["params<=2e6", "macs>=1e3"])

    mapped = limits_from({"params": "<= 2e6", "macs": ">=1e3"})

    assert mapped == listed
    assert limits_from(None) == limits_from([]) == limits_from({}) == ()


def test_a_limit_of_a_mapping_that_names_its_cost_again_is_refused():
    limits = {"params": "params<=2e6"}

    with pytest.raises(InputError, match=r"^limit 'params<=2e6': NAME<=NUMBER"):
        limits_from(limits)


def test_the_excess_of_a_limit_is_positive_only_beyond_it():
    costs = {"params": 150.0}

    beyond = [
        Limit("params", sign, bound).excess(costs)
        for sign, bound in (("<=", 100), ("<=", 150), ("<=", 200), (">=", 200), (">=", 150))
    ]

    assert beyond == [50, 0, -50, 50, 0]


def test_the_excess_over_limits_adds_up_relative_to_their_bounds():
    limits = limits_from(["params<=100", "macs<=1000", "depth>=4"])

    totals = [
        excess(limits, {"params": 150, "macs": 3000, "depth": 2}),
        excess(limits, {"params": 100, "macs": 1000, "depth": 4}),
        excess(limits, {"params": 1, "macs": 1500, "depth": 9}),
        excess((), {"params": 5}),
    ]

    assert totals == pytest.approx([0.5 + 2 + 0.5, 0, 0.5, 0])


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[st.integers(0, 5).map(float)] * width), max_size=12))
)
def test_the_front_is_what_no_row_dominates_the_first_of_equals(rows):
    expected = [
        index
        for index, row in enumerate(rows)
        if not any(dominates(other, row) for other in rows) and row not in rows[:index]
    ]

    kept = front(rows)

    assert kept == expected


def test_the_front_of_one_objective_is_its_best_row():
    rows = [(3.0,), (1.0,), (2.0,), (1.0,)]

    kept = front(rows)

    assert kept == [1]


def test_an_infinite_loss_is_on_the_front_only_where_nothing_is_better():
    rows = [(math.inf, 1.0), (2.0, 1.0), (math.inf, 0.5), (math.inf, math.inf)]

    kept = front(rows)

    assert kept == [1, 2]


@pytest.mark.parametrize("text", ["params<=1234567", "macs<=0.1", "params>=2000000", "macs<=1e+300"])
def test_a_limit_as_text_is_read_back_to_the_same_bound(text):
    limit = Limit.parse(text)

    assert Limit.parse(str(limit)) == limit
