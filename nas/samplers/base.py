"""The contract of a sampler."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Protocol

from nas.space import Genome


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A genome that a sampler would like to know about. `ticket` is the sampler's own handle on it.

    It need not be canonical, legal, new or within limits: the study checks that. `origin` names who made it.
    """

    genome: Genome
    origin: str
    ticket: int | None = None


class Sampler(Protocol):
    """Proposes genomes and learns from results; works in memory and never waits for SQL.

    Every proposal is answered once: by `accept` or `reject`; an accepted one later by `tell`.
    """

    def ask(self) -> Proposal:
        """A proposal; always gives one."""

    def accept(self, proposal: Proposal, genome: Genome) -> int:
        """The proposal is evaluated, possibly changed to `genome`; returns the handle to `tell` with."""

    def reject(self, proposal: Proposal) -> None:
        """The proposal is not evaluated."""

    def tell(self, handle: int, values: Sequence[float] | None) -> None:
        """The objective values of an accepted proposal, in the order of the objectives; None when it failed."""

    def add(self, genome: Genome) -> int:
        """A genome that somebody else proposed and that is evaluated; returns the handle to `tell` with."""

    def load(self, ended: Iterable[tuple[Genome, Sequence[float] | None]]) -> None:
        """What ended in an earlier run, oldest first, as `add` and `tell` would be given it. Before the first `ask`.

        Takes well under a millisecond a trial, so that a large study goes on within seconds.
        """
