"""How a candidate is trained: a frozen value whose digest says whether two results may be compared."""

from __future__ import annotations

import dataclasses
import math

from nas.checked import digest
from nas.errors import InputError

AUGMENTATIONS = ("auto", "none", "shift", "shift-flip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """The training protocol.

    The learning rate warms up linearly over the first `warmup` epochs, is held, and falls linearly to a hundredth over
    the epochs from `decay_from` to `epochs`, so that a trial that pauses at a rung goes on as if it never had.

    Attributes:
        epochs: full budget. held: epochs up to which the learning rate is held at least: the last rung but one.
        batch_size: 0 chooses 16 to 128 by the number of training images.
        lr, weight_decay: of AdamW; norms, biases and tables are not decayed.
        warmup: epochs. label_smoothing: in [0, 1). ema: decay of the averaged weights that are judged.
        clip: largest gradient norm. drop_path: rate of the last block.
        augment: "none", "shift" (random crop after padding), "shift-flip", or "auto" (flips colour images only).
        subset: share of the training images that is used.
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

    def __post_init__(self) -> None:
        if self.augment not in AUGMENTATIONS:
            raise InputError(f"unknown augmentation {self.augment!r}; known: {', '.join(AUGMENTATIONS)}")
        if not 1 <= self.held <= self.epochs:
            raise InputError(f"held {self.held}, epochs {self.epochs}: 1 <= held <= epochs must hold")
        for field in dataclasses.fields(self):
            if isinstance(field.default, float):
                object.__setattr__(self, field.name, float(getattr(self, field.name)))
        for name, high in (("subset", 1.0), ("lr", 10.0), ("ema", 1.0), ("clip", 1e9)):
            if not 0 < getattr(self, name) <= high:
                raise InputError(f"{name} {getattr(self, name):g} is outside (0, {high:g}]")
        for name, high in (("label_smoothing", 1.0), ("drop_path", 1.0), ("weight_decay", 1e9), ("warmup", 1e9)):
            if not 0 <= getattr(self, name) < high:
                raise InputError(f"{name} {getattr(self, name):g} is outside [0, {high:g})")
        if self.batch_size < 0:
            raise InputError(f"batch size {self.batch_size} is negative (0 chooses one)")

    @property
    def decay_from(self) -> float:
        """Epoch at which the learning rate begins to fall: a third of the budget, or `held` where that is later."""
        return max(self.epochs / 3, float(min(self.held, self.epochs - 1)))

    @property
    def digest(self) -> str:
        """32 hex digits: the identity of this protocol."""
        return digest(dataclasses.asdict(self))

    def batch(self, images: int) -> int:
        """The batch size for that many training images."""
        return self.batch_size or min(128, max(16, 2 ** int(math.log2(max(1, images / 32)))))

    def rate(self, epoch: float) -> float:
        """The learning rate at a moment of training, in epochs."""
        if epoch < self.warmup:
            return self.lr * max(epoch, 0.02) / self.warmup
        if epoch <= self.decay_from:
            return self.lr
        left = (self.epochs - epoch) / max(1e-9, self.epochs - self.decay_from)
        return self.lr * max(0.01, left)
