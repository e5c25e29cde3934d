"""`search`: the Python front door."""

from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.checked import canonical_json, digest
from nas.errors import InputError, StoreError
from nas.feasible import Costs, Pricing, Scores
from nas.fidelity import Rungs
from nas.front import check_packages
from nas.goals import split
from nas.jobs import Evaluate
from nas.keeping import Keeper
from nas.measuring import Measure
from nas.nearest import starting_point
from nas.objectives import Limit, Objective, limits_from, objectives_from
from nas.plan import Plan
from nas.ranking import nearest, pareto, ranked
from nas.runner import RunnerOptions, Watch, runner_named
from nas.samplers import make_sampler
from nas.space import Space
from nas.store.base import MemoryStore, Store
from nas.study import Study
from nas.trial import Trial

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclasses.dataclass(frozen=True)
class Result:
    """What a search came to.

    Attributes:
        study: its name. trials: all of them by number.
        ranked: the complete trials within all limits, best first by the first objective; pareto: those of them that
            no other dominates.
        nearest: the complete trial that is least over the limits when none is within them.
        rejected: proposals that were not evaluated, by reason.
        exhausted: whether nothing new was left within the limits.
    """

    study: str
    trials: tuple[Trial, ...]
    ranked: tuple[Trial, ...]
    pareto: tuple[Trial, ...]
    nearest: Trial | None
    rejected: Mapping[str, int]
    exhausted: bool

    @property
    def best(self) -> Trial | None:
        """The complete trial within the limits that is best by the first objective; None when there is none."""
        return self.ranked[0] if self.ranked else None

    @classmethod
    def of(cls, study: Study, name: str = "") -> Result:
        """What a study has come to so far."""
        trials = tuple(study.trials[number] for number in sorted(study.trials))
        goals, limits = study.goals.objectives, study.goals.all_limits
        best = tuple(ranked(trials, goals, limits))
        return cls(
            name,
            trials,
            best,
            tuple(pareto(trials, goals, limits)),
            None if best else nearest(trials, goals, limits),
            dict(study.rejected),
            study.exhausted,
        )


def search(
    space: Space,
    evaluate: Evaluate,
    *,
    objectives: Mapping[str, str] | Sequence[str],
    costs: Costs | None = None,
    constraints: Mapping[str, str] | Sequence[str] | None = None,
    measure: Measure | None = None,
    scores: Scores | None = None,
    trials: int = 100,
    sampler: str = "auto",
    storage: str | None = "sqlite:///nas.db",
    study: str = "search",
    runner: str = "local",
    workers: int | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = 0.0,
    trial_bytes: int | None = None,
    resources: Mapping[str, float] | None = None,
    address: str | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    epochs: tuple[int, int] = (1, 1),
    factor: int = 3,
    brackets: int = 1,
    rung_subset: float = 1.0,
    rung_scale: float = 1.0,
    seed: int = 0,
    timeout: float | None = None,
    trial_timeout: float | None = None,
    device: str = "cpu",
    checkpoints: str | Path = "checkpoints",
    start: Sequence[Any] = (),
    settings: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
    reuse: bool = False,
    inherit: bool = False,
    watch: Watch | None = None,
    callbacks: Sequence[Any] = (),
) -> Result:
    """Search `space` for what `evaluate` likes best.

    Args:
        space: what may be.
        evaluate: evaluate(candidate, budget, report) -> {"accuracy": 0.93, ...}; runs in the runner's workers.
        objectives: {"accuracy": "maximize", "macs": "minimize"} or ["accuracy:max", ...].
        costs: costs(candidate) -> {"macs": 1.2e8, ...}: exact, cheap, known before evaluation.
        constraints: {"params": "<= 2e6"} or ["params<=2e6"]. What breaks one on those costs is never evaluated; a name
            that is no cost is a metric of `evaluate`, and what breaks its limit is never among the best.
        measure: what needs no training but takes seconds, as a latency: done in this process for candidates that are
            about to be evaluated, after the limits on `costs`; what breaks a limit on it is never evaluated.
        scores: what may hint at the metrics without training, as zero-cost scores do; asked for a few candidates a
            trial, in this process. "auto" learns what they are worth.
        trials: how many the study shall have in all; a study that has some goes on to that number.
        sampler: "auto", "evolution", "tpe", "nsga2", "nsga3", "gp", "qmc", "random", "brute-force" for up to 100,000
            combinations, or "cmaes" for spaces of numbers (needs the package cmaes).
        storage: database URL; None keeps the study in memory.
        study: its name in the database.
        runner: "inline" (this process), "local" (processes of this machine), "ray", or a plug-in's name.
        workers: evaluations at a time; None lets the runner choose by the machine.
        cpus_per_trial: cores for each, as threads of a local worker or as a request to Ray; None shares them all out.
        gpus_per_trial: share of a GPU for each; 0 for none; None lets the runner choose: 1 where there are GPUs.
        trial_bytes: GPU memory that a trial takes at its peak (`nas.memory` predicts it); with gpus_per_trial None as
            many trials share a GPU as fit into it.
        resources: {"A100": 0.25}: custom resources of a Ray cluster's nodes that each takes besides.
        address: of a Ray cluster, "auto" or HOST:PORT; None starts one on this machine.
        runtime_env: what Ray shall set up on its nodes, as `ray.init` takes it: {"pip": ["timm"]}.
        timeout: seconds after which nothing new is started; what runs is finished.
        trial_timeout: seconds that one trial may take; then its worker is killed and the trial fails.
        epochs: (smallest, full) budget in whatever unit `evaluate` counts. Where they differ, trials climb rungs: each
            is evaluated from `budget.start` to `budget.stop`, set aside, and goes on when it is among the best.
        factor: one in so many trials of a rung goes on.
        brackets: how many ladders of rungs, see `nas.fidelity.Rungs`.
        rung_subset: share of the training images at the first rung, rising to 1 at the full budget; an `evaluate` of
            one's own finds it in `budget.share`.
        rung_scale: the same for the side of the images, in `budget.scale`.
        seed: of the sampler and the candidates; "inline" or one worker repeats exactly.
        device: given to `evaluate` in its budget.
        checkpoints: directory for what evaluations keep; one directory a study, one a trial below it.
        start: candidates to evaluate first; those outside the limits are passed over, but an architecture is scaled
            into the space and the limits.
        settings: more facts that make two searches different ones; a study resumed with others is refused.
        protocol: facts about data and training under which the same candidate gets the same metrics (up to chance), for
            `reuse`; None: this search's evaluations are comparable with nobody's.
        reuse: take in the evaluations that other studies in the database made under the same protocol and full budget;
            they are trials of this study, marked as reused, and do not count towards `trials`.
        inherit: a new candidate may begin with the weights of the nearest one that was trained and whose checkpoint is
            still there, in `budget.parent`; such a study is comparable, for `reuse`, with its like alone.
        watch: called with the study again and again, at least after every event.
        callbacks: `ray.tune.Callback` objects for runner "ray": they see a Tune trial for each candidate, its choices
            as `params` of its config, and its metrics by name with each `epoch`.

    Raises: InputError for anything wrong in the arguments, StoreError for the database, Terminated (no Exception) when
    `nas studies stop` asked for the end.
    """
    check_packages()
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError(
            "a worker process imported the script that started it: call search under `if __name__ == '__main__':`"
        )
    carrier = runner_named(runner)
    options = RunnerOptions(
        workers=workers,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        trial_bytes=trial_bytes,
        resources=dict(resources or {}),
        address=address,
        timeout=timeout,
        trial_timeout=trial_timeout,
        callbacks=tuple(callbacks),
        runtime_env=runtime_env,
    )
    carrier.check(options)
    opened = open_search(
        space, objectives=objectives, costs=costs, constraints=constraints, measure=measure, scores=scores,
        trials=trials, sampler=sampler, storage=storage, study=study, epochs=epochs, factor=factor, brackets=brackets,
        rung_subset=rung_subset, rung_scale=rung_scale, seed=seed, device=device, checkpoints=checkpoints, start=start,
        settings=settings, protocol=protocol, reuse=reuse, inherit=inherit,
    )  # fmt: skip
    with opened as search_:
        carrier.run(search_, evaluate, options, tidying(search_, watch))
    return Result.of(search_, study)


@contextmanager
def open_search(
    space: Space,
    *,
    objectives: Mapping[str, str] | Sequence[str],
    costs: Costs | None = None,
    constraints: Mapping[str, str] | Sequence[str] | None = None,
    measure: Measure | None = None,
    scores: Scores | None = None,
    trials: int = 100,
    sampler: str = "auto",
    storage: str | None = "sqlite:///nas.db",
    study: str = "search",
    epochs: tuple[int, int] = (1, 1),
    factor: int = 3,
    brackets: int = 1,
    rung_subset: float = 1.0,
    rung_scale: float = 1.0,
    seed: int = 0,
    device: str = "cpu",
    checkpoints: str | Path = "checkpoints",
    start: Sequence[Any] = (),
    settings: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
    reuse: bool = False,
    inherit: bool = False,
) -> Iterator[Study]:
    """The study of a search that somebody else carries out, as a Ray Tune script of your own (docs/tune.md).

    Arguments are those of `search`. Inside the `with` the study is this process's alone; `Result.of` tells what came of
    it. Raises: InputError, StoreError.
    """
    check_packages()
    goals = objectives_from(objectives)
    limits = limits_from(constraints)
    if trials < 1:
        raise InputError(f"trials {trials}: at least 1 is needed")
    rungs = Rungs(*epochs, factor, brackets, rung_subset, rung_scale)
    if not NAME.fullmatch(study):
        raise InputError(f"study name {study!r}: letters, digits, '.', '_' and '-' are possible, 128 at most")
    known = Pricing(space, costs, ()).known
    if measure is not None and (both := sorted({*measure.names} & {*known})):
        raise InputError(f"measure: {', '.join(both)} is also a known cost")
    known_limits, metric_limits = split(limits, known, goals, measure.names if measure else ())
    pricing = Pricing(space, costs, known_limits)
    if known_limits:
        pricing.require_feasible(seed)
    proposer = make_sampler(sampler, space, goals, seed, pricing=pricing, metric_limits=metric_limits, scores=scores)
    starts = [starting_point(pricing, candidate).genome for candidate in start]
    where = measure.where if measure else ""
    begun = {"weights": "inherit"} if inherit else {}  # else nothing, as in studies of old
    facts = _facts(goals, limits, rungs, settings or {}, begun, where)
    with tempfile.TemporaryDirectory(prefix="nas-") as scratch:
        store: Store = MemoryStore()
        root = Path(scratch)
        if storage is not None:
            from nas.store.opening import open_study

            root = Path(checkpoints).absolute() / study
            # trainings that began with less come to other metrics, and by other rungs to others still
            lesser = {"rungs": [*rungs.levels, facts["rungs"]]} if _smaller(rungs) else {}
            told = digest(_told({**protocol, **lesser, **begun})) if protocol is not None else ""
            store = open_study(storage, study, facts, space, goals, protocol=told, measured_on=where)
        with _closing(store):
            plan = Plan(trials=trials, rungs=rungs, seed=seed, device=device, checkpoints=root, inherit=inherit)
            search_ = Study(
                plan=plan,
                pricing=pricing,
                objectives=goals,
                sampler=proposer,
                store=store,
                metric_limits=metric_limits,
                measure=measure,
            )
            if reuse:
                search_.reuse()
            search_.enqueue(starts)
            yield search_


def _facts(
    goals: Sequence[Objective],
    limits: Sequence[Limit],
    rungs: Rungs,
    settings: Mapping[str, Any],
    begun: Mapping[str, Any],
    measured_on: str,
) -> dict[str, Any]:
    """What makes two searches different ones, as JSON types. Raises: InputError for what JSON cannot hold."""
    ours: dict[str, Any] = {"objectives": [*map(str, goals)], "limits": [*map(str, limits)]}
    ours["epochs"] = rungs.smallest, rungs.full
    ours |= begun
    if len(rungs.levels) > 1:
        ours["rungs"] = {"factor": rungs.factor, "brackets": rungs.brackets, **_smaller(rungs)}
    if measured_on:  # on another device it is another number
        ours["measured_on"] = measured_on
    if taken := sorted(ours.keys() & settings.keys()):
        raise InputError(f"settings: {', '.join(taken)} are said by arguments of their own")
    return _told({**settings, **ours})


def _smaller(rungs: Rungs) -> dict[str, float]:
    """Of what the rungs below the full budget have less, apart from epochs."""
    firsts = {"rung_subset": rungs.share, "rung_scale": rungs.scale}
    return {name: first for name, first in firsts.items() if first < 1}


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(canonical_json(dict(facts)))
    except (TypeError, ValueError) as error:
        raise InputError(f"settings: {error}; numbers, texts, lists and dicts are possible") from error
    return told


@contextmanager
def _closing(store: Store) -> Iterator[None]:
    """Let go of the study; after an error or an interruption without much patience for a database that is away."""
    try:
        yield
    except BaseException:
        try:
            store.close(patience_s=2.0)
        except StoreError as error:
            log.warning("%s", error)
        raise
    store.close()


def tidying(study: Study, watch: Watch | None = None) -> Watch:
    """Deletes the checkpoints that nobody will ask for as trials of the study end; then calls `watch`."""
    judged = study.goals.objectives, study.goals.all_limits
    keeper = Keeper(study.plan.checkpoints, *judged, needed=lambda: study.needed)
    taken = 0

    def look(study: Study) -> None:
        nonlocal taken
        if not study.pending:  # what is not written may yet have to be trained again
            for trial in study.finished[taken:]:
                keeper.take(trial)
            taken = len(study.finished)
            keeper.sweep()
        if watch is not None:
            watch(study)

    return look
