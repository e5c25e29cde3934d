"""What killed workers cost: a search on rungs that loses one every so many seconds, against the same search unhurt.

    python benchmarks/killing.py [--runner local ray] [--every 20] [--trials 40] [--epochs 1:9] [--workers 2] [--seed 0]

Real training on the bundled digits, the sampler `random`, SQLite and checkpoints in a temporary directory. The unhurt
search comes first. In the other one, every `--every` seconds, a worker process that trains gets SIGKILL.

Epochs are counted where they begin, so those cut short count as whole ones. "failed" are trials that were killed three
times, which a search takes for their own fault; "lost" are those that never ended, or of which an epoch is missing.
The candidates of both searches are the same; which of them go on from a rung depends on the order in which workers
finish, with several of them also in two unhurt searches. So "differ" compares the metrics of each trial at every epoch
that both searches trained, to the last bit.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search_spaces import get

TIMES = {"epoch_seconds"}  # metrics that no two trainings share


@dataclasses.dataclass(frozen=True)
class Noted:
    """An evaluation that notes the beginning of every epoch, and its end."""

    evaluate: Any
    file: Path

    def __call__(self, candidate, budget, report):
        number = int(Path(budget.checkpoint).name)

        def note(what):
            line = {"what": what, "trial": number, "pid": os.getpid()}
            notes = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(notes, json.dumps(line).encode() + b"\n")
            os.close(notes)

        def told(step, metrics):
            report(step, metrics)
            if step < budget.stop:
                note("epoch")

        note("epoch")
        try:
            return self.evaluate(candidate, budget, told)
        finally:
            note("end")


def read(file):
    """The notes so far."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def at_work(file):
    """Ids of the processes that train now."""
    last = {note["pid"]: note["what"] for note in read(file)}
    return [pid for pid, what in last.items() if what == "epoch" and Path(f"/proc/{pid}").exists()]


@contextmanager
def killer(file, every, rng):
    """Kills one of the processes that train, every so many seconds; yields the list of their ids."""
    killed, over = [], threading.Event()

    def kill():
        while not over.wait(every):
            while not (found := at_work(file)) and not over.wait(0.05):
                pass
            if found and not over.is_set():
                killed.append(rng.choice(found))
                os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def searched(options, runner, folder, every):
    """One search; the figures that are compared."""
    from nas import search
    from nas.data import load
    from nas.fidelity import Rungs
    from nas.recipe import Recipe
    from nas.store.doctor import examine
    from nas.training import TrainAndValidate

    smallest, full = map(int, options.epochs.split(":"))
    recipe = Recipe(epochs=full, held=Rungs(smallest, full).held)
    folder.mkdir()
    file, url = folder / "notes.jsonl", f"sqlite:///{folder}/nas.db"
    evaluate = Noted(TrainAndValidate(load("digits"), recipe), file)
    started = time.monotonic()
    with killer(file, every, random.Random(options.seed)) as killed:
        result = search(
            get(options.space, 8), evaluate, objectives=["accuracy:max"], trials=options.trials,
            sampler="random", storage=url, study="killing", runner=runner, workers=options.workers,
            epochs=(smallest, full), seed=options.seed, checkpoints=folder / "checkpoints",
        )  # fmt: skip
    seconds = time.monotonic() - started
    begun = sum(note["what"] == "epoch" for note in read(file))
    findings = examine(url, "killing").findings
    return {"result": result, "begun": begun, "killed": len(killed), "seconds": seconds, "findings": findings}


def lost(result):
    """Trials without their end, or with a hole in their curve."""
    return sum(not trial.ended or sorted(trial.curve) != list(range(1, trial.epochs + 1)) for trial in result.trials)


def different(one, other):
    """(trials compared, those whose candidates or metrics differ in an epoch that both have)."""
    found = 0
    for ours, theirs in zip(one.trials, other.trials, strict=True):
        both = ours.curve.keys() & theirs.curve.keys()
        same = all(metrics(ours.curve[step]) == metrics(theirs.curve[step]) for step in both)
        found += not (same and ours.digest == theirs.digest)
    return len(one.trials), found


def metrics(found):
    return {name: value for name, value in found.items() if name not in TIMES}


def compare(options, runner):
    with tempfile.TemporaryDirectory(prefix="nas-bench-") as name:
        unhurt = searched(options, runner, Path(name) / "unhurt", 1e9)
        hurt = searched(options, runner, Path(name) / "hurt", options.every)
    compared, differ = different(unhurt["result"], hurt["result"])
    return {
        "runner": runner,
        "trials": compared,
        "epochs": unhurt["begun"],
        "epochs_hurt": hurt["begun"],
        "ratio": hurt["begun"] / unhurt["begun"],
        "kills": hurt["killed"],
        "lost_attempts": sum(trial.attempt - 1 for trial in hurt["result"].trials),
        "failed": sum(trial.state.value == "fail" for trial in hurt["result"].trials),
        "lost": lost(hurt["result"]),
        "doctor": [*map(str, hurt["findings"])],
        "seconds": unhurt["seconds"],
        "seconds_hurt": hurt["seconds"],
        "different": differ,
        "best": unhurt["result"].best.metrics["accuracy"],
        "best_hurt": hurt["result"].best.metrics["accuracy"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runner", nargs="+", default=["local", "ray"])
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two kills [default: 20]")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", default="1:9", help="MIN:MAX [default: 1:9]")
    parser.add_argument("--space", default="cvt")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object a runner instead of lines")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for runner in options.runner:
        row = compare(options, runner)
        if options.json:
            sys.stdout.write(json.dumps(row) + "\n")
            continue
        print(f"{runner}: {row['trials']} trials, {row['epochs']} epochs and {row['seconds']:.0f} s unhurt")
        print(
            f"{runner}: {row['kills']} kills, {row['lost_attempts']} attempts lost, {row['epochs_hurt']} epochs and "
            f"{row['seconds_hurt']:.0f} s: {row['ratio']:.2f}x the epochs; {row['failed']} trials failed, "
            f"{row['lost']} lost, {len(row['doctor'])} faults found by the doctor"
        )
        print(
            f"{runner}: {row['different']} of {row['trials']} trials differ; "
            f"best accuracy {row['best']:.4f} unhurt, {row['best_hurt']:.4f}"
        )


if __name__ == "__main__":
    main()
