"""What a study is, as this version would say it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def read_settings(text: str) -> dict[str, Any]:
    """The settings of a study from its row, of this version or an earlier one."""
    told: dict[str, Any] = json.loads(text)
    return _current(told)


def _current(told: Mapping[str, Any]) -> dict[str, Any]:
    """Before there were rungs every trial was trained to the second number of `epochs`; `held` had another name."""
    found = dict(told)
    if "epochs" in found and "rungs" not in found:
        found["epochs"] = [found["epochs"][1]] * 2
    if isinstance(recipe := found.get("recipe"), dict):
        found["recipe"] = {"held" if name == "min_epochs" else name: value for name, value in recipe.items()}
    if isinstance(of := found.get("of"), dict):  # that `nas confirm` trained again
        found["of"] = _current(of)
    return found
