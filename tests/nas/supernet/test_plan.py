"""The plan of a supernet's training says what makes two supernets differ."""

import json
import re

import pytest

from nas.errors import InputError
from nas.recipe import Recipe
from nas.supernet.plan import Shrinking, TrainingPlan
from nas.supernet.shrinking import Rule


def test_a_plan_is_a_file_of_json_and_back_is_the_same():
    plan = TrainingPlan(recipe=Recipe(epochs=7, drop_path=0.1), sampling="uniform", at_once=2)
    told = json.loads(json.dumps(plan.as_dict()))

    assert TrainingPlan(recipe=Recipe(**told["recipe"]), sampling=told["sampling"], at_once=told["at_once"]) == plan
    assert told != TrainingPlan(recipe=Recipe(epochs=7), sampling="uniform", at_once=2).as_dict()


def test_shrinking_is_json_with_every_number_of_its_rule():
    told = json.loads(json.dumps(Shrinking(warm_up=2, shares=(0.5, 1.0), rule=Rule(share=0.25, z=2)).as_dict()))

    assert (told["warm_up"], told["shares"], told["cost"]) == (2, [0.5, 1.0], "macs")
    assert Rule(**told["rule"]) == Rule(share=0.25, z=2)


@pytest.mark.parametrize(("sampling", "networks"), [("sandwich", 4), ("uniform", 1)])
def test_a_step_trains_as_many_networks_as_its_sampling_wants_unless_told(sampling, networks):
    assert TrainingPlan(sampling=sampling).as_dict()["at_once"] == networks
    assert TrainingPlan(sampling=sampling, at_once=5).at_once == 5


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sampling": "greedy"}, "unknown sampling 'greedy' of a supernet; known: sandwich, uniform"),
        ({"at_once": 2}, "2 networks a step (--supernet-at-once): sandwich sampling takes 3 at least"),
        ({"sampling": "uniform", "at_once": -1}, "-1 networks a step (--supernet-at-once): uniform"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(fields, said):
    with pytest.raises(InputError, match=re.escape(said)):
        TrainingPlan(**fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"warm_up": 0}, "warm_up 0"),
        ({"epochs": 0}, "epochs 0"),
        ({"candidates": 0}, "candidates 0"),
        ({"cost": "latency_ms"}, "cost 'latency_ms'"),
    ],
)
def test_shrinking_that_cannot_be_is_refused(fields, said):
    with pytest.raises(InputError, match=said):
        Shrinking(**fields)
