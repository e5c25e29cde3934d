"""A search on rungs that notes every epoch, and what must hold of it, however it was disturbed."""

import collections
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from cluster.epochs import SPACE, Climb
from faults import ledger

from nas import search
from nas.fidelity import Rungs
from nas.store.doctor import examine
from nas.store.reading import read_study
from nas.trial import State

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

    def run(self, evaluate=Climb, **options):
        return search(
            SPACE,
            evaluate(self.file, self.seconds, self.meet or self.workers or 1),
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
