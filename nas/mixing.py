"""Two images in one, with labels to match: mixup and CutMix, a batch at a time."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from nas.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Mixing:
    """Mixes every image of a batch with another one of it; a batch has one share and, for CutMix, one rectangle.

    mixup: Zhang et al. 2018, arXiv 1710.09412. CutMix: Yun et al. 2019, arXiv 1905.04899.

    Draws come from torch's global generator on the CPU, so that a seed per epoch repeats them.
    """

    mixup: float
    cutmix: float
    probability: float
    classes: int

    @classmethod
    def of(cls, recipe: Recipe, classes: int) -> Mixing | None:
        """What a recipe says; None where it mixes nothing."""
        if not recipe.mix or not (recipe.mixup or recipe.cutmix):
            return None
        return cls(recipe.mixup, recipe.cutmix, recipe.mix, classes)

    def __call__(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """The mixed images, and their labels as shares that sum to 1, B x classes."""
        labels_BK = one_hot(labels_B, self.classes).float()
        mixed, kind, across, down = torch.rand(4).tolist()
        order_B = torch.randperm(len(labels_B)).to(labels_B.device)
        cutting = self.cutmix > 0 and (self.mixup == 0 or kind < 0.5)
        share = _beta(self.cutmix if cutting else self.mixup)
        if mixed >= self.probability:
            return images_BCHW, labels_BK
        others_BCHW = images_BCHW[order_B]
        if cutting:
            height, width = images_BCHW.shape[2:]
            rows, columns = _span(height, share, down), _span(width, share, across)
            images_BCHW = images_BCHW.clone()
            images_BCHW[:, :, rows, columns] = others_BCHW[:, :, rows, columns]
            share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        else:
            images_BCHW = torch.lerp(others_BCHW, images_BCHW, share)
        return images_BCHW, torch.lerp(labels_BK[order_B], labels_BK, share)


def _beta(parameter: float) -> float:
    """A draw from Beta(parameter, parameter): the share of the image itself."""
    return float(torch.distributions.Beta(parameter, parameter).sample())


def _span(side: int, share: float, place: float) -> slice:
    """Of a rectangle whose area is 1 - share and whose centre is anywhere, clipped to the image."""
    half, centre = side * math.sqrt(1 - share) / 2, place * side
    return slice(round(max(0.0, centre - half)), round(min(float(side), centre + half)))
