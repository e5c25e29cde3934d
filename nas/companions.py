"""The studies beside a study: random search, the published families, replicates; and a comparison with the first."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from nas.history import History, scale_of
from nas.ranking import ranked
from nas.trial import Trial

if TYPE_CHECKING:
    from nas.store.reading import StudyRecord

BASELINE = ".baseline"  # random search; the study is called so after the search's name
PUBLISHED = ".published"  # the published families, scaled into the limits
RETRAIN = ".retrain"  # what `nas retrain` trained fully
BEGUN = {"search": "those of the search", "supernet": "those of a supernet"}  # its weights, by what its settings say
CONFIRM = ".confirm"  # what `nas confirm` trained again


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A search beside random search, both after the same number of trainings.

    Attributes:
        study: of the random search. sampler: of the other one.
        trainings: how many of each are compared: as many as the one with fewer has.
        measure: the metric, or "hypervolume", both in the units of one scale (see `nas.history`).
        ours, random: the values after so many trainings; None where nothing was complete.
        reached: after how many trainings the search was as good as random search in the end; None for never.
        best: the best trial of random search by the first objective.
    """

    study: str
    sampler: str
    trainings: int
    measure: str
    ours: float | None
    random: float | None
    reached: int | None
    best: Trial | None


def beside(mine: StudyRecord, theirs: StudyRecord, sampler: str) -> Comparison:
    """A search, made by `sampler`, and random search as they stand."""
    both = [History(record.finished, record.objectives, limits=record.limits) for record in (mine, theirs)]
    scale = scale_of(both)
    ours, random = (
        History(record.finished, record.objectives, scale, limits=record.limits) for record in (mine, theirs)
    )
    trainings = min(ours.trainings, random.trainings)
    final = random.value(trainings)
    return Comparison(
        study=theirs.name,
        sampler=sampler,
        trainings=trainings,
        measure=ours.measure,
        ours=ours.value(trainings),
        random=final,
        reached=None if final is None else ours.reached(final),
        best=next(iter(ranked(theirs.trials, theirs.objectives, theirs.limits)), None),
    )
