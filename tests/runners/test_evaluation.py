"""Where an evaluation says that it runs."""

import socket

import evaluations
import pytest

from nas.jobs import Budget, Finished, Job, Reported
from runners.evaluation import device_name, evaluate_job


@pytest.mark.parametrize(
    ("device", "visible", "name"),
    [
        ("cuda", "3", "cuda:3"), ("cuda:1", "4,6", "cuda:6"), ("cuda:1", None, "cuda:1"), ("cuda", None, "cuda"),
        ("cuda:2", "4,6", "cuda:2"), ("cpu", "3", "cpu"), ("cuda", "GPU-8a1f", "cuda:GPU-8a1f"),
    ],
)  # fmt: skip
def test_a_gpu_has_its_number_on_the_host_where_a_process_sees_only_some(device, visible, name, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert device_name(device) == name


def test_every_report_says_where_it_was_made(layers, tmp_path):
    told = []
    genome = next(iter(layers))

    evaluate_job(
        layers, evaluations.share_of_conv3, Job(2, 1, genome, Budget(0, 2, 0, "cpu", str(tmp_path))), told.append
    )

    host = socket.gethostname()
    assert [(event.step, event.host, event.device) for event in told[:-1]] == [(1, host, "cpu"), (2, host, "cpu")]
    assert all(isinstance(event, Reported) for event in told[:-1])
    assert isinstance(told[-1], Finished)
