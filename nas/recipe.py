"""How a candidate is trained: a frozen value whose digest says whether two results may be compared."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from nas.checked import digest
from nas.errors import InputError

AUGMENTATIONS = ("auto", "none", "shift", "shift-flip", "rand")
SCHEDULES = ("held", "linear", "cosine")
SCHEMES = ("xavier", "trunc_normal", "zero_positions", "trunc_normal_all", "jax", "torch", "level")
RANGES = {
    "(0, high]": {"subset": 1.0, "lr": 10.0, "ema": 1.0, "clip": 1e9},
    "[0, high]": {"mix": 1.0, "erase": 1.0},
    "[0, high)": {
        "label_smoothing": 1.0, "drop_path": 1.0, "weight_decay": 1e9, "warmup": 1e9, "mixup": 1e9, "cutmix": 1e9,
    },
}  # fmt: skip
LATER = ("schedule", "mixup", "cutmix", "mix", "erase", "init")  # fields that recipes of old do not name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """The training protocol.

    The learning rate warms up linearly over the first `warmup` epochs. By the schedule "held" it is held, and falls
    linearly to a hundredth over the epochs from `decay_from` to `epochs`, so that a trial that pauses at a rung goes on
    as if it never had. By "linear" and "cosine" it begins to fall at the end of the warm-up.

    Attributes:
        epochs: full budget. held: epochs up to which the learning rate is held at least: the last rung but one.
        batch_size: 0 chooses 16 to 128 by the number of training images.
        lr, weight_decay: of AdamW; norms, biases and tables are not decayed.
        warmup: epochs. label_smoothing: in [0, 1). ema: decay of the averaged weights that are judged.
        clip: largest gradient norm. drop_path: rate of the last block.
        augment: "none", "shift" (random crop after padding), "shift-flip", "auto" (flips colour images only), or "rand"
            (RandAugment, Cubuk et al. 2020, arXiv 1909.13719, 2 operations of magnitude 9 after what "auto" does).
        subset: share of the training images that is used.
        mixup, cutmix: parameter of the Beta distribution that the share of the other image is drawn from; 0 for none.
            Of both, each batch takes one or the other. mix: probability that a batch is mixed.
        erase: probability that a rectangle of an image is erased. init: scheme of `nas.initialise`.
    """

    epochs: int = 10
    held: int = 1
    batch_size: int = 0
    lr: float = 4e-3
    weight_decay: float = 0.05
    warmup: float = 1.0
    label_smoothing: float = 0.1
    ema: float = 0.998
    clip: float = 1.0
    drop_path: float = 0.0
    augment: str = "auto"
    subset: float = 1.0
    schedule: str = "held"
    mixup: float = 0.0
    cutmix: float = 0.0
    mix: float = 1.0
    erase: float = 0.0
    init: str = "xavier"

    def __post_init__(self) -> None:
        for what, name, known in (
            ("augmentation", self.augment, AUGMENTATIONS),
            ("schedule", self.schedule, SCHEDULES),
            ("initialisation", self.init, SCHEMES),
        ):
            if name not in known:
                raise InputError(f"unknown {what} {name!r}; known: {', '.join(known)}")
        if not 1 <= self.held <= self.epochs:
            raise InputError(f"held {self.held}, epochs {self.epochs}: 1 <= held <= epochs must hold")
        for field in dataclasses.fields(self):
            if isinstance(field.default, float):
                object.__setattr__(self, field.name, float(getattr(self, field.name)))
        for shape, ranges in RANGES.items():
            for name, high in ranges.items():
                value = getattr(self, name)
                above = value >= 0 if shape.startswith("[") else value > 0
                if not (above and (value <= high if shape.endswith("]") else value < high)):
                    raise InputError(f"{name} {value:g} is outside {shape.replace('high', f'{high:g}')}")
        if self.batch_size < 0:
            raise InputError(f"batch size {self.batch_size} is negative (0 chooses one)")

    @property
    def decay_from(self) -> float:
        """Epoch at which the learning rate begins to fall: a third of the budget, or `held` where that is later."""
        return max(self.epochs / 3, float(min(self.held, self.epochs - 1)))

    @property
    def digest(self) -> str:
        """32 hex digits: the identity of this protocol."""
        return digest(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The fields by name; without those of `LATER` that have their default, so that no old digest changes."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in LATER or getattr(self, field.name) != field.default
        }

    def batch(self, images: int) -> int:
        """The batch size for that many training images."""
        return self.batch_size or min(128, max(16, 2 ** int(math.log2(max(1, images / 32)))))

    def rate(self, epoch: float) -> float:
        """The learning rate at a moment of training, in epochs."""
        if epoch < self.warmup:
            return self.lr * max(epoch, 0.02) / self.warmup
        if self.schedule != "held":
            left = (self.epochs - epoch) / max(1e-9, self.epochs - self.warmup)
            return self.lr * max(0.01, left if self.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2)
        if epoch <= self.decay_from:
            return self.lr
        left = (self.epochs - epoch) / max(1e-9, self.epochs - self.decay_from)
        return self.lr * max(0.01, left)
