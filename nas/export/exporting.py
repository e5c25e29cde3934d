"""Writing an export: the model of a complete trial, checked; or one of published weights."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nas.architecture import Architecture
from nas.data import ImageData
from nas.diagram import svg
from nas.errors import ExportError, InputError
from nas.export.card import card
from nas.export.card_head import Told
from nas.export.equality import Check, checked
from nas.export.facts import facts_of, preprocess_of, title_of
from nas.export.folder import check_target, held, whole
from nas.export.formats import QUICK, write_formats
from nas.export.reading import formats_in
from nas.export.weights import trained_weights
from nas.intervals import wilson
from nas.model import Backbone, build
from nas.replicates import network_of
from nas.trial import State, Trial
from nas.version import __version__


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export holds.

    Attributes:
        folder: where it is. files: their names.
        metrics: accuracy and loss of the exported weights, recomputed, on validation and test.
        checks: of each format, what was compared. left_out: formats that could not be written, with the reason.
    """

    folder: Path
    files: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, float]]
    checks: tuple[Check, ...]
    left_out: Mapping[str, str]

    @property
    def largest_difference(self) -> float:
        """Of any logit between the model in memory and the reloaded one; 0 is required."""
        return self.checks[0].largest_difference


def export(
    trial: Trial,
    data: ImageData,
    target: Path,
    *,
    study: str,
    force: bool = False,
    formats: Sequence[str] = QUICK,
    strict: bool = False,
    settings: Mapping[str, Any] | None = None,
    licence: str = "unknown",
) -> Exported:
    """Write a complete trial's model to `target`, and check that every format computes the same.

    A format that cannot be written is left out, or with `strict` an error. `settings` are those of the study, for the
    model card: data, recipe, objectives; `licence` is an identifier of the Hugging Face hub.
    Raises: InputError for a trial that cannot be exported or a target that exists (without `force`), ExportError when
    writing or a check failed; then nothing is left behind.
    """
    network = network_of(trial.candidate)
    if trial.state is not State.COMPLETE or not isinstance(network, Architecture):
        raise InputError(
            f"trial {trial.number} is {trial.state} and cannot be exported; a complete one of the built-in training can"
        )
    target = target.absolute()
    check_target(target, force=force)
    model = build(network, in_channels=data.channels, num_classes=len(data.classes), resolution=data.resolution).eval()
    model.load_state_dict(trained_weights(trial))
    with whole(target, force=force) as scratch:
        facts = facts_of(trial, data, study)
        left_out = _write(model, facts, scratch, formats, strict=strict)
        _write_json(preprocess_of(data), scratch / "preprocess.json")
        checks = tuple(checked(model, data, scratch, form) for form in formats_in(scratch))
        exported = Exported(target, (), checks[0].metrics, checks, left_out)
        _write_json(_metrics(exported, data, trial), scratch / "metrics.json")
        told = Told(facts, trial, data, checks, settings or {}, licence)
        (scratch / "README.md").write_text(card(model.architecture, told), encoding="utf-8")
    return dataclasses.replace(exported, files=held(target))


def write_model(model: Backbone, facts: Mapping[str, Any], target: Path, *, force: bool = False) -> None:
    """Write a model that no search of ours trained, with its `facts`, so that `load_exported` reads it.

    Raises: InputError for a target that exists (without `force`), ExportError when writing failed; then nothing is
    left behind.
    """
    target = target.absolute()
    check_target(target, force=force)
    with whole(target, force=force) as scratch:
        _write(model, facts, scratch)


def _write(
    model: Backbone, facts: Mapping[str, Any], folder: Path, formats: Sequence[str] = (), *, strict: bool = True
) -> dict[str, str]:
    architecture, shape = model.architecture, {"num_classes": model.num_classes, "in_channels": model.in_channels}
    (folder / "architecture.json").write_text(architecture.to_json() + "\n", encoding="utf-8")
    (folder / "architecture.svg").write_text(svg(architecture, **shape, title=title_of(facts)), encoding="utf-8")
    versions = {"mixer_nas": __version__, "torch": torch.__version__, "python": platform.python_version()}
    _write_json({**facts, **versions}, folder / "export.json")
    return write_formats(model, facts, formats, folder, strict=strict)


def _metrics(exported: Exported, data: ImageData, trial: Trial) -> dict[str, Any]:
    intervals = {
        split: wilson(round(values["accuracy"] * data.counts[split]), data.counts[split])
        for split, values in exported.metrics.items()
    }
    formats = {
        check.form: {
            "images": check.images,
            "largest_difference": check.largest_difference,
            "allowed": check.allowed,
            "tolerance": check.tolerance,
            "same_top1": True,
            **check.metrics,
        }
        for check in exported.checks
    }
    accuracy_95 = {split: list(found) for split, found in intervals.items()}
    return {**exported.metrics, "accuracy_95": accuracy_95, "formats": formats, "search": dict(trial.metrics)}


def _write_json(value: Any, path: Path) -> None:
    try:
        path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except ValueError as error:
        raise ExportError(f"{path.name} would hold a number that is none: {error}") from error
