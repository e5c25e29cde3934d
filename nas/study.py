"""The search itself: what to evaluate next, and what came of it. No I/O of its own.

A study joins a space, known costs and limits, a sampler and a store. It hands out jobs and takes events; who runs the
jobs is the runner's business. Candidates over a limit are never evaluated and are no trials; the same network is never
evaluated twice.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from nas.errors import StoreError
from nas.feasible import Priced, Pricing
from nas.fidelity import Ladder
from nas.goals import Goals
from nas.jobs import Event, Failed, Finished, Job, Lost, Reported, Started
from nas.measuring import Measure, Measuring
from nas.objectives import Limit, Objective, excess
from nas.parents import Parents
from nas.plan import Plan
from nas.progress import Progress
from nas.proposing import Proposer
from nas.reuse import record_reused, reused
from nas.samplers import Sampler
from nas.samplers.base import Outcome
from nas.space import Genome
from nas.store.base import PATIENCE_S, Away, NumbersTaken, Store, WishTaken
from nas.trial import ATTEMPTS, Source, State, Trial
from nas.wishes import Wishes


@dataclasses.dataclass
class _Draft:
    """A trial that is about to be handed out; `handle` is the sampler's, None for one that it knows."""

    trial: Trial
    handle: int | None
    wished: bool = False


class Study:
    """A search in progress. One driver owns it; it is not thread-safe.

    Attributes:
        trials: by number. ladder: where they stand. finished: those that have ended, in the order in which they did.
        exhausted: whether no new candidate was left within the limits. progress: how far it is.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        pricing: Pricing,
        objectives: Sequence[Objective],
        sampler: Sampler,
        store: Store,
        metric_limits: Sequence[Limit] = (),
        measure: Measure | None = None,
    ) -> None:
        """`metric_limits` are on what `measure` finds before training, then on what an evaluation does."""
        self.plan, self.pricing, self.space = plan, pricing, pricing.space
        self.goals = Goals(tuple(objectives), pricing.limits, tuple(metric_limits), plan.rungs.full)
        self.ladder = Ladder(plan.rungs)
        self.exhausted = False
        self._sampler, self._store = sampler, store
        slow = [limit for limit in metric_limits if measure is not None and limit.name in measure.names]
        self._measuring = Measuring(pricing.space, measure, slow, store)
        self._proposer = Proposer(pricing, sampler, plan.seed, self._measuring)
        self._wishes = Wishes(pricing, self.goals, self._measuring, self._proposer, store, plan.seed)
        self._parents = Parents(self.space, wanted=plan.inherit)
        self._drafts: list[_Draft] = []
        self._in_doubt = False
        self._retried: set[int] = set()
        self.trials: dict[int, Trial] = {trial.number: trial for trial in store.load(pricing)}
        self.finished: list[Trial] = [trial for trial in self.trials.values() if trial.ended]
        self._unfinished = [trial for trial in self.trials.values() if trial.state is State.RUNNING]
        self._stopped = {trial.number for trial in self._unfinished} - store.lost if store.clean else set()
        self._highest = max(self.trials, default=-1)
        self._counted = sum(trial.source is not Source.REUSED for trial in self.trials.values())
        for trial in self.trials.values():
            self._proposer.saw(trial.digest)
        sampler.load((trial.genome, self._outcome(trial)) for trial in self.finished)
        started = [trial for trial in self.trials.values() if not trial.ended]
        self._handles = {trial.number: sampler.add(trial.genome) for trial in started}
        for trial in started:
            if (begun := self._outcome(trial)) is not None:
                sampler.see(self._handles[trial.number], begun)
        for trial in self.trials.values():
            self._place(trial)
            self._offer(trial)
        self.progress = Progress(self.trials.values())

    def _place(self, trial: Trial) -> None:
        """Where a trial of an earlier driver stands on the ladder."""
        if trial.source is not Source.TRAINED or trial.state is State.FAIL:
            return
        for level in self.ladder.rungs.levels[self.ladder.rungs.bracket(trial.number) :]:
            if level in trial.curve and (trial.state is not State.RUNNING or level < trial.budget.stop):
                reached = {**trial.curve[level], **trial.metrics}
                if not self.goals.missing(reached):
                    self.ladder.stand(trial.number, level, *self._standing(reached))
        if trial.state is State.PAUSED:
            self.ladder.wait(trial.number, trial.budget.stop)
        elif trial.state is State.RUNNING:
            self.ladder.enter(trial.number, trial.budget.stop)

    def _offer(self, trial: Trial) -> None:
        """Its weights, to those that come after it, where it was trained to the end of a budget."""
        reached = {**trial.curve.get(trial.budget.stop, {}), **trial.metrics}
        trained = trial.source is Source.TRAINED and trial.state in (State.PAUSED, State.COMPLETE)
        if trained and not self.goals.missing(reached):
            self._parents.take(trial, self._standing(reached))

    def _outcome(self, trial: Trial) -> Outcome | None:
        """What the sampler is told about a trial."""
        found = self.goals.outcome(trial)
        return found and dataclasses.replace(found, first=self.plan.rungs.first(trial.number) / self.plan.rungs.full)

    def enqueue(self, genomes: Sequence[Genome]) -> None:
        """Evaluate these before the sampler is asked; those over a limit or seen before are passed over."""
        self._proposer.enqueue(genomes)

    def reuse(self) -> int:
        """Take in what other studies found out with the same data and training; how many trials that made.

        Raises: StoreError.
        """
        taken = [
            (trial, known)
            for known in self._store.reusable(self.plan.rungs.full)
            if (trial := reused(self.pricing, self.goals, self._measuring, known)) and self._is_new(trial.digest)
        ]
        if not taken:
            return 0
        trials = record_reused(self._store, self.space, self.goals, taken, self._next_number)
        self.trials.update({trial.number: trial for trial in trials})
        self._highest = max(self.trials)
        self.finished += trials
        self._sampler.load((trial.genome, self._outcome(trial)) for trial in trials)
        return len(trials)

    def _is_new(self, digest: str) -> bool:
        if self._proposer.knows(digest):
            return False
        self._proposer.saw(digest)
        return True

    # -- asking ------------------------------------------------------------------------------------------------------

    def next(self) -> Job | None:
        """The next job, or None; see `jobs`. Raises: StoreError, lease.Lost."""
        return next(iter(self.jobs(1)), None)

    def jobs(self, count: int) -> list[Job]:
        """Up to `count` next jobs, their trials written to the store together with all that waited.

        A job trains a trial to its next rung: what was lost comes first, then who goes on from a rung, then new trials.
        Fewer when the study has all its trials, none is left, or the database is away. When nothing is left to do for
        the trials that are set aside, they end as pruned. Raises: StoreError, lease.Lost.
        """
        if self._store.away_s is not None and not self._store.flush():
            return []
        if not self._in_doubt:
            self._draft(count)
        if not self._drafts:
            if self._store.pending:  # those that have just ended as pruned: nobody may come by with another event
                self.flush()
            return []
        try:
            self._begin()
        except Away:
            self._in_doubt = True  # the very same may have been written: nothing is added to it
            return []
        finally:
            self._take_overruled()
        self._in_doubt = False
        drafts, self._drafts = self._drafts, []
        return [self._job(draft) for draft in drafts]

    def _begin(self) -> None:
        while True:
            new = [draft.trial for draft in self._drafts if draft.handle is not None]
            again = [draft.trial for draft in self._drafts if draft.handle is None]
            try:
                self._store.begin(self.space, new, again)
            except NumbersTaken as signal:
                self._renumber(signal.first)
            except WishTaken as signal:
                self._leave(signal.number)
            else:
                return

    def _leave(self, number: int) -> None:
        """Somebody else runs this enqueued trial."""
        for draft in [draft for draft in self._drafts if draft.wished and draft.trial.number == number]:
            self._drafts.remove(draft)
            if draft.handle is not None:
                self._sampler.tell(draft.handle, None)

    def _renumber(self, first: int) -> None:
        for draft in self._drafts:
            if draft.handle is not None and not draft.wished:
                draft.trial = dataclasses.replace(draft.trial, number=first, budget=self.plan.budget(first))
                first += 1

    def _draft(self, count: int) -> None:
        self._wishes.look()
        while len(self._drafts) < count:
            draft = self._again() or self._promoted() or self._wished() or self._new() or self._promoted()
            if draft is None:
                if not self._drafts and self._closing and not self.running:
                    self._prune(list(self.ladder.waiting))
                return
            self._drafts.append(draft)

    def _again(self) -> _Draft | None:
        while self._unfinished:
            trial = self._unfinished.pop(0)
            if trial.number in self._stopped:  # told to stop, which is no fault of the trial's
                self._stopped.remove(trial.number)
                return _Draft(self._towards(trial, trial.budget.stop), None)
            if (again := trial.again()) is not None:
                return _Draft(self._towards(again, trial.budget.stop), None)
            reason = f"lost with its driver, attempt {trial.attempt}"
            self._end(trial.moved(State.FAIL, reason=reason, seconds=trial.seconds or 0.0))
        return None

    @property
    def _closing(self) -> bool:
        """Whether no new trial will begin, but for those that somebody may enqueue."""
        fresh = sum(draft.handle is not None for draft in self._drafts)
        return not self._wishes and (self.exhausted or self._counted + fresh >= self.plan.trials)

    def _promoted(self) -> _Draft | None:
        """Who goes on from a rung."""
        number = self.ladder.promotable(closing=self._closing)
        if number is None:
            return None
        trial = self.trials[number]
        level = self.ladder.rungs.after(trial.budget.stop)
        self.ladder.enter(number, level)
        return _Draft(self._towards(trial.moved(State.RUNNING), level), None)

    def _towards(self, trial: Trial, level: int) -> Trial:
        return dataclasses.replace(trial, budget=self.plan.budget(trial.number, level))

    def _wished(self) -> _Draft | None:
        """What somebody enqueued, even beyond the number of trials asked for."""
        found = self._wishes.next()
        if found is None:
            return None
        number, priced, digest = found
        handle = self._sampler.add(priced.genome)
        return _Draft(self._trial(number, priced, digest, "enqueued"), handle, wished=True)

    def _new(self) -> _Draft | None:
        fresh = [draft for draft in self._drafts if draft.handle is not None]
        if self.exhausted or self._counted + len(fresh) >= self.plan.trials:
            return None
        found = self._proposer.next()
        if found is None:
            self.exhausted = True
            if not self.trials and not self._drafts:
                self._proposer.require_measured()
            return None
        number = self._next_number + sum(not draft.wished for draft in fresh)
        return _Draft(self._trial(number, found.priced, found.digest, found.origin), found.handle)

    @property
    def _next_number(self) -> int:
        return max(self._wishes.highest, self._highest) + 1

    def _trial(self, number: int, priced: Priced, digest: str, origin: str) -> Trial:
        return Trial(
            number=number,
            genome=priced.genome,
            candidate=priced.candidate,
            digest=digest,
            state=State.RUNNING,
            origin=origin,
            attempt=1,
            metrics=priced.costs,
            budget=self.plan.budget(number),
            parent=self._parents.nearest(priced.genome),
        )

    def _job(self, draft: _Draft) -> Job:
        trial = draft.trial
        before = self.trials.get(trial.number)
        self.progress.begin(trial, promoted=before is not None and before.state is State.PAUSED)
        self.trials[trial.number] = trial
        self._highest = max(self._highest, trial.number)
        self.ladder.enter(trial.number, trial.budget.stop)
        if draft.handle is not None:
            self._handles[trial.number] = draft.handle
            self._counted += 1
            # what an earlier study of this name left there is not this trial's
            shutil.rmtree(trial.budget.checkpoint, ignore_errors=True)
        Path(trial.budget.checkpoint).mkdir(parents=True, exist_ok=True)
        parent = "" if trial.parent is None else self.trials[trial.parent].budget.checkpoint
        budget = dataclasses.replace(trial.budget, attempt=trial.attempt, parent=parent)
        return Job(trial.number, trial.attempt, trial.genome, budget)

    # -- telling -----------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Take in what happened; `flush` or `jobs` writes it. Events of an attempt that is over are ignored."""
        trial = self.trials.get(event.number)
        if trial is None or trial.attempt != event.attempt or trial.state is not State.RUNNING:
            return
        if any(next_.number == event.number for next_ in (*self._unfinished, *(each.trial for each in self._drafts))):
            return  # this attempt was lost, the next has not begun
        match event:
            case Started():
                self.progress.start(event)
            case Reported(step=step, metrics=metrics):
                self.progress.report(trial, event)
                trial = dataclasses.replace(trial, curve={**trial.curve, step: dict(metrics)})
                self.trials[trial.number] = trial
                self._store.report(trial, step, metrics)
                if (partial := self._outcome(trial)) is not None:
                    self._sampler.see(self._handles[trial.number], partial)
            case Finished():
                self._finish(trial, event)
            case Failed(again=True) if trial.number not in self._retried and trial.again() is not None:
                self._retried.add(trial.number)
                self._lose(trial, event.reason)
            case Failed():
                self._fail(trial, event.reason, event)
            case Lost():
                self._lose(trial, event.reason)

    def flush(self) -> bool:
        """Write what was told; False while results wait for a database that is away. Raises: StoreError, Terminated."""
        try:
            written = self._store.flush()
        finally:
            self._take_overruled()
        if (self.away_s or 0.0) > PATIENCE_S and self.running == self.waiting:
            raise StoreError(
                f"the database has been away for {self.away_s:.0f} s and nothing runs any more; {self.pending} "
                f"result(s) could not be written: the same command goes on from their checkpoints"
            )
        return written

    def _take_overruled(self) -> None:
        """Trials that somebody else had ended before we did: their word stands."""
        for trial in self._store.overruled():
            self.trials[trial.number] = trial
            self.finished = [trial if other.number == trial.number else other for other in self.finished]

    def _finish(self, trial: Trial, event: Finished) -> None:
        metrics = {**event.metrics, **trial.metrics}
        if missing := self.goals.missing(metrics):
            self._fail(trial, f"evaluate returned {', '.join(metrics)}, and the {missing} is not among them", event)
            return
        self.progress.finish(trial)
        if trial.budget.stop < self.ladder.rungs.full:
            self._pause(trial, event)
        else:
            seconds = _seconds(trial, event)
            self._end(trial.moved(State.COMPLETE, metrics=metrics, seconds=seconds, host=event.host))

    def _fail(self, trial: Trial, reason: str, event: Finished | Failed) -> None:
        self._end(trial.moved(State.FAIL, reason=reason, seconds=_seconds(trial, event), host=event.host))

    def _pause(self, trial: Trial, event: Finished) -> None:
        """It has reached a rung, and waits there until it goes on or the search is over."""
        level = trial.budget.stop
        curve = {**trial.curve, level: dict(event.metrics)}
        trial = trial.moved(State.PAUSED, curve=curve, seconds=_seconds(trial, event), host=event.host)
        self.trials[trial.number] = trial
        self._store.report(trial, level, event.metrics)
        self._store.pause(trial)
        self._offer(trial)
        self.progress.rest(trial.number)
        if (reached := self._outcome(trial)) is not None:
            self._sampler.see(self._handles[trial.number], reached)
        self.ladder.reach(trial.number, level, *self._standing({**event.metrics, **trial.metrics}))
        wished = len(self._wishes) + sum(draft.wished for draft in self._drafts)
        self._prune(self.ladder.hopeless(max(0, self.plan.trials - self._counted) + wished))

    def _standing(self, metrics: Mapping[str, float]) -> tuple[float, tuple[float, ...]]:
        """How far over the limits, and the losses."""
        over = excess(self.goals.all_limits, metrics)
        return over, tuple(objective.loss(metrics) for objective in self.goals.objectives)

    def _prune(self, numbers: Sequence[int]) -> None:
        """They will not go on."""
        for number in numbers:
            self._end(self.trials[number].moved(State.PRUNED))

    def _lose(self, trial: Trial, reason: str) -> None:
        if trial.again() is not None:
            self._store.lose(trial, reason)
            self.progress.lose(trial, reason)
            self._unfinished.append(trial)
        else:
            vain = f", {ATTEMPTS} in a row without a new epoch" if trial.attempt > ATTEMPTS else ""
            reason = f"lost {trial.attempt} times{vain}: {reason}"
            self._end(trial.moved(State.FAIL, reason=reason, seconds=trial.seconds or 0.0))

    def _end(self, trial: Trial) -> None:
        self.trials[trial.number] = trial
        self.ladder.leave(trial.number, failed=trial.state is State.FAIL)
        self.progress.end(trial)
        values = self.goals.values(trial.metrics) if trial.state is State.COMPLETE else None
        if trial.state is State.PRUNED and len(self.goals.objectives) == 1:  # as Optuna does it
            values = self.goals.values({**trial.curve[trial.budget.stop], **trial.metrics})
        self._store.finish(trial, values, self.goals.excesses(trial.metrics))
        self._sampler.tell(self._handles.pop(trial.number), self._outcome(trial))
        self.finished.append(trial)
        if trial.state is State.FAIL:
            self._parents.forget(trial.number)
        self._offer(trial)

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def rejected(self) -> Mapping[str, int]:
        """Proposals that were not evaluated, by reason."""
        return self._proposer.rejected

    @property
    def misfits(self) -> Mapping[int, str]:
        """Trials that others wrote into the study and that are no candidates of the space, with the reason."""
        return self._store.misfits

    @property
    def needed(self) -> set[int]:
        """Trials whose checkpoints others will begin with, or are about to read."""
        if not self.plan.inherit:
            return set()
        begun = (*(draft.trial for draft in self._drafts), *(self.trials[number] for number in self._handles))
        return {trial.parent for trial in begun if trial.parent is not None and not trial.curve}

    @property
    def total(self) -> int:
        """Trials that it shall have in the end, reused ones too."""
        return self.plan.trials + len(self.trials) - self._counted

    @property
    def pending(self) -> int:
        """Results that are not written yet."""
        return self._store.pending

    @property
    def away_s(self) -> float | None:
        """Seconds since the database last answered; None when it does."""
        return self._store.away_s

    @property
    def running(self) -> int:
        """Trials handed out and not ended; those waiting to be tried again count, those set aside at a rung do not."""
        return len(self._handles) - len(self.ladder.waiting)

    @property
    def waiting(self) -> int:
        """Trials that will be handed out again before new ones."""
        return len(self._unfinished) + sum(draft.handle is None for draft in self._drafts)

    @property
    def at_work(self) -> int:
        """Trials that workers have now, or that wait for a free one in the runner's own queue."""
        return max(0, self.running - self.waiting)

    @property
    def epochs_expected(self) -> float:
        """About how many epochs its trials come through in all; those that failed count with what they had."""
        progress, rungs = self.progress, self.ladder.rungs
        trials = self._counted if self.exhausted else max(self._counted, self.plan.trials)
        begun = sum(level - progress.done(number) for number, level in self.ladder.climbing.items())
        guess = rungs.epochs(max(0, trials - progress.adopted - progress.failed)) + progress.failed_epochs
        return max(guess, float(progress.epochs + begun))

    @property
    def over(self) -> bool:
        """Whether there is nothing left to hand out, to wait for or to write."""
        if self._handles or self._drafts or self._wishes or self._store.pending:
            return False
        return self.exhausted or self._counted >= self.plan.trials


def _seconds(trial: Trial, event: Finished | Failed) -> float:
    """With those of the rungs before."""
    return (trial.seconds or 0.0) + event.seconds
