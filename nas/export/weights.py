"""The weights that a trial was judged by."""

from __future__ import annotations

from pathlib import Path

import torch

from nas import checkpoint
from nas.errors import InputError
from nas.trial import Trial

PREFIX = "module."  # of the averaged weights in a training state


def has_weights(trial: Trial) -> bool:
    """Whether there is a checkpoint to export."""
    return bool(trial.budget.checkpoint) and checkpoint.latest(Path(trial.budget.checkpoint)) is not None


def trained_weights(trial: Trial) -> dict[str, torch.Tensor]:
    """The averaged weights that a trial was judged by. Raises: InputError when its checkpoint is gone."""
    state = checkpoint.load(Path(trial.budget.checkpoint))
    if state is None:
        raise InputError(f"trial {trial.number} has no checkpoint in {trial.budget.checkpoint}; it cannot be exported")
    average = state["average"]
    return {name.removeprefix(PREFIX): value for name, value in average.items() if name.startswith(PREFIX)}
