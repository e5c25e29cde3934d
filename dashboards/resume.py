"""The command that goes on with a study, from its settings."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from nas.samplers import NAMES
from nas.supernet import BY_SUPERNET, JUDGE_IMAGES

OF_AUTO = {"spread", "surrogate"}  # what the trials of sampler auto are from, besides their starts

RECIPE = {  # where it is not as usual
    "subset": ("--subset", 1.0),
    "batch_size": ("--batch-size", 0),
    "lr": ("--lr", 0.004),
    "augment": ("--augment", "auto"),
}
RUNGS = {
    "factor": ("--factor", 3),
    "brackets": ("--brackets", 1),
    "rung_subset": ("--rung-subset", 1.0),
}


def command(study: str, settings: Mapping[str, Any], where: str, origins: Mapping[str, int] | None = None) -> str:
    """For a shell, an option a line; for a study made from Python, the call in words.

    `origins`: how many trials each proposer made, which tells the sampler.
    """
    for done, name in (("confirms", "confirm"), ("retrains", "retrain")):
        if done in settings:
            return f"nas {name} {shlex.quote(str(settings[done]))} ...  # with the options that it was made with"
    source = settings.get("source")
    if not isinstance(source, Mapping) and "space" not in settings:
        return f"nas.search(...)  # as it was made, with study={study!r} and trials=N"
    low, high = epochs_of(settings)
    options = [("--study", study), ("--space", settings.get("space"))]
    if isinstance(source, Mapping):
        options += [("--data", source.get("data")), ("--resolution", source.get("resolution"))]
    elif settings.get("evaluate") is not None:
        options += [("--evaluate", settings["evaluate"]), ("--costs", settings.get("costs"))]
    options += [("--objective", each) for each in settings.get("objectives", ())]
    options += [("--limit", each) for each in settings.get("limits", ())]
    options.append(("--epochs", f"{low}:{high}" if low != high else high))
    for said, names in ((settings.get("recipe"), RECIPE), (settings.get("rungs"), RUNGS)):
        for name, (option, usual) in names.items():
            if isinstance(said, Mapping) and said.get(name, usual) != usual:
                options.append((option, said[name]))
    options.append(("--rung-resolution", _first_side(settings)))
    options += weights_of(settings)
    if origins:
        options.append(("--sampler", sampler_of(origins)))
    told = [f"{name} {shlex.quote(str(value))}" for name, value in options if value is not None]
    return " \\\n  ".join(["nas search", *told, f"--trials N{where}"])


def epochs_of(settings: Mapping[str, Any]) -> tuple[int, int]:
    """What `--epochs` says: the smallest and the full budget, or what the best by a supernet are trained for."""
    if settings.get("weights") == BY_SUPERNET:
        full = int((settings.get("recipe") or {}).get("epochs", 1))
        return full, full
    low, high = settings.get("epochs", (1, 1))
    return low, high


def weights_of(settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The options about what trials begin with, or are judged by; of a supernet those that are not as usual."""
    found: list[tuple[str, Any]] = [("--weights", settings.get("weights"))]
    told = settings.get("supernet")
    if isinstance(told, Mapping):
        found.append(("--supernet-epochs", told.get("epochs")))
        found += [("--supernet-sampling", "uniform")] if told.get("sampling") == "uniform" else []
        found.append(("--supernet-at-once", told.get("at_once")))
        images = told.get("judge_images", 0)
        found += [("--judge-images", images)] if images != JUDGE_IMAGES else []
        found += [("--shrink --shrink-cost", told.get("shrink_cost"))] if told.get("shrink") else []
    return found


def sampler_of(origins: Mapping[str, int]) -> str:
    """As far as trials tell: auto has names of its own for what it proposes, and others begin at random."""
    named = Counter({origin: count for origin, count in origins.items() if origin in NAMES and origin != "random"})
    if OF_AUTO & set(origins) or not (named or "random" in origins):
        return "auto"
    return named.most_common(1)[0][0] if named else "random"


def _first_side(settings: Mapping[str, Any]) -> int | None:
    """Pixels of the first rung where it has smaller images; the settings hold them as a share of the full side."""
    scale = (settings.get("rungs") or {}).get("rung_scale", 1.0)
    side = re.search(r"(\d+) px\)$", str(settings.get("data", "")))
    return round(scale * int(side[1])) if scale < 1 and side else None
