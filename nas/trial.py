"""A trial of a study, as everybody outside the store sees it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from nas.jobs import Budget

ATTEMPTS = 3  # a trial that loses its worker so often in a row, without a new epoch, is failed


class State(enum.StrEnum):
    """Where a trial is; the words are Optuna's but for "paused"."""

    RUNNING = "running"
    PAUSED = "paused"  # set aside at a rung; to Optuna it still runs
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAIL = "fail"


class Source(enum.StrEnum):
    """Where the metrics of a trial come from."""

    TRAINED = "trained"
    REUSED = "reused"  # an evaluation of another study, of the same network, data and training
    ADOPTED = "adopted"  # a trial that somebody else's program wrote through Optuna


OPEN = frozenset({State.RUNNING, State.PAUSED})
MOVES = {state: frozenset(State) - {state} if state in OPEN else frozenset[State]() for state in State}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One candidate of a study and what is known about it.

    Attributes:
        number: from 0, in the order of dispatch, or as Optuna gave it.
        genome, candidate, digest: the candidate in three forms; equal networks have equal digests.
        state: running, paused at a rung, complete, pruned or fail.
        origin: who proposed it: a sampler's name, "random" for its random start, "start" for a starting point,
            "enqueued", "reused", or "optuna" for one that another program ran.
        attempt: which attempt is or was the last, from 1.
        metrics: known costs from the start, measured metrics once complete.
        curve: metrics reported on the way, by step (epochs done), those of the rungs too.
        budget: up to the rung that it trains to or was last at.
        seconds: wall time of its evaluations so far, attempts that were lost left out; None before the first ends.
        host: where it ran.
        reason: why it failed; empty otherwise.
        source: where its metrics come from.
        vain: attempts in a row before this one that were lost without a new epoch.
        since: epochs that it had when this attempt began.
        parent: number of the trial whose weights it begins with; None: from scratch.
    """

    number: int
    genome: tuple[int, ...]
    candidate: Any
    digest: str
    state: State
    origin: str
    attempt: int
    metrics: Mapping[str, float]
    budget: Budget
    curve: Mapping[int, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    seconds: float | None = None
    host: str = ""
    reason: str = ""
    source: Source = Source.TRAINED
    vain: int = 0
    since: int = 0
    parent: int | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state not in OPEN

    @property
    def epochs(self) -> int:
        """How far it came: the last step that was reported, or its budget when it is complete."""
        return self.budget.stop if self.state is State.COMPLETE else max(self.curve, default=0)

    def again(self) -> Trial | None:
        """Its next attempt, this one being lost; None when it was lost too often in a row without a new epoch."""
        vain = 0 if self.epochs > self.since else self.vain + 1
        if vain >= ATTEMPTS:
            return None
        return dataclasses.replace(self, attempt=self.attempt + 1, vain=vain, since=max(self.since, self.epochs))

    def moved(self, state: State, **changes: Any) -> Trial:
        """This trial in another state. Raises: ValueError for a move that no trial makes."""
        if state not in MOVES[self.state]:
            raise ValueError(f"trial {self.number}: {self.state} cannot become {state}")
        return dataclasses.replace(self, state=state, **changes)
