"""From bytes to what a network sees: normalisation and augmentation on the device, a batch at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nas.data import ImageData

GROUP = 16  # images that share the operations of RandAugment


class Preprocess(nn.Module):
    """uint8 BHWC images to normalised BCHW floats, augmented while training.

    Augmentation draws from torch's global generator, so that a seed per epoch repeats it.
    """

    def __init__(self, data: ImageData, augment: str, side: int | None = None, erase: float = 0.0) -> None:
        """`side` in pixels, at most that of the data and without it just that; larger images are made smaller.

        `erase` is the probability that a rectangle of a training image is erased, to the mean of the data.
        """
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        shape = (1, data.channels, 1, 1)
        self.register_buffer("mean", torch.tensor(data.mean).mul(255).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(data.std).mul(255).view(shape), persistent=False)
        self.side = side or data.resolution
        self.augment = _augmentation(augment, self.side, data.channels)
        self.erase = _erasing(erase)

    def forward(self, images_BHWC: Tensor) -> Tensor:
        """BHWC bytes to BCHW floats, channels last in memory."""
        x_BCHW = images_BHWC.permute(0, 3, 1, 2).float()
        if self.side < x_BCHW.shape[-1]:
            x_BCHW = interpolate(x_BCHW, size=(self.side, self.side), mode="bilinear", antialias=True)
        if self.training and self.augment is not None:
            x_BCHW = self.augment(x_BCHW)
        x_BCHW = ((x_BCHW - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return self.erase(x_BCHW) if self.training and self.erase is not None else x_BCHW


def _augmentation(kind: str, resolution: int, channels: int) -> nn.Module | None:
    if kind == "none":
        return None
    from kornia.augmentation import AugmentationSequential, RandomCrop, RandomHorizontalFlip

    steps = [RandomCrop((resolution, resolution), padding=max(1, resolution // 8), cropping_mode="slice")]
    if kind == "shift-flip" or (kind in ("auto", "rand") and channels > 1):
        steps.append(RandomHorizontalFlip())
    module: nn.Module = AugmentationSequential(*steps, data_keys=["input"])
    return nn.Sequential(module, InGroups(channels)) if kind == "rand" else module


class InGroups(nn.Module):
    """RandAugment with operations drawn anew for every group of images, since kornia draws them once a call.

    Two operations of magnitude 9 (of 30, as kornia counts), without what colours gray images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        from kornia.augmentation.auto import RandAugment
        from kornia.augmentation.auto.rand_augment.rand_augment import default_policy

        policy = [step for step in default_policy if channels > 1 or step[0][0] != "color"]
        self.augment = RandAugment(n=2, m=9, policy=policy)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """BCHW floats from 0 to 255, and such again."""
        with torch.autocast(x_BCHW.device.type, enabled=False):  # in bf16 coordinates are off by pixels
            groups = torch.split((x_BCHW / 255).clamp(0, 1), GROUP)
            return torch.cat([self.augment(group) for group in groups]).clamp(0, 1) * 255


def _erasing(probability: float) -> nn.Module | None:
    """Random erasing (Zhong et al. 2020, arXiv 1708.04896): a rectangle of 2 to 33 % of the area, set to the mean."""
    if not probability:
        return None
    from kornia.augmentation import RandomErasing

    module: nn.Module = RandomErasing(p=probability, scale=(0.02, 1 / 3))
    return module
