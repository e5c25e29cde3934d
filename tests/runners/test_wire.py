"""Jobs and events survive the way to another machine unchanged."""

import json

import pytest

from nas.jobs import Budget, Failed, Finished, Job, Reported, Started
from runners.wire import event_text, job_text, read_event, read_job


@pytest.mark.parametrize("shares", [(), (0.25 ** (1 / 3), 16 / 28)])
def test_a_job_is_read_back_equal_with_its_genome_a_tuple(shares):
    job = Job(3, 2, (0, 4, 1), Budget(1, 9, 7, "cpu", "/shared/3", *shares))

    assert read_job(job_text(job)) == job


@pytest.mark.parametrize(
    "event",
    [
        Started(3, 2, "node1", "cuda:1"),
        Reported(3, 2, 5, {"accuracy": 0.1}),
        Reported(3, 2, 5, {"accuracy": 0.1}, "node1", "cuda:1"),
        Finished(3, 2, {"accuracy": 0.5}, 1.5, "there"),
        Failed(3, 2, "no [luck]", 0.1, "h"),
        Failed(3, 2, "disk full", 0.1, "h", again=True),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_is_read_back_equal(event):
    text = event_text(event)

    assert read_event(text) == event
    assert json.loads(text)[0] == type(event).__name__.lower()
