"""What of a GPU each trial of `nas search` gets: as asked, as predicted, or as the runner finds."""

from __future__ import annotations

import dataclasses

from nas.errors import InputError
from nas.memory import largest_peak, resident_bytes
from nas.wording import quantity
from runners.job_setup import Setup, Training, pricing_of


@dataclasses.dataclass(frozen=True)
class GpuShare:
    """What `nas.search` is told of GPUs.

    Attributes:
        share: of a GPU for each trial; None leaves it to the runner.
        trial_bytes: memory that a trial is predicted to take, for the runner to choose by.
        device: of an evaluation, unless the runner gives it another. here: of what is timed in this process.
        told: a line for the user, or "".
    """

    share: float | None
    trial_bytes: int | None = None
    device: str = "cpu"
    here: str = "cpu"
    told: str = ""


def gpu_share(setup: Setup) -> GpuShare:
    """The share of a GPU for each trial: as asked; else one where the built-in training finds one.

    Raises: InputError for `auto` without the built-in training, whose memory alone is known.
    """
    config, asked = setup.config, setup.config.gpus_per_trial
    if asked == "auto" and setup.training is None:
        raise InputError(
            "--gpus-per-trial auto: only the memory of the built-in training can be predicted; give a number"
        )
    if isinstance(asked, float | int) or setup.training is None:
        device = "cuda" if asked else "cpu"
        return GpuShare(float(asked or 0), None, device, device)
    import torch

    here = "cuda" if torch.cuda.is_available() else "cpu"
    device = "cpu" if config.runner == "ray" else here  # a Ray worker sees for itself what it was given
    if asked is None:
        share = None if config.runner == "ray" else float(here == "cuda")
        return GpuShare(share, None, device, here)
    batch, needed = _needed(setup, setup.training)
    told = f"GPU memory: up to {quantity(needed)}B a trial with batches of {batch} is predicted"
    return GpuShare(None, needed, device, here, told)


def _needed(setup: Setup, training: Training) -> tuple[int, int]:
    """The batch, and the predicted bytes of the largest network within the limits. Raises: InputError where none is."""
    from nas.training import share_of

    data, recipe = training.data, training.recipe
    images = share_of(data.counts["train"], recipe.subset)
    batch = min(recipe.batch(images), images)
    on_gpu = resident_bytes(data.counts["train"], data.counts["validation"], data.resolution**2 * data.channels)
    needed = largest_peak(
        pricing_of(setup),
        batch,
        num_classes=len(data.classes),
        in_channels=data.channels,
        data_bytes=on_gpu,
        seed=setup.config.seed,
    )
    return batch, needed
