"""The contract of a store, and the one that keeps nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nas.errors import StoreError
from nas.feasible import Pricing
from nas.jobs import Budget, Metrics
from nas.space import Space
from nas.trial import Trial

PATIENCE_S = 600.0  # that the end of a search waits for a database that is away


class Away(StoreError):
    """The database does not answer now, but may again."""


class NumbersTaken(Exception):
    """Somebody wrote trials of their own into the study; nothing was written. `first` is the next free number."""

    def __init__(self, first: int) -> None:
        super().__init__(f"the next free number is {first}")
        self.first = first


class WishTaken(Exception):
    """An enqueued trial does not wait any more: somebody else took it; nothing was written."""

    def __init__(self, number: int) -> None:
        super().__init__(f"trial {number} does not wait any more")
        self.number = number


@dataclasses.dataclass(frozen=True)
class Wish:
    """A trial that somebody enqueued: its number and the parameters that it shall have, maybe not all of them."""

    number: int
    params: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Known:
    """An evaluation of another study on the same data with the same training.

    Attributes:
        evaluation: its id. candidate: what was evaluated. metrics: what came of it, known costs too.
        seconds, host: of the training. budget: which it had; its checkpoint may be gone by now.
    """

    evaluation: int
    candidate: Any
    metrics: Metrics
    seconds: float | None
    host: str
    budget: Budget


@dataclasses.dataclass(frozen=True)
class Answer:
    """A complete trial that is known from elsewhere.

    Attributes:
        trial, values, excesses: as for `Store.finish`. evaluation: id of the one whose metrics these are.
    """

    trial: Trial
    values: Sequence[float]
    excesses: Mapping[str, float]
    evaluation: int


class Store(Protocol):
    """Keeps the trials of one study, written by one driver.

    What changes is collected, and `begin` and `flush` write everything so far in one transaction, once. While the
    database is away, results wait and nothing new is begun. Raises StoreError for what will not pass by itself.

    Attributes:
        clean: whether the driver before this one let go of the study in order, so that what it left running was
            stopped and not lost.
        pending: results that wait to be written.
        away_s: seconds since the database last answered; None when it does.
        misfits: trials of others that are no candidates of the space, with the reason, by number.
        lost: numbers of the running trials whose last attempt was lost with its worker.
    """

    clean: bool

    @property
    def pending(self) -> int: ...

    @property
    def away_s(self) -> float | None: ...

    @property
    def misfits(self) -> Mapping[int, str]: ...

    @property
    def lost(self) -> frozenset[int]: ...

    def load(self, pricing: Pricing) -> Sequence[Trial]:
        """All trials of the study by number, the running ones too, and those that others wrote through Optuna."""

    def reusable(self, stop: int) -> Sequence[Known]:
        """The evaluations of other studies on the same data and training, trained for `stop` epochs; none twice."""

    def wishes(self) -> Sequence[Wish]:
        """The trials that others have enqueued since the last call. They wait until `begin` or `refuse`."""

    def begin(self, space: Space, new: Sequence[Trial], again: Sequence[Trial]) -> None:
        """Write new running trials, with all that waits; `again`: another attempt of others, or the same one going on.

        Raises: NumbersTaken, WishTaken, Away: then nothing of it was written.
        """

    def refuse(self, wish: Wish, reason: str) -> None:
        """An enqueued trial that cannot be run."""

    def record(self, space: Space, answers: Sequence[Answer]) -> None:
        """Write complete trials whose metrics are known from elsewhere. Raises: NumbersTaken, Away."""

    def measured(self, digest: str) -> Metrics | None:
        """What was measured of a network before training, in this study or on the same device; None when nothing."""

    def keep_measured(self, digest: str, metrics: Metrics) -> None:
        """Remember that."""

    def report(self, trial: Trial, step: int, metrics: Metrics) -> None:
        """Metrics of a running trial after `step` epochs; a step that is told again is replaced."""

    def pause(self, trial: Trial) -> None:
        """A running trial has reached a rung and waits there."""

    def lose(self, trial: Trial, reason: str) -> None:
        """The current attempt of a running trial ended without a result."""

    def finish(self, trial: Trial, values: Sequence[float] | None, excesses: Mapping[str, float]) -> None:
        """End a trial with its objective values, if it has any; `excesses` above 0 break limits."""

    def overruled(self) -> Sequence[Trial]:
        """Trials that others had ended when we did, as they stand now; each is told once."""

    def flush(self) -> bool:
        """Write what waits, if it is time; whether nothing waits any more. Raises: StoreError, Terminated."""

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Write what waits and let go of the study; waits at most `patience_s` seconds for a database that is away."""


class MemoryStore:
    """Keeps nothing on disk: the study lives as long as its process."""

    clean, pending, away_s = True, 0, None
    misfits: Mapping[int, str] = {}
    lost: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self._measured: dict[str, Metrics] = {}

    def load(self, pricing: Pricing) -> Sequence[Trial]:  # noqa: ARG002 - the signatures are the contract's
        """Nothing."""
        return ()

    def reusable(self, stop: int) -> Sequence[Known]:  # noqa: ARG002
        """Nothing."""
        return ()

    def wishes(self) -> Sequence[Wish]:
        """Nothing."""
        return ()

    def begin(self, space: Space, new: Sequence[Trial], again: Sequence[Trial]) -> None:
        """Nothing."""

    def refuse(self, wish: Wish, reason: str) -> None:
        """Nothing."""

    def record(self, space: Space, answers: Sequence[Answer]) -> None:
        """Nothing."""

    def measured(self, digest: str) -> Metrics | None:
        """As long as the process lives."""
        return self._measured.get(digest)

    def keep_measured(self, digest: str, metrics: Metrics) -> None:
        """As long as the process lives."""
        self._measured[digest] = metrics

    def report(self, trial: Trial, step: int, metrics: Metrics) -> None:
        """Nothing."""

    def pause(self, trial: Trial) -> None:
        """Nothing."""

    def lose(self, trial: Trial, reason: str) -> None:
        """Nothing."""

    def finish(self, trial: Trial, values: Sequence[float] | None, excesses: Mapping[str, float]) -> None:
        """Nothing."""

    def overruled(self) -> Sequence[Trial]:
        """Nothing."""
        return ()

    def flush(self) -> bool:
        """Nothing waits."""
        return True

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Nothing."""
