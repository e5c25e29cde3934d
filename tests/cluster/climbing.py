"""A search on rungs that notes every epoch, and what must hold of it, however it was disturbed."""

import collections
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from faults import ledger
from faults.driver import wait_until

from nas import Space, one_of, search
from nas.fidelity import Rungs
from nas.store.doctor import examine
from nas.store.reading import read_study
from nas.trial import State

KINDS = ("skip", "conv3", "conv5")
SPACE = Space({f"layer{index}": one_of(*KINDS) for index in range(4)})
TESTS = Path(__file__).resolve().parents[1]
DRIVER = "import sys; from cluster.climbing import Search; Search.read(sys.argv[1]).run()"


@dataclasses.dataclass(frozen=True)
class Search:
    """`seconds` are those of an epoch; before the first, so many worker processes `meet` (0: as many as workers)."""

    folder: Path
    address: str | None = None
    runner: str = "ray"
    trials: int = 9
    objectives: tuple = ("accuracy:max",)
    brackets: int = 1
    workers: int | None = 3
    gpus_per_trial: float = 0.0
    seconds: float = 0.1
    meet: int = 0
    study: str = "s"

    @property
    def url(self):
        return f"sqlite:///{self.folder}/nas.db"

    @property
    def file(self):
        return self.folder / "epochs.jsonl"

    @property
    def rungs(self):
        return Rungs(1, 9, 3, self.brackets)

    def run(self, evaluate=None, **options):
        return search(
            SPACE,
            evaluate or Climb(self.file, self.seconds, self.meet or self.workers or 1),
            objectives=self.objectives,
            trials=self.trials,
            sampler="random",
            storage=self.url,
            study=self.study,
            runner=self.runner,
            address=self.address,
            workers=self.workers,
            gpus_per_trial=self.gpus_per_trial,
            epochs=(self.rungs.smallest, self.rungs.full),
            factor=self.rungs.factor,
            brackets=self.brackets,
            checkpoints=self.folder / "checkpoints",
            **options,
        )

    def started(self):
        """In a process of its own."""
        paths = [str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        told = json.dumps({**dataclasses.asdict(self), "folder": str(self.folder)})
        with (self.folder / "driver.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", DRIVER, told], env=environment, stdout=log, stderr=log)

    @staticmethod
    def read(text):
        told = json.loads(text)
        return Search(**{**told, "folder": Path(told["folder"]), "objectives": tuple(told["objectives"])})

    def trials_now(self):
        return read_study(self.url, self.study).trials

    def notes(self):
        """Every epoch that was trained, in order."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def last_note(self, number):
        return next((note for note in reversed(self.notes()) if note["trial"] == number), None)


def value_of(candidate):
    return sum(KINDS.index(kind) * 3 ** int(name.removeprefix("layer")) for name, kind in candidate.items()) / 81


@dataclasses.dataclass(frozen=True)
class Climb:
    """Trains by waiting. An epoch is noted, then saved, then reported; each attempt saves to a file of its own."""

    file: Path
    seconds: float
    meet: int

    def __call__(self, candidate, budget, report):
        folder, metrics = Path(budget.checkpoint), {}
        self._meet()
        saved = [json.loads(path.read_text()) for path in folder.glob("epoch.*.json")]
        done = max((state["epoch"] for state in saved), default=0)
        for epoch in range(1, budget.stop + 1):
            value = value_of(candidate)
            metrics = {"accuracy": value * epoch / 9, "blur": abs(value - 0.5) + 1 / epoch}
            if epoch <= done:
                continue
            began = time.time()
            time.sleep(self.seconds)
            self._note(budget, epoch, began)
            _replace(folder / f"epoch.{os.getpid()}.json", {"epoch": epoch})
            report(epoch, metrics)
        return metrics

    def _meet(self):
        """Jobs shorter than the start of a worker would all be done by the first one."""
        here = self.file.parent / "workers"
        here.mkdir(exist_ok=True)
        (here / str(os.getpid())).touch()
        wait_until(lambda: len(list(here.iterdir())) >= self.meet, 100)

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


def check(search, most_repeated=0):
    """All trials ended; each trained every epoch up to its rung, once but for those under way when it was lost."""
    trials = search.trials_now()
    assert {trial.state for trial in trials} <= {State.COMPLETE, State.PRUNED}
    assert any(trial.state is State.COMPLETE for trial in trials)
    epochs = collections.defaultdict(list)
    for note in search.notes():
        epochs[note["trial"]].append(note["epoch"])
        assert note["start"] == search.rungs.before(note["trial"], note["stop"])
    repeated = 0
    for trial in trials:
        rungs = [level for level in search.rungs.levels if level >= search.rungs.first(trial.number)]
        assert trial.epochs in rungs
        assert (trial.epochs == 9) == (trial.state is State.COMPLETE)
        assert sorted(set(epochs[trial.number])) == list(range(1, trial.epochs + 1))
        again = len(epochs[trial.number]) - trial.epochs
        assert again <= trial.attempt - 1, f"trial {trial.number}: {epochs[trial.number]}, attempt {trial.attempt}"
        repeated += again
    assert repeated <= most_repeated
    assert ledger.faults(search) == []
    report = examine(search.url, search.study)
    assert report.findings == ()
    return trials
