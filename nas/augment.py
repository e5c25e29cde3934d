"""From bytes to what a network sees: normalisation and augmentation on the device, a batch at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nas.data import ImageData


class Preprocess(nn.Module):
    """uint8 BHWC images to normalised BCHW floats, augmented while training.

    Augmentation draws from torch's global generator, so that a seed per epoch repeats it.
    """

    def __init__(self, data: ImageData, augment: str, side: int | None = None) -> None:
        """`side` in pixels, at most that of the data and without it just that; larger images are made smaller."""
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        shape = (1, data.channels, 1, 1)
        self.register_buffer("mean", torch.tensor(data.mean).mul(255).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(data.std).mul(255).view(shape), persistent=False)
        self.side = side or data.resolution
        self.augment = _augmentation(augment, self.side, data.channels)

    def forward(self, images_BHWC: Tensor) -> Tensor:
        """BHWC bytes to BCHW floats, channels last in memory."""
        x_BCHW = images_BHWC.permute(0, 3, 1, 2).float()
        if self.side < x_BCHW.shape[-1]:
            x_BCHW = interpolate(x_BCHW, size=(self.side, self.side), mode="bilinear", antialias=True)
        if self.training and self.augment is not None:
            x_BCHW = self.augment(x_BCHW)
        return ((x_BCHW - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def _augmentation(kind: str, resolution: int, channels: int) -> nn.Module | None:
    if kind == "auto":
        kind = "shift" if channels == 1 else "shift-flip"
    if kind == "none":
        return None
    from kornia.augmentation import AugmentationSequential, RandomCrop, RandomHorizontalFlip

    steps = [RandomCrop((resolution, resolution), padding=max(1, resolution // 8), cropping_mode="slice")]
    if kind == "shift-flip":
        steps.append(RandomHorizontalFlip())
    module: nn.Module = AugmentationSequential(*steps, data_keys=["input"])
    return module
