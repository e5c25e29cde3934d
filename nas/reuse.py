"""What another study found out, as a trial of this one."""

from __future__ import annotations

from nas.errors import ArchitectureError, SpaceError
from nas.feasible import Pricing
from nas.goals import Goals
from nas.measuring import Measuring
from nas.store.base import Known
from nas.trial import Source, State, Trial


def reused(pricing: Pricing, goals: Goals, measuring: Measuring, known: Known) -> Trial | None:
    """A complete trial without a number; None for what is no candidate here, is over a limit, or lacks what is judged.

    Known costs are those of this search, and what is measured before training is measured here.
    """
    try:
        priced = pricing.price(pricing.space.encode(known.candidate))
    except (SpaceError, ArchitectureError):
        return None
    if not priced.excess:
        priced = measuring(priced)
    metrics = {**known.metrics, **priced.costs}
    if priced.excess or goals.missing(metrics):
        return None
    return Trial(
        number=-1,
        genome=priced.genome,
        candidate=priced.candidate,
        digest=pricing.space.identity(priced.candidate),
        state=State.COMPLETE,
        origin="reused",
        attempt=1,
        metrics=metrics,
        budget=known.budget,
        seconds=known.seconds,
        host=known.host,
        source=Source.REUSED,
    )
