"""How long a network takes on a device: forward passes of a batch, timed."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from nas.architecture import Architecture
from nas.errors import InputError
from nas.measuring import LATENCY, Measure
from nas.model import build

WARM_S, WARM_PASSES = 0.1, 2  # passes that are not counted: at most so long, at least so many
TIMED_S, MOST, LEAST = 0.4, 1000, 3  # passes that are: at most so long and so many, at least so many


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds of a forward pass of one batch.

    Attributes:
        median_ms, p90_ms: as found, with whatever else the machine was doing.
        p10_ms: the lower decile, which other load raises least: what `latency_ms` is in a search.
        repeats: passes timed.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    repeats: int


def measure(
    architecture: Architecture,
    *,
    resolution: int,
    in_channels: int,
    num_classes: int,
    device: str,
    batch: int = 1,
    dtype: torch.dtype = torch.float32,
    threads: int = 1,
    seed: int = 0,
) -> Latency:
    """Time a network with random weights in evaluation mode on random images; about half a second.

    A network whose single pass takes longer than that is timed LEAST times. `threads` are torch's on the CPU; the
    number before is put back, and torch's random numbers go on as if nothing had happened.
    Raises: InputError for a device that is not there.
    """
    target, before = checked_device(device), torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(architecture, in_channels=in_channels, num_classes=num_classes, resolution=resolution)
        images_BCHW = torch.randn(batch, in_channels, resolution, resolution)
    model.to(target, dtype).eval()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            images_BCHW = images_BCHW.to(target, dtype)
            return timed(model, images_BCHW)
    finally:
        torch.set_num_threads(before)


def timed(function: Callable[[torch.Tensor], object], images_BCHW: torch.Tensor) -> Latency:
    """What `function` takes for a batch, once it is warm; about half a second."""
    _passes(function, images_BCHW, WARM_S, WARM_PASSES)
    found = sorted(_passes(function, images_BCHW, TIMED_S, LEAST))
    tenth, half, ninth = (found[round(share * (len(found) - 1))] for share in (0.1, 0.5, 0.9))
    return Latency(half, tenth, ninth, len(found))


def _passes(
    function: Callable[[torch.Tensor], object], images_BCHW: torch.Tensor, seconds: float, least: int
) -> list[float]:
    """Milliseconds of each pass."""
    found: list[float] = []
    ends = time.perf_counter() + seconds
    while len(found) < least or (time.perf_counter() < ends and len(found) < MOST):
        _wait(images_BCHW)
        started = time.perf_counter()
        function(images_BCHW)
        _wait(images_BCHW)
        found.append(1e3 * (time.perf_counter() - started))
    return found


def _wait(tensor: torch.Tensor) -> None:
    if tensor.device.type == "cuda":
        torch.cuda.synchronize(tensor.device)


def checked_device(device: str) -> torch.device:
    """Raises: InputError for one that torch does not know, or that this machine lacks."""
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device {device!r}: cpu or cuda is expected") from error
    if found.type not in ("cpu", "cuda"):
        raise InputError(f"device {device!r}: cpu or cuda is expected")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {device!r}: this machine has {torch.cuda.device_count()} GPU(s)")
    return found


def device_name(device: str) -> str:
    """The model of the processor or GPU. Raises: InputError for one that is not there."""
    found = checked_device(device)
    if found.type == "cuda":
        return torch.cuda.get_device_name(found)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def measurement(
    *, resolution: int, in_channels: int, num_classes: int, device: str, batch: int = 1, threads: int = 1
) -> Measure:
    """`latency_ms` of architectures for a data set on a device of this machine, for `nas.search(measure=...)`.

    Raises: InputError for a device that is not there.
    """

    def function(candidate: Architecture) -> Mapping[str, float]:
        found = measure(
            candidate,
            resolution=resolution,
            in_channels=in_channels,
            num_classes=num_classes,
            device=device,
            batch=batch,
            threads=threads,
        )
        return {LATENCY: found.p10_ms, "latency_median_ms": found.median_ms, "latency_p90_ms": found.p90_ms}

    where = (
        f"{device_name(device)[:120]}, torch {torch.__version__}, {threads} thread(s), float32, "
        f"{batch}x{in_channels}x{resolution}x{resolution}, {num_classes} classes"
    )
    return Measure(function, (LATENCY,), where)
