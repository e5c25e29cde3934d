"""How much memory of a GPU the training of a network takes at its peak, predicted by formula. No torch.

With the batch B, the activations A that training keeps for an image (`nas.costs`, four bytes a number), the share L of
them that is a block's in the stage with the largest blocks, and the parameters P, frozen ones too:

    peak = overhead + safety x (22 P + data + max(B (A + 2 L), B_v L))

22 bytes a parameter: the weight, its gradient, AdamW's two averages and the averaged weight at four, a copy in bfloat16
at two. 2 L: what the backward pass of one block holds beside what was kept. B_v images are validated at a time, and a
block's output is gone when the next one has used it. `data` is what lies on the GPU of the images themselves.

It is meant as a bound, for sharing out a GPU; a training that is larger all the same goes on with half a batch at a
time. Autocast to bfloat16 halves most of A, which is not counted on: norms and losses stay at four bytes, and an input
that several layers cast is kept once for each. Without overhead and safety it is 1.2 to 3.5 times what torch's
allocator hands out on a CPU in float32, and 1.7 to 6.4 times under autocast to bfloat16, at batches of 64
(`benchmarks/memory.py`); furthest off are shallow networks, whose validation is the larger term. No GPU was measured.
"""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

from nas.architecture import Architecture
from nas.costs import parts
from nas.feasible import Pricing
from nas.tally import Tally

PER_PARAMETER = 22  # bytes
OVERHEAD = 2**30  # bytes: the context of a process, its kernels, the workspaces of cuBLAS and cuDNN
SAFETY = 1.1  # an allocator's blocks are never quite full
ON_DEVICE = 4 * 2**30  # bytes of a training set up to which it is copied to a GPU
MEASURED_AT_ONCE = 512  # images in a validation batch on a GPU
MEASURED_AT_ONCE_BY_CPU = 128  # of more the activations do not stay in its caches, and each image takes longer
SAMPLED = 200  # candidates among which the largest is looked for


@dataclasses.dataclass(frozen=True)
class Peak:
    """The peak of a training in bytes: what belongs to the weights, to the activations, and all of it on a GPU."""

    weights: int
    activations: int
    total: int


def training_peak(
    architecture: Architecture, batch: int, *, num_classes: int, in_channels: int, data_bytes: int = 0
) -> Peak:
    """What training `architecture` at its resolution with AdamW takes at its peak, for batches of `batch` images.

    `data_bytes` is what of the data set lies on the GPU, see `resident_bytes`.
    """
    counts = parts(architecture, num_classes=num_classes, in_channels=in_channels)
    whole = Tally().plus(*counts.values())
    stages = zip(architecture.stages, counts.values(), strict=False)  # the head comes last
    block = max(count.saved / max(1, len(stage.blocks)) for stage, count in stages)
    weights = PER_PARAMETER * (whole.params + whole.frozen)
    activations = math.ceil(4 * max(batch * (whole.saved + 2 * block), MEASURED_AT_ONCE * block))
    return Peak(weights, activations, OVERHEAD + math.ceil(SAFETY * (weights + data_bytes + activations)))


def measured_at_once(device: str) -> int:
    """Images in a validation batch on a `device` of torch's types."""
    return MEASURED_AT_ONCE_BY_CPU if device == "cpu" else MEASURED_AT_ONCE


def resident_bytes(train: int, validation: int, image: int) -> int:
    """Bytes of images that lie on a GPU in a training: so many of either split, of `image` bytes each."""
    return sum(count * image for count in (train, validation) if count * image <= ON_DEVICE)


def largest_peak(
    pricing: Pricing, batch: int, *, num_classes: int, in_channels: int, data_bytes: int = 0, seed: int = 0
) -> int:
    """The largest peak in bytes of a sample of the candidates within the limits. Raises: InputError where none is."""
    rng = random.Random(seed)
    size: dict[str, Any] = {"num_classes": num_classes, "in_channels": in_channels, "data_bytes": data_bytes}
    sample = [pricing.require_feasible(seed).nearest, *(pricing.draw(rng) for _ in range(SAMPLED))]
    return max(training_peak(each.candidate, batch, **size).total for each in sample if each is not None)


def share_of_gpu(gpu_bytes: int, trial_bytes: int, most: int) -> float:
    """The share of a GPU for each trial, 1/k where k trials fit into its memory, `most` of them at most; 1 at least.

    Rounded down to four digits, which is as exactly as Ray counts.
    """
    trials = max(1, min(most, gpu_bytes // max(1, trial_bytes)))
    return math.floor(10_000 / trials) / 10_000
