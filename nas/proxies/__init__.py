"""Scores of untrained networks: cheap, and often wrong. Nothing here needs torch until a network is scored.

Every score is made so that higher stands for better. What each one is, with its paper, is said where it is computed:
`gradients` (grad_norm, snip, zico), `flow` (synflow), `features` (naswot, expressivity), `scoring` (params, macs).
All networks start on one footing: see `levelled.build_levelled`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nas.errors import InputError, unknown

if TYPE_CHECKING:
    from nas.proxies.in_search import ProxyScores
    from nas.proxies.scoring import Scored, examine, score, training_batch

BASELINES = ("params", "macs")  # what a score has to beat

PROXIES: Mapping[str, str] = {
    "params": "trainable parameters, by formula",
    "macs": "multiply-accumulates of a forward pass, by formula",
    "synflow": "log of the weights' share in the flow through a linear network of absolute weights; no data",
    "snip": "sum of |weight x gradient|",
    "grad_norm": "sum over weights of the norm of the gradient",
    "naswot": "how differently the activations switch for different images",
    "zico": "how steady the gradients are over parts of the batch",
    "expressivity": "entropy of the spectrum of every block's features; defined for all mixers, meant for attention",
}

_HOMES = {
    "ProxyScores": "nas.proxies.in_search",
    "Scored": "nas.proxies.scoring",
    "examine": "nas.proxies.scoring",
    "score": "nas.proxies.scoring",
    "training_batch": "nas.proxies.scoring",
}

__all__ = [
    "BASELINES",
    "PROXIES",
    "ProxyScores",
    "Scored",
    "chosen",
    "examine",
    "score",
    "training_batch",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nas.proxies' has no attribute {name!r}")


def chosen(given: Iterable[str]) -> tuple[str, ...]:
    """Names of proxies from texts like "synflow,naswot", each once, in the order given.

    Raises: InputError for an unknown name, or a text without any.
    """
    names: dict[str, None] = {}
    for text in given:
        parts = [part.strip() for part in text.split(",")]
        if not all(parts):
            raise InputError(f"proxies {text!r}: names with commas between are expected, as in synflow,naswot")
        for name in parts:
            if name not in PROXIES:
                raise unknown("proxy", name, list(PROXIES))
            names[name] = None
    return tuple(names)
