"""Evaluations of other studies, of the same data and training."""

from __future__ import annotations

import json

from sqlalchemy import Connection, or_, select

from nas.jobs import Budget
from nas.store import tables
from nas.store.base import Known
from nas.store.rows import read_candidate
from nas.trial import Source, State


def read_known(connection: Connection, study_id: int, protocol: str, stop: int) -> list[Known]:
    """The complete trainings of a protocol to `stop` epochs, the oldest of each network. Raises: StoreError."""
    if not protocol:
        return []
    evaluations, bodies = tables.evaluations, tables.architectures
    query = (
        select(evaluations, bodies.c.kind, bodies.c.body)
        .join(bodies, bodies.c.digest == evaluations.c.digest)
        .where(evaluations.c.protocol == protocol, evaluations.c.stop == stop)
        .where(evaluations.c.state == State.COMPLETE.value, evaluations.c.source == Source.TRAINED.value)
        .where(or_(evaluations.c.study_id.is_(None), evaluations.c.study_id != study_id))
        .order_by(evaluations.c.id)
    )
    found: dict[str, Known] = {}
    for row in connection.execute(query):
        if row.digest not in found:
            found[row.digest] = Known(
                evaluation=row.id,
                candidate=read_candidate(row.kind, row.body, f"evaluation {row.id}"),
                metrics=json.loads(row.metrics),
                seconds=row.seconds,
                host=row.host,
                budget=Budget(row.start, row.stop, row.seed, row.device, row.checkpoint),
            )
    return list(found.values())
