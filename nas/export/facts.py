"""What an export says of itself in JSON: where it comes from, and how its images must be made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.data import ImageData
from nas.replicates import network_of
from nas.trial import Trial


def public_name(name: str) -> str:
    """The name of a data set without where it lies on this machine: folders keep their last part."""
    kind, colon, rest = name.partition(":")
    if not colon or (kind == "hf" and not Path(rest).exists()):
        return name
    return f"folder:{Path(rest).name or 'data'}"


def facts_of(trial: Trial, data: ImageData, study: str) -> dict[str, Any]:
    """What `export.json` holds, beside the versions."""
    return {
        "study": study,
        "trial": trial.number,
        "digest": network_of(trial.candidate).digest,
        "resolution": data.resolution,
        "channels": data.channels,
        "classes": list(data.classes),
        "mean": list(data.mean),
        "std": list(data.std),
        "data": public_name(data.name),
    }


def preprocess_of(data: ImageData) -> dict[str, Any]:
    """What `preprocess.json` holds: from a decoded picture to the numbers that the model takes."""
    return {
        "channels": data.channels,
        "depth": "16-bit gray is divided by 257",
        "mode": "L" if data.channels == 1 else "RGB",
        "crop": "the largest square in the centre",
        "size": data.resolution,
        "filter": "bicubic",
        "scale": 1 / 255,
        "mean": list(data.mean),
        "std": list(data.std),
        "layout": "NCHW, float32: (pixel * scale - mean) / std",
        "classes": list(data.classes),
    }


def title_of(facts: Mapping[str, Any]) -> str:
    """What a picture and a card are headed with."""
    return f"trial {facts['trial']} of {facts['study']}" if "study" in facts else str(facts.get("network", ""))
