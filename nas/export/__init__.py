"""Take a model home: a folder in the layout of the Hugging Face hub, proven equal before anything is kept."""

from __future__ import annotations

from nas.export.equality import Check
from nas.export.exporting import Exported, export, write_model
from nas.export.folder import FILES, check_target
from nas.export.formats import FORMATS, QUICK, choose
from nas.export.reading import load_exported, opened
from nas.export.weights import has_weights, trained_weights

__all__ = [
    "FILES",
    "FORMATS",
    "QUICK",
    "Check",
    "Exported",
    "check_target",
    "choose",
    "export",
    "has_weights",
    "load_exported",
    "opened",
    "trained_weights",
    "write_model",
]
