"""Latencies of real networks: in the right order, repeatable enough, and of the device that is named."""

import pytest
import torch

from nas import zoo
from nas.errors import InputError
from nas.latency import TIMED_S, device_name, measure, measurement

SIZE = {"in_channels": 3, "num_classes": 10, "device": "cpu"}


def test_a_network_of_fifty_times_the_macs_takes_longer():
    larger = zoo.get("cvt-13").at(224)

    fast, slow = measure(zoo.get("cvt-13").at(32), resolution=32, **SIZE), measure(larger, resolution=224, **SIZE)

    assert slow.p10_ms > fast.p90_ms
    assert fast.repeats > slow.repeats >= 3
    for found in (fast, slow):
        assert 0 < found.p10_ms <= found.median_ms <= found.p90_ms


def test_measuring_leaves_the_random_numbers_and_the_threads_as_they_were():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    threads = torch.get_num_threads()

    measure(zoo.get("cvt-13").at(32), resolution=32, threads=2, **SIZE)

    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert TIMED_S < 1


def test_a_measurement_says_what_it_depends_on():
    found = measurement(resolution=32, in_channels=3, num_classes=10, device="cpu", batch=2)

    assert device_name("cpu")
    assert (
        found.where
        == f"{device_name('cpu')[:120]}, torch {torch.__version__}, 1 thread(s), float32, 2x3x32x32, 10 classes"
    )
    assert found.names == ("latency_ms",)
    taken = found.function(zoo.get("cvt-13").at(32))
    assert 0 < taken["latency_ms"] <= taken["latency_median_ms"] <= taken["latency_p90_ms"]


@pytest.mark.parametrize("device", ["tpu", "mps", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(InputError, match=f"device '{device}'"):
        measurement(resolution=32, in_channels=3, num_classes=10, device=device)
