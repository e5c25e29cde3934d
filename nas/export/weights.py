"""The weights that a trial was judged by."""

from __future__ import annotations

from pathlib import Path

import torch

from nas import checkpoint
from nas.errors import InputError
from nas.trial import Trial


def has_weights(trial: Trial) -> bool:
    """Whether there is a checkpoint to export."""
    return bool(trial.budget.checkpoint) and checkpoint.latest(Path(trial.budget.checkpoint)) is not None


def trained_weights(trial: Trial) -> dict[str, torch.Tensor]:
    """The averaged weights that a trial was judged by. Raises: InputError when its checkpoint is gone."""
    weights = checkpoint.averaged(Path(trial.budget.checkpoint))
    if weights is None:
        raise InputError(f"trial {trial.number} has no checkpoint in {trial.budget.checkpoint}; it cannot be exported")
    return weights
