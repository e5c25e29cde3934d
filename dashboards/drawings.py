"""The network of a trial, drawn when it is asked for: `/nas/studies/<id>/trials/<number>.svg`, or `.txt`."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from nas import diagram
from nas.architecture import Architecture
from nas.errors import NasError
from nas.store.listing import Reader, Row
from nas.store.rows import read_candidate

PATH = re.compile(r"/nas/studies/(\d{1,18})/trials/(\d{1,18})\.(svg|txt)")
KINDS = {"svg": "image/svg+xml; charset=utf-8", "txt": "text/plain; charset=utf-8"}
USUAL = (1000, 3)  # classes and channels where nothing tells


class Drawings:
    """Of the trials of a database."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """(content type, body) for a path of ours; None where nothing is there. Raises: StoreError."""
        match = PATH.fullmatch(path)
        found = self._reader.candidate(int(match[1]), int(match[2])) if match else None
        if match is None or found is None:
            return None
        study, candidate, metrics = found
        kind = match[3]
        if isinstance(candidate, Architecture):
            classes, channels = diagram.classes_and_channels(candidate, metrics) or USUAL
            if kind == "txt":
                return KINDS[kind], _text(candidate, classes, channels).encode()
            title = f"{study}, trial {match[2]}"
            drawn = diagram.svg(candidate, num_classes=classes, in_channels=channels, title=title)
            return KINDS[kind], drawn.encode()
        return (KINDS[kind], _lines(candidate).encode()) if kind == "txt" else None

    def text(self, row: Row) -> str:
        """The candidate of a trial as lines; empty when it cannot be read."""
        candidate = _candidate(row)
        if isinstance(candidate, Architecture):
            metrics = row.attempts[-1].metrics if row.attempts else {}
            return _text(candidate, *(diagram.classes_and_channels(candidate, metrics) or USUAL))
        return "" if candidate is None else _lines(candidate)

    def family(self, row: Row) -> str:
        """The token mixers of a network, in the order of its stages; empty for anything else."""
        candidate = _candidate(row)
        if not isinstance(candidate, Architecture):
            return ""
        kinds = dict.fromkeys(block.mixer.kind for stage in candidate.stages for block in stage.blocks)
        return "+".join(kinds)


def _candidate(row: Row) -> Any:
    if row.body is None:
        return None
    try:
        return _read(row.kind, row.body)
    except NasError:
        return None


@functools.lru_cache(maxsize=64)
def _read(kind: str, body: str) -> Any:
    return read_candidate(kind, body, "a trial")


def _text(architecture: Architecture, classes: int, channels: int) -> str:
    return diagram.text(architecture, num_classes=classes, in_channels=channels, width=100) + "\n"


def _lines(candidate: Any) -> str:
    """A parameter a line where the candidate is a mapping, else its JSON."""
    if isinstance(candidate, Mapping):
        return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in candidate.items())
    return json.dumps(candidate, ensure_ascii=False, indent=1) + "\n"
