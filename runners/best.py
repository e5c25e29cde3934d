"""`nas best`, and who is shown as the best of a study elsewhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from nas.errors import InputError
from nas.ranking import nearest, pareto, ranked, shortfall
from nas.store.database import storage_url
from nas.store.reading import StudyRecord, read_study
from nas.supernet import BY_SUPERNET
from nas.trial import Trial
from runners.by_rung import foremost
from runners.screen import Screen
from runners.tables import print_json, save_picture, trial_json, trial_table


def best_of(record: StudyRecord, count: int) -> Sequence[Trial]:
    """The front, or with one objective the best `count`; of those within the limits."""
    if len(record.objectives) > 1:
        return pareto(record.trials, record.objectives, record.limits)
    return ranked(record.trials, record.objectives, record.limits)[:count]


def shortfall_of(record: StudyRecord) -> str:
    """Why there is no best: that no complete trial keeps the limits, or that none is complete (empty)."""
    closest = nearest(record.trials, record.objectives, record.limits)
    return "" if closest is None else f"study {record.name!r}: {shortfall(closest, record.limits)}"


def best(name: str, storage: str | None, *, count: int, svg: Path | None, as_json: bool, out: Console) -> None:
    """`nas best`. Raises: InputError when no trial is complete, or none keeps the limits (naming the nearest)."""
    record = read_study(storage_url(storage), name)
    shown = best_of(record, count)
    if not shown:
        raise InputError(shortfall_of(record) or _none_complete(record))
    if as_json:
        print_json([trial_json(trial) for trial in shown])
        return
    title = f"{'front' if len(record.objectives) > 1 else 'best'} of {name}"
    if record.settings.get("weights") == BY_SUPERNET:
        title += " by inherited weights"
    table = trial_table(shown, record.objectives, title, limits=record.limits)
    out.print(table)
    if svg is not None:
        picture = Screen(record=True, width=110, file=io.StringIO())
        picture.print(table)
        save_picture(picture, svg, f"nas best {name}")


def _none_complete(record: StudyRecord) -> str:
    count, ahead = len(record.trials), foremost(record.trials, record.objectives)
    return f"study {record.name!r} has no complete trial yet ({count} in all{f'; {ahead}' if ahead else ''})"
