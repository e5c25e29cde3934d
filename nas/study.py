"""The search itself: what to evaluate next, and what came of it. No I/O of its own.

A study joins a space, known costs and limits, a sampler and a store. It hands out jobs and takes events; who runs the
jobs is the runner's business. Candidates over a limit are never evaluated and are no trials; the same network is never
evaluated twice.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from nas.errors import ArchitectureError, SpaceError
from nas.feasible import Priced, Pricing
from nas.jobs import Budget, Event, Failed, Finished, Job, Lost, Metrics, Reported
from nas.objectives import Objective, front
from nas.samplers import Sampler
from nas.space import Genome
from nas.store.base import Store
from nas.trial import State, Trial

ATTEMPTS = 3  # a candidate that loses its worker so often is failed
PROPOSALS = 40  # proposals of the sampler that are looked at before one is walked into the limits
ENUMERABLE = 100_000  # spaces up to this size are searched through before they are called exhausted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study shall do.

    Attributes:
        trials: how many trials it shall have in all.
        epochs: (smallest, full) budget. seed: of everything random.
        device: for the evaluations. checkpoints: directory that holds one directory a trial.
    """

    trials: int
    epochs: tuple[int, int] = (1, 1)
    seed: int = 0
    device: str = "cpu"
    checkpoints: Path = Path("checkpoints")


class Study:
    """A search in progress. One driver owns it; it is not thread-safe."""

    def __init__(
        self, *, plan: Plan, pricing: Pricing, objectives: Sequence[Objective], sampler: Sampler, store: Store
    ) -> None:
        self.plan, self.pricing, self.space = plan, pricing, pricing.space
        self.objectives = tuple(objectives)
        self.rejected = {"over a limit": 0, "repeat": 0, "illegal": 0}
        self.exhausted = False
        self._sampler, self._store = sampler, store
        self._rng = random.Random(plan.seed)
        self._handles: dict[int, int] = {}
        self._starts: list[Genome] = []
        self.trials: dict[int, Trial] = {trial.number: trial for trial in store.load(self.space)}
        self.finished: list[Trial] = [trial for trial in self.trials.values() if trial.state is not State.RUNNING]
        self._seen = {trial.digest for trial in self.trials.values()}
        self._unfinished = [trial for trial in self.trials.values() if trial.state is State.RUNNING]
        self._stopped = {trial.number for trial in self._unfinished} if store.clean else set()
        for trial in self.trials.values():
            handle = sampler.add(trial.genome)
            if trial.state is State.RUNNING:
                self._handles[trial.number] = handle
            else:
                sampler.tell(handle, self._values(trial) if trial.state is State.COMPLETE else None)

    # -- asking ------------------------------------------------------------------------------------------------------

    def enqueue(self, genomes: Sequence[Genome]) -> None:
        """Evaluate these before the sampler is asked; those over a limit or seen before are passed over."""
        self._starts += [self.space.canonical(genome) for genome in genomes]

    def next(self) -> Job | None:
        """The next job, its trial written to the store; None when the study has all its trials or none is left."""
        while self._unfinished:
            trial = self._unfinished.pop(0)
            if trial.number in self._stopped:  # told to stop, which is no fault of the trial's
                self._stopped.remove(trial.number)
                return self._again(trial, trial.attempt)
            if trial.attempt < ATTEMPTS:
                return self._again(trial, trial.attempt + 1)
            self._end(trial.moved(State.FAIL, reason=f"lost with its driver, attempt {trial.attempt}", seconds=0.0))
        if len(self.trials) >= self.plan.trials or self.exhausted:
            return None
        found = self._from_starts() or self._from_sampler()
        if found is None:
            self.exhausted = True
            return None
        priced, origin, handle = found
        digest = self.space.identity(priced.candidate)
        self._seen.add(digest)
        trial = Trial(
            number=len(self.trials),
            genome=priced.genome,
            candidate=priced.candidate,
            digest=digest,
            state=State.RUNNING,
            origin=origin,
            attempt=1,
            metrics=priced.costs,
            budget=self._budget(len(self.trials)),
        )
        trial = self._store.begin(self.space, trial)
        self.trials[trial.number] = trial
        self._handles[trial.number] = handle
        # what an earlier study of this name left there is not this trial's
        shutil.rmtree(trial.budget.checkpoint, ignore_errors=True)
        return self._job(trial)

    def _from_starts(self) -> tuple[Priced, str, int] | None:
        while self._starts:
            priced = self._acceptable(self._starts.pop(0))
            if priced is not None and priced.excess == 0:
                return priced, "start", self._sampler.add(priced.genome)
        return None

    def _from_sampler(self) -> tuple[Priced, str, int] | None:
        over: Priced | None = None
        for _ in range(PROPOSALS):
            proposal = self._sampler.ask()
            priced = self._acceptable(proposal.genome)
            if priced is not None and priced.excess == 0:
                return priced, proposal.origin, self._sampler.accept(proposal, priced.genome)
            if priced is not None and (over is None or priced.excess < over.excess):
                over = priced
            self._sampler.reject(proposal)
        walked = self._walked(over) or self._enumerated()
        if walked is None:
            return None
        origin = "random" if over is None else proposal.origin
        return walked, origin, self._sampler.add(walked.genome)

    def _acceptable(self, genome: Genome) -> Priced | None:
        """The candidate with its costs unless it is illegal or was seen; over a limit it is counted and returned."""
        try:
            priced = self.pricing.price(genome)
        except (ArchitectureError, SpaceError):
            self.rejected["illegal"] += 1
            return None
        if self.space.identity(priced.candidate) in self._seen:
            self.rejected["repeat"] += 1
            return None
        if priced.excess:
            self.rejected["over a limit"] += 1
        return priced

    def _walked(self, over: Priced | None) -> Priced | None:
        """From the proposal that is least over the limits (or a random one), a new candidate within them."""
        for start in (over, None, None, None):
            here = start or self.pricing.price(self.space.sample(self._rng))
            there = self.pricing.walk_down(here, self._rng, self._unseen)
            if there.excess == 0 and self._unseen(there):
                return there
        return None

    def _enumerated(self) -> Priced | None:
        if self._size > ENUMERABLE:
            return None
        everything = (self.pricing.price(genome) for genome in self.space)
        return next((priced for priced in everything if priced.excess == 0 and self._unseen(priced)), None)

    @cached_property
    def _size(self) -> int:
        return self.space.count().value

    def _unseen(self, priced: Priced) -> bool:
        return self.space.identity(priced.candidate) not in self._seen

    def _budget(self, number: int) -> Budget:
        folder = self.plan.checkpoints / str(number)
        return Budget(0, self.plan.epochs[1], self.plan.seed + number, self.plan.device, str(folder))

    def _job(self, trial: Trial) -> Job:
        Path(trial.budget.checkpoint).mkdir(parents=True, exist_ok=True)
        return Job(trial.number, trial.attempt, trial.genome, trial.budget)

    def _again(self, trial: Trial, attempt: int) -> Job:
        trial = dataclasses.replace(trial, attempt=attempt)
        self.trials[trial.number] = trial
        self._store.again(trial)
        return self._job(trial)

    # -- telling -----------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Take in what happened. Events of an attempt that is not the current one are ignored."""
        trial = self.trials.get(event.number)
        if trial is None or trial.attempt != event.attempt or trial.state is not State.RUNNING:
            return
        match event:
            case Reported(step=step, metrics=metrics):
                trial = dataclasses.replace(trial, curve={**trial.curve, step: dict(metrics)})
                self.trials[trial.number] = trial
                self._store.report(trial, step, metrics)
            case Finished():
                self._finish(trial, event)
            case Failed():
                self._end(trial.moved(State.FAIL, reason=event.reason, seconds=event.seconds, host=event.host))
            case Lost():
                self._lose(trial, event.reason)

    def _finish(self, trial: Trial, event: Finished) -> None:
        metrics = {**event.metrics, **trial.metrics}
        missing = [objective.name for objective in self.objectives if objective.name not in metrics]
        if missing:
            reason = f"evaluate returned {', '.join(metrics)}, and the objective {missing[0]!r} is not among them"
            self._end(trial.moved(State.FAIL, reason=reason, seconds=event.seconds, host=event.host))
        else:
            self._end(trial.moved(State.COMPLETE, metrics=metrics, seconds=event.seconds, host=event.host))

    def _lose(self, trial: Trial, reason: str) -> None:
        if trial.attempt < ATTEMPTS:
            self._unfinished.append(trial)
        else:
            self._end(trial.moved(State.FAIL, reason=f"lost {trial.attempt} times: {reason}", seconds=0.0))

    def _end(self, trial: Trial) -> None:
        self.trials[trial.number] = trial
        values = self._values(trial) if trial.state is State.COMPLETE else None
        self._store.finish(trial, values, self._excesses(trial.metrics))
        self._sampler.tell(self._handles.pop(trial.number), values)
        self.finished.append(trial)

    def _values(self, trial: Trial) -> list[float]:
        return [float(trial.metrics[objective.name]) for objective in self.objectives]

    def _excesses(self, metrics: Metrics) -> dict[str, float]:
        return {str(limit): limit.excess(metrics) for limit in self.pricing.limits}

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Trials handed out and not ended (those waiting to be tried again count)."""
        return len(self._handles)

    @property
    def waiting(self) -> int:
        """Trials that will be handed out again before new ones."""
        return len(self._unfinished)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to hand out or to wait for."""
        return not self.running and (self.exhausted or len(self.trials) >= self.plan.trials)


def ranked(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The complete trials, best first by the first objective, the others breaking ties."""
    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    return sorted(
        complete, key=lambda trial: [*(objective.loss(trial.metrics) for objective in objectives), trial.number]
    )


def pareto(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The complete trials that no other dominates, best first objective first."""
    complete = ranked(trials, objectives)
    losses = [[objective.loss(trial.metrics) for objective in objectives] for trial in complete]
    return [complete[index] for index in front(losses)]
