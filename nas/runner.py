"""What carries out a study's jobs: what every runner offers, and how it is told to work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from nas.errors import unknown
from nas.jobs import Evaluate
from nas.study import Study

Watch = Callable[[Study], None]
"""Called with the study as it stands, at least after every event; what it raises stops the search."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunnerOptions:
    """How a runner shall work.

    Attributes:
        workers: evaluations at a time; None lets the runner choose by the machine.
        cpus_per_trial: cores for each; None shares them all out.
        gpus_per_trial: share of a GPU for each; 0 for none; None lets the runner choose: 1 where there are GPUs.
        trial_bytes: of GPU memory that a trial takes at its peak; with gpus_per_trial None as many trials share a GPU
            as fit into it, and a GPU there must be.
        resources: of a cluster's nodes, by name, that each takes besides.
        address: of a Ray cluster ("auto" or HOST:PORT); None starts one on this machine.
        timeout: seconds after which nothing new is started; what runs is finished.
        trial_timeout: seconds that one evaluation may take; then its worker is killed and it is `Failed`.
        callbacks: of Ray Tune, for loggers and the like.
        runtime_env: what Ray shall set up on its nodes, as `ray.init` takes it.
    """

    workers: int | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = 0.0
    trial_bytes: int | None = None
    resources: Mapping[str, float] = dataclasses.field(default_factory=dict)
    address: str | None = None
    timeout: float | None = None
    trial_timeout: float | None = None
    callbacks: Sequence[Any] = ()
    runtime_env: Mapping[str, Any] | None = None


class Runner(Protocol):
    """What the entry-point group `mixer_nas.runners` names: modules (or objects) with these two functions."""

    def check(self, options: RunnerOptions) -> None:
        """Called before anything is written. Raises: InputError for options that this runner cannot carry out."""

    def run(self, study: Study, evaluate: Evaluate, options: RunnerOptions, watch: Watch) -> None:
        """Carry out the study's jobs until it is over or its time is. When interrupted, stop the workers."""


def runner_named(name: str) -> Runner:
    """One of ours, or a plug-in's. Raises: InputError for a name that there is not."""
    found = {entry.name: entry for entry in entry_points(group="mixer_nas.runners")}
    if name not in found:
        raise unknown("runner", name, sorted(found) or ["none: mixer-nas is not installed, only on the path"])
    carrier: Runner = found[name].load()
    return carrier
