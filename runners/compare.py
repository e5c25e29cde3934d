"""`nas compare`: two trials, or a trial and a network, beside each other."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from nas import diagram
from nas.architecture import Architecture
from nas.costs import COSTS, cost
from nas.diagram.comparing import Difference, block_by_block, folded
from nas.diagram.sizes import classes_and_channels
from nas.errors import ArchitectureError, InputError
from nas.ranking import nearest, ranked, shortfall
from nas.store.database import storage_url
from nas.store.reading import StudyRecord, read_study
from nas.trial import Trial
from runners.by_rung import foremost
from runners.compare_tables import Comparison, Side, show
from runners.job_setup import read_architecture
from runners.tables import last, trial_json, write_whole


def compare(
    name: str, storage: str | None, first: str, second: str, *, svg: Path | None, as_json: bool, out: Console
) -> None:
    """`nas compare`. Raises: InputError for a side that is none, and a picture of what is no network."""
    record = read_study(storage_url(storage), name)
    left, right = side_of(record, first), side_of(record, second)
    networks = isinstance(left.candidate, Architecture) and isinstance(right.candidate, Architecture)
    if not networks and (left.trial is None or right.trial is None):
        raise InputError(f"study {name!r} is of a space of your own: two of its trials can be compared, no network")
    if svg is not None and not networks:
        raise InputError(f"--svg {svg}: study {name!r} is of a space of your own, and only networks can be drawn")
    shape = (1000, 3)
    if networks:
        left, right, shape = _made_alike(left, right)
    found = comparison(record, left, right, shape)
    if svg is not None:
        titles, (classes, channels) = (left.label, right.label), shape
        pair = left.candidate, right.candidate
        write_whole(diagram.svg_pair(*pair, titles=titles, num_classes=classes, in_channels=channels), svg)
    if as_json:
        sys.stdout.write(json.dumps(_as_json(name, left, right, found), allow_nan=False) + "\n")
    else:
        show(name, left, right, found, out)


def side_of(record: StudyRecord, what: str) -> Side:
    """A trial by number, "best", or a network by name or file. Raises: InputError."""
    if what == "best":
        best = ranked(record.trials, record.objectives, record.limits)
        if not best:
            raise InputError(_no_best(record))
        return Side(f"trial {best[0].number} (best)", best[0].candidate, best[0])
    if what.isdecimal() and len(what) < 12:
        known = {trial.number: trial for trial in record.trials}
        if int(what) not in known:
            has = f"it has 0 to {max(known)}" if known else "it has none yet"
            raise InputError(f"study {record.name!r} has no trial {what}; {has}")
        return Side(f"trial {int(what)}", known[int(what)].candidate, known[int(what)])
    try:
        return Side(what, read_architecture(what))
    except InputError as error:
        raise InputError(f"{what!r} is no trial's number, nor best, nor a network: {error}") from error


def _no_best(record: StudyRecord) -> str:
    closest = nearest(record.trials, record.objectives, record.limits)
    if closest is not None:
        return f"study {record.name!r} has no best: {shortfall(closest, record.limits)}"
    ahead = foremost(record.trials, record.objectives)
    return f"study {record.name!r} has no best: no trial is complete{f'; {ahead}' if ahead else ''}"


def _made_alike(left: Side, right: Side) -> tuple[Side, Side, tuple[int, int]]:
    """Both for the classes, channels and, where a network takes it, the resolution of the trial."""
    trial = next((side for side in (left, right) if side.trial is not None), None)
    if trial is None or trial.trial is None:
        return left, right, (1000, 3)
    shape = classes_and_channels(trial.candidate, trial.trial.metrics) or (1000, 3)
    side = trial.candidate.resolution
    return _at(left, side), _at(right, side), shape


def _at(side: Side, resolution: int) -> Side:
    if side.trial is not None or side.candidate.resolution == resolution:
        return side
    with suppress(ArchitectureError):
        return Side(f"{side.label} at {resolution} px", side.candidate.at(resolution))
    return side


def comparison(record: StudyRecord, left: Side, right: Side, shape: tuple[int, int]) -> Comparison:
    """What sets them apart; `shape` is the classes and channels that a network which is no trial is counted with."""
    found = tuple(value_differences("", left.candidate, right.candidate))
    ours, theirs = _metrics(left, shape), _metrics(right, shape)
    wanted = [goal.name for goal in record.objectives] + [limit.name for limit in record.limits]
    names = [name for name in dict.fromkeys((*wanted, *COSTS, *ours, *theirs)) if name in ours or name in theirs]
    metrics = {name: (ours.get(name), theirs.get(name)) for name in names}
    if left.trial is None or right.trial is None:
        return Comparison(found, metrics, {}, _curves(left, right, names))
    told = zip(_run(left.trial).items(), _run(right.trial).values(), strict=True)
    run = {name: (one, other) for (name, one), other in told if one != other}
    return Comparison(found, metrics, run, _curves(left, right, names))


def value_differences(path: str, left: Any, right: Any) -> list[Difference]:
    """What differs between two candidates: architectures by part, mappings and lists by entry, others as they are."""
    if isinstance(left, Architecture) and isinstance(right, Architecture):
        found = [] if left.digest == right.digest else folded(block_by_block(left, right))
        return [dataclasses.replace(each, path=f"{path}.{each.path}".lstrip(".")) for each in found]
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        pairs = {name: (left.get(name), right.get(name)) for name in (*left, *right)}
        return [each for name, pair in pairs.items() for each in value_differences(f"{path}.{name}".lstrip("."), *pair)]
    if isinstance(left, list | tuple) and isinstance(right, list | tuple) and len(left) == len(right):
        pairs = {f"{path}[{index}]": pair for index, pair in enumerate(zip(left, right, strict=True))}
        return [each for name, pair in pairs.items() for each in value_differences(name, *pair)]
    return [] if left == right else [Difference(path or "candidate", left, right)]


def _metrics(side: Side, shape: tuple[int, int]) -> dict[str, float]:
    if side.trial is None:
        return cost(side.candidate, num_classes=shape[0], in_channels=shape[1]).as_dict()
    return {**last(side.trial), **side.trial.metrics}


def _run(trial: Trial) -> dict[str, Any]:
    budget = trial.budget
    return {
        "state": trial.state.value, "from": trial.origin, "weights of": trial.parent,
        "metrics are": trial.source.value, "attempt": trial.attempt,
        "epochs": trial.epochs, "epochs of its budget": budget.stop, "seed": budget.seed,
        "share of the images": budget.share, "scale of the images": budget.scale,
        "seconds": None if trial.seconds is None else round(trial.seconds, 1), "host": trial.host,
        "reason": trial.reason,
    }  # fmt: skip


def _curves(left: Side, right: Side, names: Sequence[str]) -> dict[str, dict[int, tuple[float | None, float | None]]]:
    """Metrics by epoch, those of the objectives first and seconds last."""
    ours, theirs = (side.trial.curve if side.trial else {} for side in (left, right))
    epochs = sorted({*ours, *theirs})
    told = dict.fromkeys((*names, *(name for curve in (ours, theirs) for at in curve.values() for name in at)))
    curves = {
        name: {epoch: (ours.get(epoch, {}).get(name), theirs.get(epoch, {}).get(name)) for epoch in epochs}
        for name in sorted(told, key=lambda name: name.endswith("seconds"))
    }
    return {name: curve for name, curve in curves.items() if any(pair != (None, None) for pair in curve.values())}


def _as_json(study: str, left: Side, right: Side, found: Comparison) -> dict[str, Any]:
    sides = [
        {"label": side.label, **({} if side.trial is None else {"trial": trial_json(side.trial)})}
        for side in (left, right)
    ]
    return {
        "study": study,
        "left": sides[0],
        "right": sides[1],
        "differences": [
            {"path": each.path, "left": _plain(each.left), "right": _plain(each.right)} for each in found.differences
        ],
        "metrics": {name: list(pair) for name, pair in found.metrics.items()},
        "run": {name: list(pair) for name, pair in found.run.items()},
        "curves": {
            name: {str(epoch): list(pair) for epoch, pair in curve.items()} for name, curve in found.curves.items()
        },
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else str(value)
