"""One-shot search: one network that contains all of a space, and candidates judged by the weights they inherit."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.supernet.network import Supernet

__all__ = ["Supernet"]

BY_SUPERNET = "supernet"
"""What the settings and the protocol of a study call the weights that its trials are judged by."""

JUDGE_IMAGES = 2048
"""Validation images that candidates are judged on, unless told: more do not order them better (`docs/oneshot.md`)."""

EVALUATE = "validate by inherited weights"
"""What the settings of a study call such an evaluation."""


def __getattr__(name: str) -> Any:
    """The supernet needs torch; what tells of a course of training does not."""
    if name in __all__:
        return getattr(importlib.import_module("nas.supernet.network"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
