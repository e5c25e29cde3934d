"""From a space and images to a supernet file: trained at once, or while the space shrinks. Goes on where it was."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from nas.architecture import Architecture
from nas.data import ImageData
from nas.errors import InputError, OutOfMemory
from nas.feasible import Priced, Pricing
from nas.jobs import Metrics
from nas.shortage import out_of_memory
from nas.space import Genome, Space
from nas.supernet import files
from nas.supernet.course import Course, Phase
from nas.supernet.envelope import STARTS, extreme
from nas.supernet.files import SupernetFile
from nas.supernet.judging import accuracies, calibrated
from nas.supernet.network import Supernet
from nas.supernet.plan import Shrinking, TrainingPlan
from nas.supernet.shrinking import Judged, difficulty, shrink
from nas.supernet.training import SupernetTrainer
from nas.team import ALONE, Team
from nas.version import __version__
from nas.writing import written_whole

COURSE = "course.json"
LOCK = ".lock"
BEGUN = "making.json"  # from what, and how, the supernet in a folder is made

Told = Callable[[int, Metrics], None]
"""told(epoch, metrics) after every epoch."""


@dataclasses.dataclass(frozen=True)
class Making:
    """What a supernet is made from, and how.

    Attributes:
        pricing: of the space, with the limits that networks are drawn within. shrinking: None trains all of it.
        seed: of everything random.
    """

    pricing: Pricing
    data: ImageData
    plan: TrainingPlan
    shrinking: Shrinking | None = None
    seed: int = 0

    @property
    def facts(self) -> dict[str, Any]:
        """What two supernets must have in common for one to stand for the other, as JSON types."""
        return {
            "plan": self.plan.as_dict(),
            "limits": [str(limit) for limit in self.pricing.limits],
            "shrinking": None if self.shrinking is None else self.shrinking.as_dict(),
            "seed": self.seed,
        }


def make(
    making: Making,
    folder: Path,
    told: Told,
    shrunk: Callable[[Phase, int], None] | None = None,
    *,
    device: str = "cpu",
    team: Team = ALONE,
) -> SupernetFile:
    """The supernet in `folder`: read where it is there, else trained, from a checkpoint where that is there.

    Args:
        making: from what, and how.
        folder: keeps the checkpoint, the course of shrinking and the file.
        told: called after every epoch.
        shrunk: called with every phase of shrinking that has ended, and the number of all classes.
        device: to train on.
        team: who trains it together; the leader writes.

    Raises: InputError for a folder that holds a supernet made otherwise, or where another process is making it;
    SpaceError, Diverged.
    """
    with ExitStack() as stack:
        refused = None
        if team.leads:
            try:
                stack.enter_context(_alone_in(folder))
            except InputError as error:
                refused = error
        if float(team.total(torch.tensor([float(refused is not None)], device=device))):  # all end, and nobody waits
            raise refused or InputError(f"the leading worker could not have {folder} for itself")
        try:
            return made(making, folder) or _trained(making, folder, told, shrunk, device, team)
        except (RuntimeError, MemoryError) as error:
            if reason := out_of_memory(error):
                raise OutOfMemory(f"{reason}: smaller batches (--batch-size) train a supernet in less") from error
            raise
        finally:
            if device.startswith("cuda"):  # the workers of the search want the memory that PyTorch keeps for itself
                torch.cuda.empty_cache()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Raises: InputError where another process of this machine is at work in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                yield  # a file system without locks
                return
            raise InputError(
                f"another process is making the supernet in {folder}; the same command goes on when it has ended"
            ) from error
        yield


def made(making: Making, folder: Path) -> SupernetFile | None:
    """The supernet in `folder`; None where there is none yet. Raises: InputError for one that was made otherwise."""
    target = folder / files.NAME
    if not target.exists():
        return None
    found = files.read(target)
    files.check(found, making.pricing.space, making.data)
    if differ := _differ(making.facts, found.facts):
        raise InputError(f"{_made_otherwise(folder, differ)}, and --supernet {target} takes it as it is")
    return found


def _trained(
    making: Making,
    folder: Path,
    told: Told,
    shrunk: Callable[[Phase, int], None] | None,
    device: str,
    team: Team,
) -> SupernetFile:
    """The supernet, trained on from what is in the folder, and written."""
    _begin(making, folder, team)
    space = making.pricing.space
    supernet = Supernet(
        space, in_channels=making.data.channels, num_classes=len(making.data.classes),
        resolution=making.data.resolution, seed=making.seed,
    )  # fmt: skip
    run = _Run(making, supernet, folder, told, device, team)
    course = run.shrinking(shrunk) if making.shrinking is not None else None
    trainer = run.train(space if course is None else course.narrowed(space), None, making.plan.recipe.epochs)
    facts = {
        **making.facts,
        "epochs": trainer.epoch,
        "steps": trainer.steps,
        "passes": trainer.passes,
        "seconds": trainer.seconds,
        "device": device,
        "workers": team.size,
        "version": __version__,
        "course": None if course is None else course.as_json(),
    }
    if team.leads:
        files.write(folder / files.NAME, trainer.averaged(), space, making.data, facts)
    team.wait(device)
    return files.read(folder / files.NAME)


def _begin(making: Making, folder: Path, team: Team) -> None:
    """Note in the folder what is made there. Raises: InputError where it is something else."""
    path = folder / BEGUN
    space, data = making.pricing.space, making.data
    facts = {"space": space.digest, "data": data.digest, "resolution": data.resolution, **making.facts}
    if path.exists():
        try:
            known = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: does not say what was begun there ({error})") from error
        if differ := _differ(facts, known):
            raise InputError(_made_otherwise(folder, differ))
    elif team.leads:
        _write(path, facts)


def _differ(facts: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """What is not the same, by name."""
    return [name for name, value in json.loads(json.dumps(facts)).items() if known.get(name) != value]


def _made_otherwise(folder: Path, differ: Sequence[str]) -> str:
    return (
        f"{folder} holds a supernet made with another {' and '.join(differ)}; another --study, or deleting it, makes "
        f"room"
    )


def _write(path: Path, body: Mapping[str, Any]) -> None:
    """JSON, whole or not at all."""
    with written_whole(path) as file:
        file.write(json.dumps(body).encode())


@dataclasses.dataclass
class _Run:
    making: Making
    supernet: Supernet
    folder: Path
    told: Told
    device: str
    team: Team

    @property
    def rule(self) -> Shrinking:
        """How the space shrinks; asked of a making that says so."""
        return self.making.shrinking or Shrinking()

    def _pricing(self, space: Space) -> Pricing:
        """The limits, over what is left of the space."""
        return Pricing(space, self.making.pricing.price_of, self.making.pricing.limits)

    def train(self, space: Space, classes: Sequence[int] | None, stop: int) -> SupernetTrainer:
        """On to `stop` epochs in all, with networks of `space` and images of some classes."""
        pricing = self._pricing(space)
        trainer = SupernetTrainer(
            self.supernet, self.making.data, self.making.plan, self.folder,
            draw=lambda rng: _drawn(pricing, rng).candidate,
            ends=ends_of(pricing), classes=classes, seed=self.making.seed, device=self.device, team=self.team,
        )  # fmt: skip
        trainer.run(self.told, stop)
        return trainer

    def shrinking(self, shrunk: Callable[[Phase, int], None] | None) -> Course:
        """The phases, those that have ended read from the folder; trains to the end of the last."""
        rule, data, space = self.rule, self.making.data, self.making.pricing.space
        order, done = self._begun()
        if order is None:
            trainer = self.train(space, None, rule.warm_up)
            model = self._model(trainer, trainer.ends[0], None)
            order = difficulty(self._leaders(accuracies(model, data, self.device)))
            self._keep(order, done)
        last: list[SupernetTrainer] = []

        def train(number: int, left: Space, classes: tuple[int, ...], epochs: int) -> None:
            last[:] = [self.train(left, classes, rule.warm_up + number * epochs)]

        def judge(left: Space, genomes: Sequence[Genome], classes: tuple[int, ...]) -> list[Judged]:
            found = [self._accuracy(last[0], left.decode(genome), classes) for genome in genomes]
            told = zip(genomes, self._leaders(found), strict=True)
            return [Judged(genome, accuracy, self._cost(left.decode(genome))) for genome, accuracy in told]

        @lru_cache(1)
        def priced(left: Space) -> Pricing:
            return self._pricing(left)

        def draw(left: Space, rng: random.Random) -> Genome:
            return _drawn(priced(left), rng).genome

        for phase in shrink(
            space, order, train=train, judge=judge, shares=rule.shares, epochs=rule.epochs,
            candidates=rule.candidates, rule=rule.rule, seed=self.making.seed, draw=draw, done=done,
        ):  # fmt: skip
            done.append(phase)
            self._keep(order, done)
            if shrunk is not None:
                shrunk(phase, len(data.classes))
        return self._course(done)

    def _accuracy(self, trainer: SupernetTrainer, candidate: Architecture, classes: Sequence[int]) -> float:
        """On the validation images of some classes, each class alike."""
        model = self._model(trainer, candidate, classes)
        found = accuracies(model, self.making.data, self.device, classes)
        return sum(found) / len(found)

    def _cost(self, candidate: Architecture) -> float:
        return self.making.pricing.price_of(candidate)[self.rule.cost]

    def _model(
        self, trainer: SupernetTrainer, candidate: Architecture, classes: Sequence[int] | None
    ) -> torch.nn.Module:
        return calibrated(trainer.average, candidate, self.making.data, self.device, classes)

    def _leaders(self, values: Sequence[float]) -> list[float]:
        """The leader's of the figures that each of the team came to, so that all go on with the same space."""
        mine = torch.tensor(values, dtype=torch.float64, device=self.device)
        told: list[float] = self.team.total(mine if self.team.leads else torch.zeros_like(mine)).tolist()
        return told

    def _begun(self) -> tuple[tuple[int, ...] | None, list[Phase]]:
        path = self.folder / COURSE
        if not path.exists():
            return None, []
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            return tuple(told["order"]), list(Course.from_json(told["course"]).phases)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not the course of a supernet that was begun ({error})") from error

    def _course(self, done: Sequence[Phase]) -> Course:
        return Course(tuple(done), len(self.making.data.classes), self.rule.cost, self.rule.rule.cost_weight)

    def _keep(self, order: Sequence[int], done: Sequence[Phase]) -> None:
        if self.team.leads:
            _write(self.folder / COURSE, {"order": [*order], "course": self._course(done).as_json()})


def _drawn(pricing: Pricing, rng: random.Random) -> Priced:
    if (found := pricing.draw(rng)) is None:
        raise InputError("no architecture found within the limits to train the supernet with")
    return found


def ends_of(pricing: Pricing) -> tuple[Architecture, Architecture]:
    """The largest and the smallest network within the limits. Raises: InputError where nothing is."""
    rng, space = random.Random(0), pricing.space
    drawn = [found.genome for _ in range(STARTS) if (found := pricing.draw(rng)) is not None]
    if not drawn:
        pricing.require_feasible()
    largest, smallest = (
        space.decode(extreme(space, largest=each, fits=pricing.within, starts=drawn)) for each in (True, False)
    )
    return largest, smallest
