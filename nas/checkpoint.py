"""Checkpoints: tensors and numbers, written whole or not at all, and never unpickled.

Each attempt of a trial writes a file of its own, and the latest attempt's is the one that counts. A node that was given
up for lost may come back and finish the write that it was at: that is then the file of an attempt that is over.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nas.errors import InputError
from nas.writing import written_whole

STATE = "state.pt"
PREFIX = "module."  # of the averaged weights in a state
OF_AN_ATTEMPT = re.compile(r"state(?:\.(\d+))?\.pt")


def save(folder: Path, state: dict[str, Any], attempt: int = 1) -> None:
    """Write `state` to the file of an attempt in `folder`; a crash leaves the file that was there.

    Files of earlier attempts are deleted then; one that comes again later does not count. Raises: OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = STATE if attempt == 1 else f"state.{attempt}.pt"
    try:
        with written_whole(folder / name) as file:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # torch hides what the disk said behind its own bookkeeping
            raise error.__context__ from None
        raise
    for path in _files(folder)[:-1]:
        if _attempt(path) < attempt:
            path.unlink(missing_ok=True)


def latest(folder: Path) -> Path | None:
    """The file of the latest attempt that has written one; None where none has."""
    return next(reversed(_files(folder)), None)


def load(folder: Path) -> dict[str, Any] | None:
    """The latest attempt's state, or None when there is none.

    Raises: InputError naming a file that is no checkpoint of ours.
    """
    path = latest(folder)
    if path is None:
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is no readable checkpoint; delete it to train from the start") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} is no checkpoint of mixer-nas")
    return state


def averaged(folder: Path) -> dict[str, Any] | None:
    """The averaged weights in the latest attempt's state, those that a trial is judged by; None when there is none.

    Raises: InputError as `load`.
    """
    state = load(folder)
    return None if state is None else weights_of(state)


def weights_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """The averaged weights in a state."""
    return {name.removeprefix(PREFIX): value for name, value in state["average"].items() if name.startswith(PREFIX)}


def _files(folder: Path) -> list[Path]:
    """By attempt."""
    return sorted((path for path in folder.glob("state*.pt") if OF_AN_ATTEMPT.fullmatch(path.name)), key=_attempt)


def _attempt(path: Path) -> int:
    found = OF_AN_ATTEMPT.fullmatch(path.name)
    return int(found[1] or 1) if found else 0
