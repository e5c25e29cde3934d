"""Studies whose trials climb rungs, and an evaluation that gets better with every epoch."""

from pathlib import Path

from evaluations import macs

from nas import search
from nas.feasible import Pricing
from nas.fidelity import Rungs
from nas.jobs import Finished
from nas.objectives import limits_from, objectives_from
from nas.plan import Plan
from nas.samplers.random import RandomSampler
from nas.store.base import Away, MemoryStore
from nas.study import Study

RUNGS = Rungs(1, 9)


class Leaving(MemoryStore):
    """A database that is away for the writing of trials while `gone`."""

    gone = False

    def begin(self, space, new, again):
        if self.gone:
            raise Away("away")


class Listening(RandomSampler):
    """Keeps what it is told."""

    def __init__(self, space):
        super().__init__(space, 0)
        self.seen, self.told = [], []

    def see(self, handle, outcome):
        self.seen.append((handle, outcome))

    def tell(self, handle, outcome):
        self.told.append((handle, outcome))


def make(space, tmp_path, trials=9, goals=("accuracy:max",), rungs=RUNGS, metric_limits=(), sampler=None, store=None):
    return Study(
        plan=Plan(trials=trials, rungs=rungs, checkpoints=tmp_path),
        pricing=Pricing(space, macs, ()),
        objectives=objectives_from(list(goals)),
        sampler=sampler or RandomSampler(space, 0),
        store=store or MemoryStore(),
        metric_limits=limits_from(list(metric_limits)),
    )


def finish(study, job, accuracy):
    study.handle(Finished(job.number, job.attempt, {"accuracy": accuracy}, 1.0, "here"))


def learns(candidate, budget, report):
    """Better with every epoch, the more conv3 the better; each epoch leaves a line in its checkpoint directory."""
    log = Path(budget.checkpoint) / "epochs"
    done = len(log.read_text().split()) if log.exists() else 0
    share = sum(value == "conv3" for value in candidate.values()) / len(candidate)
    for epoch in range(done + 1, budget.stop + 1):
        with log.open("a") as file:
            file.write(f"{epoch} ")
        report(epoch, {"accuracy": share * (1 - 0.5**epoch), "loss": 1 / epoch})
    return {"accuracy": share * (1 - 0.5**budget.stop), "loss": 1 / budget.stop}


def searched(url, layers, tmp_path, evaluate=learns, **options):
    arguments = {"objectives": ["accuracy:max"], "trials": 18, "study": "s", "runner": "inline", "epochs": (1, 9)}
    arguments |= {"costs": macs, "sampler": "random", "storage": url, "checkpoints": tmp_path / "c"}
    return search(layers, evaluate, **{**arguments, **options})
