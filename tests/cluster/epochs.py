"""An evaluation that notes every epoch; all that workers must import of a search on rungs."""

import ctypes
import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

from nas import Space, one_of

KINDS = ("skip", "conv3", "conv5")
SPACE = Space({f"layer{index}": one_of(*KINDS) for index in range(4)})
MEET_S = 100.0


def value_of(candidate):
    return sum(KINDS.index(kind) * 3 ** int(name.removeprefix("layer")) for name, kind in candidate.items()) / 81


def done_in(folder):
    """The epoch that the latest attempt has saved."""
    saved = max(folder.glob("epoch.*.json"), key=lambda path: int(path.suffixes[0][1:]), default=None)
    return json.loads(saved.read_text())["epoch"] if saved else 0


@dataclasses.dataclass(frozen=True)
class Climb:
    """Trains by waiting. An epoch is noted, then saved, then reported; each attempt saves to a file of its own."""

    file: Path
    seconds: float
    meet: int

    def __call__(self, candidate, budget, report):
        folder, metrics = Path(budget.checkpoint), {}
        self.meeting()
        done = done_in(folder)
        for epoch in range(1, budget.stop + 1):
            value = value_of(candidate)
            metrics = {"accuracy": value * epoch / 9, "blur": abs(value - 0.5) + 1 / epoch}
            if epoch <= done:
                continue
            began = time.time()
            time.sleep(self.seconds)
            self.strike(budget, epoch)
            self._note(budget, epoch, began)
            _replace(folder / f"epoch.{budget.attempt}.json", {"epoch": epoch})
            report(epoch, metrics)
        return metrics

    def strike(self, budget, epoch):
        """For evaluations that do harm in the middle of an epoch."""

    def meeting(self):
        """Wait until so many processes work: jobs shorter than the start of one would all be done by the first."""
        here = self.file.parent / "workers"
        here.mkdir(exist_ok=True)
        (here / str(os.getpid())).touch()
        deadline = time.monotonic() + MEET_S
        while len(list(here.iterdir())) < self.meet:
            assert time.monotonic() < deadline, f"not {self.meet} workers"
            time.sleep(0.05)

    def _note(self, budget, epoch, began):
        """One line, one write: lines of several processes never mix."""
        line = {"trial": int(Path(budget.checkpoint).name), "epoch": epoch, "start": budget.start, "stop": budget.stop}
        line |= {"began": began, "ended": time.time(), "pid": os.getpid(), **_place()}
        notes = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(notes, json.dumps(line).encode() + b"\n")
        os.close(notes)


def _place():
    if "ray" not in sys.modules:
        return {"node": "", "gpus": [], "visible": ""}
    import ray

    gpus, visible = ray.get_gpu_ids(), os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return {"node": ray.get_runtime_context().get_node_id(), "gpus": gpus, "visible": visible}


def _replace(path, state):
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(state))
    temporary.replace(path)


class Freezes(Climb):
    """The first trial's first attempt stops its whole node in its second epoch, itself at last."""

    def strike(self, budget, epoch):
        if (Path(budget.checkpoint).name, epoch, budget.attempt) == ("0", 2, 1):
            raylet, here = os.getppid(), os.getpid()
            workers = [pid for pid in children(raylet) if pid != here]
            _replace(self.file.parent / "frozen.json", [here, *workers, raylet])
            for pid in (raylet, *workers, here):
                os.kill(pid, signal.SIGSTOP)


def children(parent):
    """Ids of its child processes."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


class Breaks(Climb):
    """The first three trials: one that kills its worker, one that asks for too much memory, one whose GPU fails once."""

    def strike(self, budget, epoch):
        match Path(budget.checkpoint).name, budget.attempt:
            case "0", _:
                ctypes.string_at(0)
            case "1", _:
                raise MemoryError("Unable to allocate 1.00 GiB")
            case "2", 1:
                raise RuntimeError("CUDA error: unspecified launch failure")
