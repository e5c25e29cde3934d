"""The contract of a store, and the one that keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nas.jobs import Metrics
from nas.space import Space
from nas.trial import Trial


class Store(Protocol):
    """Keeps the trials of one study, written by one driver.

    Every method is one short transaction and raises StoreError when it could not be carried out; `report` may hold
    values back until the next call of any method.

    Attributes:
        clean: whether the driver before this one let go of the study in order, so that what it left running was
            stopped and not lost.
    """

    clean: bool

    def load(self, space: Space) -> Sequence[Trial]:
        """All trials of the study by number, the running ones too."""

    def begin(self, space: Space, trial: Trial) -> Trial:
        """Write a running trial; returns it with the number that it has in the store."""

    def again(self, trial: Trial) -> None:
        """Another attempt of a running trial."""

    def report(self, trial: Trial, step: int, metrics: Metrics) -> None:
        """Metrics of a running trial after `step` epochs; a step that is written again is replaced."""

    def finish(self, trial: Trial, values: Sequence[float] | None, excesses: Mapping[str, float]) -> None:
        """End a trial: complete with its objective values, or failed (None); `excesses` above 0 break limits."""

    def close(self) -> None:
        """Write what was held back and let go of the study."""


class MemoryStore:
    """Keeps nothing: the study lives as long as its process."""

    clean = True

    def load(self, space: Space) -> Sequence[Trial]:  # noqa: ARG002 - the signature is the contract's
        """Nothing."""
        return ()

    def begin(self, space: Space, trial: Trial) -> Trial:  # noqa: ARG002
        """The trial as it is."""
        return trial

    def again(self, trial: Trial) -> None:
        """Nothing."""

    def report(self, trial: Trial, step: int, metrics: Metrics) -> None:
        """Nothing."""

    def finish(self, trial: Trial, values: Sequence[float] | None, excesses: Mapping[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
