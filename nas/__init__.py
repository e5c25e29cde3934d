"""mixer-nas: neural architecture search for vision backbones.

    from nas import Space, one_of, int_range, search, zoo, build, cost

Everything is loaded on first use: `import nas` needs neither torch nor ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nas.version import __version__

if TYPE_CHECKING:
    from nas import zoo
    from nas.api import Result, open_search, search
    from nas.architecture import Architecture
    from nas.costs import Cost, cost
    from nas.jobs import Budget, Report
    from nas.measuring import Measure
    from nas.model import build
    from nas.space import Space, int_range, of, one_of, repeat
    from nas.trial import Trial

_HOMES = {
    "Architecture": "nas.architecture",
    "Budget": "nas.jobs",
    "Cost": "nas.costs",
    "Measure": "nas.measuring",
    "Report": "nas.jobs",
    "Result": "nas.api",
    "Space": "nas.space",
    "Trial": "nas.trial",
    "build": "nas.model",
    "cost": "nas.costs",
    "int_range": "nas.space",
    "of": "nas.space",
    "one_of": "nas.space",
    "open_search": "nas.api",
    "repeat": "nas.space",
    "search": "nas.api",
}

__all__ = [
    "Architecture",
    "Budget",
    "Cost",
    "Measure",
    "Report",
    "Result",
    "Space",
    "Trial",
    "__version__",
    "build",
    "cost",
    "int_range",
    "of",
    "one_of",
    "open_search",
    "repeat",
    "search",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name == "zoo":
        return importlib.import_module("nas.zoo")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
