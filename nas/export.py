"""Take a model home: weights as safetensors beside the architecture's JSON, proven equal before anything is kept."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nas import checkpoint
from nas.architecture import Architecture
from nas.data import ImageData
from nas.diagram import svg
from nas.errors import ExportError, InputError
from nas.model import Backbone, build
from nas.replicates import network_of
from nas.training import Images, measure
from nas.trial import State, Trial
from nas.version import __version__

FILES = ("architecture.json", "architecture.svg", "export.json", "metrics.json", "model.safetensors")
OPTIONAL = {"metrics.json", "architecture.svg"}  # imported weights have no metrics, older exports no picture


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export holds.

    Attributes:
        folder: where it is. files: their names.
        metrics: accuracy and loss of the exported files, recomputed, on validation and test.
        largest_difference: of any logit between the model in memory and the reloaded one; 0 is required.
    """

    folder: Path
    files: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, float]]
    largest_difference: float


def has_weights(trial: Trial) -> bool:
    """Whether there is a checkpoint to export."""
    return bool(trial.budget.checkpoint) and checkpoint.latest(Path(trial.budget.checkpoint)) is not None


def trained_weights(trial: Trial) -> dict[str, torch.Tensor]:
    """The averaged weights that a trial was judged by. Raises: InputError when its checkpoint is gone."""
    weights = checkpoint.averaged(Path(trial.budget.checkpoint))
    if weights is None:
        raise InputError(f"trial {trial.number} has no checkpoint in {trial.budget.checkpoint}; it cannot be exported")
    return weights


def export(trial: Trial, data: ImageData, target: Path, *, study: str, force: bool = False) -> Exported:
    """Write a complete trial's model to `target`, reload it, and check that the logits are the same.

    Raises: InputError for a trial that cannot be exported or a target that exists (without `force`), ExportError when
    writing or the check failed; then nothing is left behind.
    """
    network = network_of(trial.candidate)
    if trial.state is not State.COMPLETE or not isinstance(network, Architecture):
        raise InputError(
            f"trial {trial.number} is {trial.state} and cannot be exported; a complete one of the built-in training can"
        )
    target = target.absolute()
    check_target(target, force=force)
    model = _model(network, data)
    model.load_state_dict(trained_weights(trial))
    with _whole(target) as scratch:
        exported = _write_and_check(model, trial, data, scratch, study)
    return dataclasses.replace(exported, folder=target)


def write_model(model: Backbone, facts: Mapping[str, Any], target: Path, *, force: bool = False) -> None:
    """Write a model that no search of ours trained, with its `facts`, so that `load_exported` reads it.

    Raises: InputError for a target that exists (without `force`), ExportError when writing failed; then nothing is
    left behind.
    """
    target = target.absolute()
    check_target(target, force=force)
    with _whole(target) as scratch:
        _write(model, facts, scratch)
        _sync(scratch)


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A scratch folder that becomes `target` when all went well, and is gone otherwise."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise ExportError(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        yield scratch
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    except (OSError, SafetensorError) as error:
        raise ExportError(f"cannot write {target}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_target(target: Path, *, force: bool) -> None:
    """Raises: InputError when `target` exists and may not be replaced: only an export, and only with `force`."""
    if not target.exists():
        return
    names = {path.name for path in target.iterdir()} if target.is_dir() else set()
    ours = set(FILES) - OPTIONAL <= names <= set(FILES)
    if not (ours and force):
        raise InputError(f"{target} exists{'; --force replaces an export' if ours else ' and is no export of ours'}")


def load_exported(folder: Path) -> tuple[Backbone, dict[str, Any]]:
    """The model of an exported folder, in evaluation mode, and its `export.json`.

    Raises: InputError when the folder is no export of ours.
    """
    try:
        facts = json.loads((folder / "export.json").read_text())
        architecture = Architecture.load(folder / "architecture.json")
        weights = load_file(folder / "model.safetensors")
        model = build(architecture, in_channels=facts["channels"], num_classes=len(facts["classes"]))
        model.load_state_dict(weights)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder} is no export of mixer-nas: {reason}") from error
    return model.eval(), facts


def _model(architecture: Architecture, data: ImageData) -> Backbone:
    model = build(architecture, in_channels=data.channels, num_classes=len(data.classes), resolution=data.resolution)
    return model.eval()


def _write_and_check(model: Backbone, trial: Trial, data: ImageData, folder: Path, study: str) -> Exported:
    device = torch.device("cpu")
    facts = {
        "study": study,
        "trial": trial.number,
        "digest": trial.digest,
        "resolution": data.resolution,
        "channels": data.channels,
        "classes": list(data.classes),
        "mean": list(data.mean),
        "std": list(data.std),
        "data": data.name,
    }
    _write(model, facts, folder)
    reloaded, _ = load_exported(folder)
    difference = _difference(model, reloaded, data, device)
    if difference:
        raise ExportError(f"the reloaded model differs from the trained one by up to {difference:g} in its logits")
    metrics = {split: measure(reloaded, data, split, device) for split in ("validation", "test")}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "search": dict(trial.metrics)}, indent=2) + "\n")
    _sync(folder)
    return Exported(folder, tuple(sorted(path.name for path in folder.iterdir())), metrics, difference)


def _write(model: Backbone, facts: Mapping[str, Any], folder: Path) -> None:
    (folder / "architecture.json").write_text(model.architecture.to_json() + "\n")
    title = f"trial {facts['trial']} of {facts['study']}" if "study" in facts else str(facts.get("network", ""))
    shape = {"num_classes": model.num_classes, "in_channels": model.in_channels}
    (folder / "architecture.svg").write_text(svg(model.architecture, **shape, title=title), encoding="utf-8")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    versions = {"mixer_nas": __version__, "torch": torch.__version__}
    (folder / "export.json").write_text(json.dumps({**facts, **versions}, indent=2) + "\n")


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


@torch.inference_mode()
def _difference(first: Backbone, second: Backbone, data: ImageData, device: torch.device) -> float:
    from nas.augment import Preprocess

    images_BHWC, _ = next(Images(data, "validation", device).in_order(64))
    x_BCHW = Preprocess(data, "none").eval()(images_BHWC)
    return float((first(x_BCHW) - second(x_BCHW)).abs().max())
