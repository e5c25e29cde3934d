"""The actor without Ray: what it says when an evaluation does not end as evaluations do."""

import asyncio

import pytest

from nas import open_search
from runners import ray_worker
from runners.ray_words import JobWords
from runners.ray_worker import JobTrainable


def is_cancelled(candidate, budget, report):
    raise asyncio.CancelledError("by its own loop")


def test_an_evaluation_that_ends_by_no_exception_of_the_usual_kind_is_lost_and_nobody_waits_for_it(layers, monkeypatch):
    monkeypatch.setattr(ray_worker.ray, "get_gpu_ids", list)
    with open_search(layers, objectives=["accuracy:max"], trials=1, storage=None) as study:
        actor = JobTrainable.__new__(JobTrainable)
        actor._space, actor._evaluate = layers, is_cancelled
        actor._begin(JobWords(layers, timed=False).config(study.next()))

        with pytest.raises(RuntimeError, match=r"CancelledError: by its own loop at .*test_ray_worker\.py"):
            actor.step()
