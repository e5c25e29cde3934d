"""What another study found out, as a trial of this one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nas.errors import ArchitectureError, SpaceError
from nas.feasible import Pricing
from nas.goals import Goals
from nas.measuring import Measuring
from nas.space import Space
from nas.store.base import Answer, Known, NumbersTaken, Store
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


def record_reused(
    store: Store, space: Space, goals: Goals, taken: Sequence[tuple[Trial, Known]], first: int
) -> list[Trial]:
    """Write them with numbers from `first` on, or from the first that nobody took meanwhile. Raises: StoreError."""
    while True:
        trials = [dataclasses.replace(trial, number=first + index) for index, (trial, _) in enumerate(taken)]
        answers = [
            Answer(trial, goals.values(trial.metrics), goals.excesses(trial.metrics), known.evaluation)
            for trial, (_, known) in zip(trials, taken, strict=True)
        ]
        try:
            store.record(space, answers)
        except NumbersTaken as signal:
            first = signal.first
        else:
            return trials
