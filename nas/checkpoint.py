"""Checkpoints: tensors and numbers, written whole or not at all, and never unpickled."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from nas.errors import InputError

STATE = "state.pt"


def save(folder: Path, state: dict[str, Any], name: str = STATE) -> None:
    """Write `state` to `folder`/`name`; a crash leaves the file that was there. Raises: OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{os.getpid()}"
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # torch hides what the disk said behind its own bookkeeping
            raise error.__context__ from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def load(folder: Path, name: str = STATE) -> dict[str, Any] | None:
    """The saved state, or None when there is none. Raises: InputError naming a file that is no checkpoint of ours."""
    path = folder / name
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is no readable checkpoint; delete it to train from the start") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} is no checkpoint of mixer-nas")
    return state
