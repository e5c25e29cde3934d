"""`nas export`: which trials of a study, and what was written."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from nas.errors import InputError
from nas.ranking import pareto, ranked
from nas.store.database import storage_url
from nas.store.reading import StudyRecord, read_study
from nas.trial import Trial
from runners.best import shortfall_of
from runners.tables import print_json

if TYPE_CHECKING:
    from nas.data import ImageData
    from nas.export import Check, Exported

LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")  # as the hub writes them


@dataclasses.dataclass(frozen=True)
class Wish:
    """What `nas export` was asked for: where to, which trial or the whole front, in which formats."""

    to: Path
    trial: int | None = None
    pareto: bool = False
    formats: tuple[str, ...] = ()
    licence: str = "unknown"
    force: bool = False


def export_study(name: str, storage: str | None, wish: Wish, *, as_json: bool, out: Console, err: Console) -> None:
    """`nas export`. Raises: InputError, ExportError."""
    if not LICENCE.fullmatch(wish.licence):
        raise InputError(f"--license {wish.licence!r}: an identifier as in apache-2.0, mit, cc-by-4.0 is expected")
    record = read_study(storage_url(storage), name)
    if wish.pareto and wish.trial is not None:
        raise InputError("--pareto and --trial: one of them is expected")
    chosen = _front(record, err) if wish.pareto else [_chosen(record, wish.trial)]
    from nas.export import check_target, choose, export

    formats, note = choose(wish.formats)
    targets = [wish.to / f"trial-{trial.number}" if wish.pareto else wish.to for trial in chosen]
    for target in targets:
        check_target(target.absolute(), force=wish.force)
    data = _data(record)
    if note:
        err.print(note, highlight=False, soft_wrap=True)
    done = []
    for trial, target in zip(chosen, targets, strict=True):
        exported = export(
            trial, data, target, study=name, force=wish.force, formats=formats, strict=bool(wish.formats),
            settings=record.settings, licence=wish.licence,
        )  # fmt: skip
        done.append(_as_json(trial, exported))
        if not as_json:
            _print(trial, exported, name, out)
    if as_json:
        print_json({"exports": done} if wish.pareto else done[0])


def _data(record: StudyRecord) -> ImageData:
    """The data that a study was trained on. Raises: InputError when it was none of ours, or has changed."""
    source = record.settings.get("source")
    if "confirms" in record.settings:
        raise InputError(
            f"study {record.name!r} holds what `nas confirm` trained of {record.settings['confirms']!r}; name that one"
        )
    if not isinstance(source, dict):
        raise InputError(f"study {record.name!r} evaluates by a function of your own, which has no model to export")
    from nas.data import load

    data = load(source["data"], resolution=source["resolution"])
    if data.digest != source["digest"]:
        raise InputError(
            f"data {source['data']!r} has changed since study {record.name!r} was made; "
            "its test images may be seen ones"
        )
    return data


def _chosen(record: StudyRecord, number: int | None) -> Trial:
    if number is None:
        from nas.export import has_weights

        complete = ranked(record.trials, record.objectives, record.limits)
        if not complete:
            raise _none(record)
        return next((trial for trial in complete if has_weights(trial)), complete[0])
    known = {trial.number: trial for trial in record.trials}
    if number not in known:
        raise InputError(f"study {record.name!r} has no trial {number}; it has 0 to {len(record.trials) - 1}")
    return known[number]


def _front(record: StudyRecord, err: Console) -> Sequence[Trial]:
    """The front, without those whose weights are gone."""
    from nas.export import has_weights

    found = pareto(record.trials, record.objectives, record.limits)
    if not found:
        raise _none(record)
    with_weights = [trial for trial in found if has_weights(trial)]
    gone = [str(trial.number) for trial in found if not has_weights(trial)]
    if not with_weights:
        raise InputError(f"no trial of the front of {record.name!r} ({', '.join(gone)}) has its checkpoint any more")
    if gone:
        err.print(f"left out, their checkpoints being gone: trial {', '.join(gone)}", highlight=False, soft_wrap=True)
    return with_weights


def _none(record: StudyRecord) -> InputError:
    if short := shortfall_of(record):
        return InputError(f"{short}; --trial exports it all the same")
    return InputError(f"study {record.name!r} has no complete trial to export ({len(record.trials)} in all)")


def _as_json(trial: Trial, exported: Exported) -> dict[str, Any]:
    return {
        "folder": str(exported.folder),
        "files": exported.files,
        "trial": trial.number,
        "metrics": exported.metrics,
        "formats": {check.form: {**dataclasses.asdict(check), "allowed": check.allowed} for check in exported.checks},
        "left_out": dict(exported.left_out),
    }


def _print(trial: Trial, exported: Exported, study: str, out: Console) -> None:
    def line(text: str) -> None:
        out.print(text, highlight=False, soft_wrap=True)

    line(f"trial {trial.number} of {study} exported to {exported.folder}: {', '.join(exported.files)}")
    for split, values in exported.metrics.items():
        line(f"  {split}: accuracy {values['accuracy']:.4f}, loss {values['loss']:.4f} (recomputed from the files)")
    line("  the reloaded model gives the same logits")
    for check in exported.checks[1:]:
        line(f"  {_said(check)}")
    for form, reason in exported.left_out.items():
        line(f"  without {form}: {reason}")


def _said(check: Check) -> str:
    accuracy = f", accuracy {check.metrics['test']['accuracy']:.4f} on test" if check.metrics else ""
    if not check.largest_difference:
        return f"{check.form}: the same logits for {check.images} images{accuracy}"
    return (
        f"{check.form}: the same classes for {check.images} images, logits within {check.largest_difference:.1g} "
        f"({check.allowed:.1g} is allowed){accuracy}"
    )
