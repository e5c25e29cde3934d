"""Evaluations that workers can import: cheap, and some that misbehave on purpose."""

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import nas
from nas.errors import NasError


def share_of_conv3(candidate, budget, report):
    """Accuracy is the share of conv3 layers; reports once an epoch."""
    values = list(candidate.values())
    accuracy = sum(value == "conv3" for value in values) / len(values)
    for epoch in range(budget.start + 1, budget.stop + 1):
        report(epoch, {"accuracy": accuracy * epoch / budget.stop})
    return {"accuracy": accuracy}


def logs_epochs(candidate, budget, report):
    """The same, and each epoch is a line of the file "epochs" in the checkpoint."""
    accuracy = share_of_conv3(candidate, budget, lambda step, metrics: None)["accuracy"]
    for epoch in range(budget.start + 1, budget.stop + 1):
        with (Path(budget.checkpoint) / "epochs").open("a") as log:
            log.write(f"{epoch}\n")
        report(epoch, {"accuracy": accuracy * epoch / 9})
    return {"accuracy": accuracy * budget.stop / 9}


def begins_with_another(candidate, budget, report):
    """Says whose directory it was given, by the number that its trial left there; -1 for none."""
    here = Path(budget.checkpoint)
    (here / "number").write_text(here.name)
    parent = int((Path(budget.parent) / "number").read_text()) if budget.parent else -1
    return {**share_of_conv3(candidate, budget, report), "parent": parent}


def macs(candidate):
    """skip is free, conv3 costs 3, conv5 costs 5."""
    return {"macs": float(sum({"skip": 0, "conv3": 3, "conv5": 5}[value] for value in candidate.values()))}


def slow_share(candidate, budget, report):
    time.sleep(0.3)
    return share_of_conv3(candidate, budget, report)


def waits_for_company(candidate, budget, report):
    """From the third trial on: until another one runs beside it, which it tells, but not for ever."""
    here = Path(budget.checkpoint)
    others = []
    if int(here.name) >= 2:
        (here / "running").touch()
        ends = time.monotonic() + 100
        while not others and time.monotonic() < ends:
            time.sleep(0.1)
            others = [other for other in here.parent.glob("*/running") if other.parent != here]
    return {"accuracy": 0.5, "company": len(others)}


def on_cuda(candidate, budget, report):
    return {"accuracy": 0.5, "on_cuda": float(budget.device.startswith("cuda"))}


def threads(candidate, budget, report):
    import torch

    return {"accuracy": 0.5, "threads": int(os.environ["OMP_NUM_THREADS"]), "torch": torch.get_num_threads()}


def what_ray_gave(candidate, budget, report):
    """What Ray counts as this worker's own."""
    import ray

    given = ray.get_runtime_context().get_assigned_resources()
    tokens = {name: float(amount) for name, amount in given.items() if name in ("CPU", "GPU", "A100", "B200")}
    return {"accuracy": 0.5, **tokens, "on_cuda": float(budget.device == "cuda")}


def dies_once(candidate, budget, report):
    """Kills its worker at the first attempt of every third trial; the second finds the note."""
    note = Path(budget.checkpoint) / "note"
    if budget.seed % 3 == 0 and not note.exists():
        note.write_text("was here")
        os._exit(9)
    return share_of_conv3(candidate, budget, report)


def always_dies(candidate, budget, report):
    os._exit(9)


def raises_sometimes(candidate, budget, report):
    if candidate["layer0"] == "conv5":
        raise RuntimeError("no luck with conv5")
    return share_of_conv3(candidate, budget, report)


def returns_nan(candidate, budget, report):
    return {"accuracy": float("nan")}


def returns_text(candidate, budget, report):
    return "0.9"


def returns_other(candidate, budget, report):
    return {"f1": 0.5}


def diverges_on_all(candidate, budget, report, team):
    """Of a training that workers share: each leaves a line in a file of its own and says what is wrong."""
    with (Path(budget.checkpoint) / f"worker-{team.rank}").open("a") as log:
        log.write("once\n")
    raise NasError("loss is nan in epoch 1")


def exits(candidate, budget, report):
    raise SystemExit(3)


def starts_a_process(candidate, budget, report):
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0,))
    child.start()
    child.join()
    return share_of_conv3(candidate, budget, report)


def where(candidate, budget, report):
    """Tells what the worker sees of its surroundings."""
    return {
        "accuracy": 0.5,
        "pid": os.getpid(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")),
        "sees_storage": float("NAS_STORAGE" in os.environ),
    }


def hangs_on_conv5(candidate, budget, report):
    """Sleeps for ever with conv5 first; tells its pid otherwise."""
    if candidate["layer0"] == "conv5":
        report(1, {"accuracy": 0.1})
        time.sleep(1000)
    return {**share_of_conv3(candidate, budget, report), "pid": os.getpid()}


def hangs_in_c(candidate, budget, report):
    """Holds the interpreter's lock in C code, so that no other thread of the process runs, and ignores SIGTERM."""
    if candidate["layer0"] == "conv5":
        with contextlib.suppress(ValueError):  # a Ray worker evaluates in a thread
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ctypes.PyDLL(None).sleep(1000)
    return share_of_conv3(candidate, budget, report)


def spins(candidate, budget, report):
    """A tight loop that ignores SIGTERM and catches what it can."""
    report(1, {"accuracy": 0.1, "pid": os.getpid()})
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        with contextlib.suppress(BaseException):
            while True:
                pass


def hangs_with_a_child(candidate, budget, report):
    child = subprocess.Popen(["sleep", "1000"])
    report(1, {"accuracy": 0.1, "pid": os.getpid(), "child_pid": child.pid})
    child.wait()


def segfaults_on_conv5(candidate, budget, report):
    if candidate["layer0"] == "conv5":
        ctypes.string_at(0)
    return share_of_conv3(candidate, budget, report)


def loses_its_gpu_once(candidate, budget, report):
    """With conv5 first, torch's error of a GPU whose context is dead, at the first attempt; leaves its pid."""
    import torch

    note = Path(budget.checkpoint) / "note"
    if candidate["layer0"] == "conv5" and not note.exists():
        note.write_text(str(os.getpid()))
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors ...")
    first = float(note.read_text()) if note.exists() else 0.0
    return {**share_of_conv3(candidate, budget, report), "pid": os.getpid(), "first_pid": first}


def always_loses_its_gpu(candidate, budget, report):
    raise RuntimeError("CUDA error: uncorrectable ECC error encountered")


def kills_itself(candidate, budget, report):
    os.kill(os.getpid(), signal.SIGKILL)


def takes_much_memory(candidate, budget, report):
    """With conv5 first, asks NumPy, with conv3 first torch, for more than this worker may have."""
    import numpy as np
    import torch

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, before[1]))
    try:
        if candidate["layer0"] == "conv5":
            np.ones(2**27)
        if candidate["layer0"] == "conv3":
            torch.ones(2**28)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    return share_of_conv3(candidate, budget, report)


def keeps_much(candidate, budget, report):
    """Writes two checkpoints; the second does not fit on a disk of 1 MB."""
    import torch

    from nas import checkpoint

    checkpoint.save(Path(budget.checkpoint), {"epoch": 1})
    checkpoint.save(Path(budget.checkpoint), {"epoch": 2, "weights": torch.zeros(2**19)})
    return share_of_conv3(candidate, budget, report)


def wraps_a_full_disk(candidate, budget, report):
    try:
        (Path(budget.checkpoint) / "log").write_bytes(bytes(2**21))
    except OSError:
        raise RuntimeError("could not log")  # noqa: B904 - the cause is implicit on purpose


def _busy(budget):
    (Path(budget.checkpoint) / "busy").touch()


def sleeps_long(candidate, budget, report):
    _busy(budget)
    time.sleep(1000)


def spins_long(candidate, budget, report):
    _busy(budget)
    spins(candidate, budget, report)


def hangs_long_in_c(candidate, budget, report):
    _busy(budget)
    ctypes.PyDLL(None).sleep(1000)


space = nas.Space({f"layer{index}": nas.one_of("skip", "conv3", "conv5") for index in range(4)})


def finds_password(candidate, budget, report):
    """How often this process holds what `needle` beside the checkpoints says, each byte of it turned by 85.

    The password itself is never put together here, or this would find its own search.
    """
    import numpy as np

    turned = (Path(budget.checkpoint).parents[2] / "needle").read_bytes()

    def times(content):
        return (np.frombuffer(content, np.uint8) ^ 85).tobytes().count(turned)

    found = {"environment": 0, "arguments": 0, "memory": 0}
    for name, value in os.environ.items():
        found["environment"] += times(f"{name}={value}".encode())
    found["environment"] += times(Path("/proc/self/environ").read_bytes())
    found["arguments"] = times(Path("/proc/self/cmdline").read_bytes())
    with Path("/proc/self/mem").open("rb", 0) as memory:
        for line in Path("/proc/self/maps").read_text().splitlines():
            places, rights, *_ = line.split()
            start, end = (int(place, 16) for place in places.split("-"))
            if rights.startswith("rw") and rights.endswith("p"):
                for at in range(start, end, 2**24):
                    with contextlib.suppress(OSError):
                        memory.seek(at)
                        found["memory"] += times(memory.read(min(2**24, end - at)))
    return {"accuracy": 0.5, "scheme": float("NAS_STORAGE" in os.environ), **found}
