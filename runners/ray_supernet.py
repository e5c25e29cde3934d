"""A supernet whose training Ray Train shares among workers: each takes its part of every batch."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

from nas.jobs import Budget, Report
from nas.runner import RunnerOptions
from nas.supernet import files
from nas.supernet.course import Course, Phase
from nas.supernet.files import SupernetFile
from nas.supernet.making import Making, Told, made, make
from nas.team import ALONE, Team
from runners.ray_cluster import ENVIRONMENT, environment
from runners.ray_luggage import pack, served
from runners.ray_nodes import workplace
from runners.ray_noise import noise
from runners.ray_retrain import SILENT, Shared, room
from runners.tune import check


@dataclasses.dataclass(frozen=True)
class MakeTogether:
    """What each worker does: its part of making the supernet in the folder of the budget."""

    making: Making

    def __call__(self, _candidate: object, budget: Budget, report: Report, team: Team = ALONE) -> dict[str, float]:
        """The seconds and epochs of the training. Raises: as `make`."""
        file = make(self.making, Path(budget.checkpoint), report, device=budget.device, team=team)
        return {"seconds": float(file.facts["seconds"]), "epochs": float(file.facts["epochs"])}


def make_together(
    making: Making, folder: Path, told: Told, shrunk: Callable[[Phase, int], None], options: RunnerOptions
) -> SupernetFile:
    """As `nas.supernet.making.make`, by `options.workers` workers on a Ray cluster that all see `folder`.

    Phases of shrinking are told at the end. Raises: InputError when the cluster cannot be reached or has no room.
    """
    if (found := made(making, folder)) is not None:
        return found
    check(options)
    luggage = pack(MakeTogether(making))
    with environment({**ENVIRONMENT, **SILENT}), noise(), workplace(options, luggage, folder.parent):
        workers, each = room(options)
        shared = Shared(served(luggage), workers, each, threading.Event())
        shared(None, Budget(0, making.plan.recipe.epochs, making.seed, "cpu", str(folder)), told)
    file = files.read(folder / files.NAME)
    if (course := file.facts.get("course")) is not None:
        for phase in Course.from_json(course).phases:
            shrunk(phase, len(making.data.classes))
    return file
