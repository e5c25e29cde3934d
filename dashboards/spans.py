"""Parameters and search spaces as the pages of Optuna Dashboard want them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution, json_to_distribution

Seen = tuple[str, str]
"""A parameter's name, and its distribution as Optuna's JSON."""


@functools.lru_cache(maxsize=100_000)
def parameter(name: str, distribution: str, value: float) -> str:
    """A parameter of a trial, as JSON: the same few are in thousands of trials.

    Left out is what stock repeats in each of them and no page reads: distribution and Python type.
    """
    given = json_to_distribution(distribution).to_external_repr(value)
    return json.dumps({"name": name, "param_internal_value": value, "param_external_value": str(given)})


@functools.lru_cache(maxsize=10_000)
def span(distribution: str) -> dict[str, Any]:
    """A distribution, as stock tells it."""
    found = json_to_distribution(distribution)
    if isinstance(found, CategoricalDistribution):
        choices = [{"pytype": str(type(choice)), "value": str(choice)} for choice in found.choices]
        return {"type": "CategoricalDistribution", "choices": choices}
    fields = {name: getattr(found, name) for name in ("low", "high", "step", "log")}
    return {"type": type(found).__name__, **fields}


def search_spaces(counts: Mapping[Seen, int], trials: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The parameters that all of `trials` trials have, and those that any has; `counts` says how many have each.

    Distributions of one name and kind are one, with all their choices or the widest range.
    """
    merged: dict[tuple[Any, ...], tuple[int, dict[str, Any]]] = {}
    for (name, distribution), count in counts.items():
        found = span(distribution)
        key = (name, found["type"], found.get("step"), found.get("log"))
        before = merged.get(key)
        merged[key] = (count, found) if before is None else (count + before[0], _both(before[1], found))
    in_order = sorted(merged.items(), key=lambda item: item[0][0])
    union = [{"name": key[0], "distribution": found} for key, (_, found) in in_order]
    shared = [{"name": key[0], "distribution": found} for key, (count, found) in in_order if count == trials]
    return shared, union


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    if "choices" not in one:
        return {**one, "low": min(one["low"], other["low"]), "high": max(one["high"], other["high"])}
    return {**one, "choices": _distinct([*one["choices"], *other["choices"]])}


def _distinct(choices: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return list({(choice["pytype"], choice["value"]): choice for choice in choices}.values())
