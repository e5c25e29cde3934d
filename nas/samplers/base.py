"""The contract of a sampler."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What is known of a candidate after an evaluation, or after a part of one.

    Attributes:
        values: of the objectives, in their order.
        excesses: how far over each limit on what is measured it is (0 or less: within), in the order of those limits.
        fidelity: the share of the full budget that was spent, above 0 and up to 1.
        earlier: values of the objectives at lower fidelities on the way, by fidelity.
        settled: whether the evaluation stopped there, at its end or at a rung; not so for what is still under way.
        first: the share at its first rung; 1 where there are none.
    """

    values: Sequence[float]
    excesses: Sequence[float] = ()
    fidelity: float = 1.0
    earlier: Mapping[float, Sequence[float]] = dataclasses.field(default_factory=dict)
    settled: bool = True
    first: float = 1.0


class Sampler(Protocol):
    """Proposes genomes and learns from results; works in memory and never waits for SQL.

    Every proposal is answered once: by `accept` or `reject`; an accepted one later by `tell`.
    """

    def ask(self) -> Proposal:
        """A proposal; always gives one."""

    def accept(self, proposal: Proposal, genome: Genome) -> int:
        """The proposal is evaluated, possibly changed to `genome`; returns the handle to `tell` with."""

    def reject(self, proposal: Proposal, excesses: Sequence[float] = ()) -> None:
        """The proposal is not evaluated; `excesses` as in `Outcome` where they were measured without training."""

    def see(self, handle: int, outcome: Outcome) -> None:
        """How far an accepted proposal has come, or at which rung it is set aside; may be told often, or never."""

    def tell(self, handle: int, outcome: Outcome | None) -> None:
        """What came of an accepted proposal; None when it failed."""

    def add(self, genome: Genome) -> int:
        """A genome that somebody else proposed and that is evaluated; returns the handle to `tell` with."""

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """What ended in an earlier run, oldest first, as `add` and `tell` would be given it. Before the first `ask`.

        Takes well under a millisecond a trial, so that a large study goes on within seconds.
        """


class Oblivious:
    """The answers of a sampler that learns nothing: any handle will do, since nobody asks for it."""

    def accept(self, proposal: Proposal, genome: Genome) -> int:  # noqa: ARG002 - the signatures are the contract's
        """As `add`."""
        return self.add(genome)

    def reject(self, proposal: Proposal, excesses: Sequence[float] = ()) -> None:
        """Nothing."""

    def see(self, handle: int, outcome: Outcome) -> None:
        """Nothing."""

    def tell(self, handle: int, outcome: Outcome | None) -> None:
        """Nothing."""

    def add(self, genome: Genome) -> int:  # noqa: ARG002
        """Nothing."""
        return 0
