"""The plot of ours: who is in which trace."""

import json

from dashboards.plots import MOST, Point, plots

SETTINGS = {"objectives": ["accuracy:max", "macs:min"], "limits": []}


def point(number, accuracy, macs, *, feasible=True, origin="random", **fields):
    return Point(number, True, feasible, (accuracy, macs), {"params": 10.0 * macs}, origin, **fields)


def traces(points, best=(), settings=SETTINGS):
    (plot,) = plots(points, best, settings)
    figure = json.loads(plot["graph_object"])
    return plot["id"], {trace["name"]: trace for trace in figure["data"]}, figure["layout"]


def test_best_starting_points_and_those_over_a_limit_have_signs_of_their_own():
    points = [
        point(0, 0.5, 2.0, origin="start", label="pooling"),
        point(1, 0.9, 3.0),
        point(2, 0.4, 4.0),
        point(3, 0.99, 5.0, feasible=False),
        point(4, 0.1, 1.0, feasible=False, origin="start", label="<b>attention</b>"),
    ]

    name, found, layout = traces(points, best={0, 1})

    assert name == "nas-accuracy-macs"
    assert {kind: trace["customdata"] for kind, trace in found.items()} == {
        "trial": [2], "over a limit": [3], "front": [0, 1], "starting point": [0, 4],
    }  # fmt: skip
    assert found["over a limit"]["marker"]["symbol"] == "circle-open"
    assert found["starting point"]["marker"]["symbol"] == ["star", "star-open"]
    assert found["starting point"]["text"] == ["pooling", "&lt;b&gt;attention&lt;/b&gt;"]
    assert layout["yaxis"]["title"]["text"] == "accuracy (higher is better)"


def test_one_objective_is_drawn_against_what_is_limited_or_else_the_macs():
    points = [Point(0, True, True, (0.5,), {"params": 7.0, "macs": 8.0}, "random")]

    assert (
        traces(points, settings={"objectives": ["accuracy:max"], "limits": ["params<=9"]})[0] == "nas-accuracy-params"
    )
    assert traces(points, settings={"objectives": ["accuracy:max"], "limits": []})[0] == "nas-accuracy-macs"


def test_of_very_many_trials_some_are_left_out_and_the_title_says_so():
    points = [point(number, 0.1 + number / 1e6, 5.0) for number in range(3 * MOST)]

    _, found, layout = traces(points, best={0})

    assert len(found["trial"]["x"]) == MOST
    assert found["best"]["customdata"] == [0]
    assert f"{2 * MOST - 1:,} of {3 * MOST:,} trials left out" in layout["title"]["text"]


def test_without_a_cost_or_a_complete_trial_there_is_no_plot():
    one = {"objectives": ["accuracy:max"], "limits": []}

    assert plots([Point(0, True, True, (0.5,), {}, "random")], [], one) == []
    assert plots([], [], SETTINGS) == []
    assert plots([Point(0, False, True, (), {}, "random")], [], SETTINGS) == []
    assert plots([], [], {}) == []
