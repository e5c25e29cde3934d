"""The README.md of an export: a model card in the format of the Hugging Face hub."""

from __future__ import annotations

import dataclasses
import html
import platform
import re
from collections.abc import Mapping
from typing import Any

import torch

from nas.architecture import Architecture
from nas.companions import BEGUN
from nas.costs import cost
from nas.export import using
from nas.export.card_head import Told, head
from nas.export.facts import title_of
from nas.intervals import wilson
from nas.latency import device_name, measure
from nas.recipe import Recipe
from nas.supernet import BY_SUPERNET
from nas.training import share_of
from nas.trial import Trial
from nas.version import __version__

RECIPE = {  # what a reader of a card asks for first; the rest follows by name
    "epochs": "epochs",
    "batch_size": "batch size",
    "lr": "learning rate of AdamW",
    "augment": "augmentation",
}


def card(architecture: Architecture, told: Told) -> str:
    """The text. It times the network on this machine, for about a second."""
    forms = tuple(check.form for check in told.checks)
    size = {"in_channels": told.data.channels, "num_classes": len(told.data.classes)}
    parts = (
        head(told),
        f"# {_plain(title_of(told.facts))}\n\n{_about(architecture, told)}",
        "![The network, stage by stage](architecture.svg)",
        f"## How good it is\n\n{_metrics(told)}",
        f"## What it costs\n\n{_costs(architecture, size, told)}",
        f"## How it came about\n\n{_protocol(told)}",
        using.section(forms, told.data),
        f"## What was checked\n\n{_checks(told)}",
        f"## Licence\n\n{_licence(told.licence)}",
    )
    return "\n\n".join(parts) + "\n"


def _about(architecture: Architecture, told: Told) -> str:
    data, blocks = told.data, [block for stage in architecture.stages for block in stage.blocks]
    kinds = " and ".join(dict.fromkeys(block.mixer.kind.replace("_", " ") for block in blocks))
    colour = "in gray" if data.channels == 1 else "in colour"
    came = "trained in full" if "retrains" in told.settings else "found by neural architecture search"
    return (
        f"An image classifier for the {len(data.classes)} classes of {_plain(told.facts['data'])}, "
        f"{data.resolution}x{data.resolution} pixels {colour}, {came} with mixer-nas "
        f"{__version__}: {_count(len(architecture.stages), 'stage')} with {_count(len(blocks), 'block')}, mixing by "
        f"{kinds}."
    )


def _metrics(told: Told) -> str:
    rows = ["| split | images | accuracy | 95 % | loss |", "|---|---:|---:|---:|---:|"]
    for split, values in told.checks[0].metrics.items():
        count = told.data.counts[split]
        low, high = wilson(round(values["accuracy"] * count), count)
        rows.append(
            f"| {split} | {count:,} | {values['accuracy']:.4f} | {low:.4f} to {high:.4f} | {values['loss']:.4f} |"
        )
    note = (
        "Recomputed from `model.safetensors`. The intervals are Wilson's: they hold what the accuracy on other images "
        "of the kind may be, not what another training would give. The network was chosen by its validation accuracy, "
        "which flatters it; the test images chose nothing."
    )
    return "\n".join(rows) + f"\n\n{note}"


def _costs(architecture: Architecture, size: Mapping[str, int], told: Told) -> str:
    known, side = cost(architecture, **size), told.data.resolution
    channels, classes = size["in_channels"], size["num_classes"]
    rows = [("parameters", f"{known.params:,}"), ("multiply-accumulates of an image", f"{known.macs:,}")]
    if known.frozen_params:
        rows.append(("parameters that are drawn once and never trained", f"{known.frozen_params:,}"))
    rows.append(("activations that training keeps of an image", f"{known.activation_bytes / 2**10:,.0f} KiB"))
    for batch in (1, 32):
        timed = measure(
            architecture, in_channels=channels, num_classes=classes, resolution=side, device="cpu", batch=batch
        )
        spread = f"{timed.p10_ms:.2f} to {timed.p90_ms:.2f}"
        rows.append((f"forward pass of {_count(batch, 'image')}", f"{timed.median_ms:.2f} ms (p10 to p90 {spread})"))
    where = f"Counts are by formula. Times are of this machine, {_plain(device_name('cpu'))}, one thread, float32."
    return "\n".join(["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)]) + f"\n\n{where}"


def _protocol(told: Told) -> str:
    trial, data, settings = told.trial, told.data, told.settings
    recipe = dict(settings.get("recipe") or {})
    ours = {field.name for field in dataclasses.fields(Recipe)}
    if recipe.get("batch_size") == 0 and recipe.keys() <= ours:  # chosen by the number of images
        recipe["batch_size"] = Recipe(**recipe).batch(share_of(data.counts["train"], recipe.get("subset", 1.0)))
    rows = [
        ("data", f"{told.facts['data']} (digest {data.digest})"),
        ("images", ", ".join(f"{count:,} for {split}" for split, count in data.counts.items())),
        ("search space", settings.get("space")),
        ("objectives", ", ".join(map(str, settings.get("objectives") or ()))),
        ("limits", ", ".join(map(str, settings.get("limits") or ()))),
        ("proposed by", trial.origin),
        ("trial", f"{trial.number}, attempt {trial.attempt}, architecture {told.facts['digest']}"),
        ("seed", int(trial.metrics.get("seed", trial.budget.seed))),
        ("trained for", f"{_count(trial.budget.stop, 'epoch')} on {trial.budget.device}"),
        ("weights to begin with", _begun(trial, settings)),
        *((label, recipe.pop(name, None)) for name, label in RECIPE.items()),
        ("and", ", ".join(f"{name} {value}" for name, value in sorted(recipe.items()))),
        ("normalised with", f"mean {list(data.mean)}, std {list(data.std)}, of pixels in [0, 1]"),
        ("written with", f"mixer-nas {__version__}, torch {torch.__version__}, Python {platform.python_version()}"),
    ]
    shown = [f"| {name} | {_plain(value)} |" for name, value in rows if value not in (None, "")]
    judged = "Weights are an exponential average over the steps of training, which is what validation judged."
    return "\n".join(["| | |", "|---|---|", *shown]) + f"\n\n{judged}"


def _begun(trial: Trial, settings: Mapping[str, Any]) -> str | None:
    if (begun := BEGUN.get(str(settings.get("from")))) is not None:
        return begun
    if settings.get("weights") == BY_SUPERNET:
        return "those of a supernet; it was not trained by itself"
    return None if trial.parent is None else f"those of trial {trial.parent}, as far as shapes allowed"


def _checks(told: Told) -> str:
    rows = [
        "| format | images | largest difference of a logit | allowed | test accuracy |",
        "|---|---:|---:|---:|---:|",
    ]
    for check in told.checks:
        accuracy = f"{check.metrics['test']['accuracy']:.4f}" if check.metrics else ""
        gap = f"{check.largest_difference:.2g}"
        rows.append(f"| {check.form} | {check.images} | {gap} | {check.allowed:.2g} | {accuracy} |")
    note = "Validation images through every file, held against the trained model in memory; all give the same classes."
    return "\n".join(rows) + f"\n\n{note}"


def _licence(licence: str) -> str:
    said = "is not stated by its author" if licence == "unknown" else f"is {_plain(licence)}, as its author says"
    return (
        f"The licence of the weights {said}; that of the images they were trained on may bear on it. The code in "
        "`model.py` comes from mixer-nas and is under Apache-2.0."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _plain(value: Any) -> str:
    """Text of a user's on one line, where Markdown and HTML see nothing in it."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|#!])", r"\\\1", text)
