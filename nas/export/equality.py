"""Whether every format of an export computes what the model in memory does, on real validation images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.augment import Preprocess
from nas.data import ImageData
from nas.errors import ExportError
from nas.export.formats import ONNX, PT2, PY, SAFETENSORS
from nas.export.reading import Forward, opened
from nas.model import Backbone
from nas.training import Images, measure

SPLITS = ("validation", "test")
CHECKED, AT_ONCE = 256, 64  # images compared at most, and how many at a time after the first, which goes alone
TOLERANCES = {SAFETENSORS: 0.0, PY: 1e-6, PT2: 1e-6, ONNX: 1e-4}
MEASURED = (SAFETENSORS, ONNX)  # whose accuracy is taken again on all images: our code, and the one without torch


@dataclasses.dataclass(frozen=True)
class Check:
    """What one format computes, held against the model in memory.

    Attributes:
        form: the format. images: validation images compared.
        largest_difference: of any logit. largest_logit: of the model in memory, by magnitude.
        tolerance: what the difference may be for logits up to 1; larger ones have it times `largest_logit`.
        metrics: accuracy and loss of the file on validation and test; empty where they are not taken.
    """

    form: str
    images: int
    largest_difference: float
    largest_logit: float
    tolerance: float
    metrics: Mapping[str, Mapping[str, float]]

    @property
    def allowed(self) -> float:
        """The largest difference that passes."""
        return self.tolerance * max(1.0, self.largest_logit)


def checked(model: Backbone, data: ImageData, folder: Path, form: str) -> Check:
    """A format of a folder that was just written. Raises: ExportError when it differs by more than is allowed."""
    forward = opened(folder, form)
    check = compared(model, forward, validation_batches(data, form), form)
    if form not in MEASURED:
        return check
    runnable, device = Runnable(forward), torch.device("cpu")
    return dataclasses.replace(check, metrics={split: measure(runnable, data, split, device) for split in SPLITS})


@torch.inference_mode()
def compared(model: Backbone, forward: Forward, batches_BCHW: Iterator[Tensor], form: str) -> Check:
    """The logits of `forward` beside those of `model`. Raises: ExportError when they differ by more than is allowed."""
    images, difference, logit, others = 0, 0.0, 0.0, 0
    for images_BCHW in batches_BCHW:
        ours_BK, theirs_BK = model(images_BCHW), forward(images_BCHW)
        images += len(ours_BK)
        gap = float((ours_BK - theirs_BK).abs().max())
        difference = gap if gap != gap else max(difference, gap)  # noqa: PLR0124 - not a number stays one
        logit = max(logit, float(ours_BK.abs().max()))
        # of two logits that are equal but for rounding either may be the first
        chosen_B1 = theirs_BK.argmax(1, keepdim=True)
        behind_B = ours_BK.amax(1) - ours_BK.gather(1, chosen_B1)[:, 0]
        others += int((behind_B > 2 * TOLERANCES[form] * max(1.0, logit)).sum())
    check = Check(form, images, difference, logit, TOLERANCES[form], {})
    if not difference <= check.allowed:
        raise ExportError(
            f"the {form} differs from the trained model by up to {difference:g} in its logits; "
            f"{check.allowed:g} is allowed"
        )
    if others:
        raise ExportError(f"the {form} gives another class than the trained model for {others} of {images} images")
    return check


def validation_batches(data: ImageData, form: str) -> Iterator[Tensor]:
    """One image alone, then batches; for a program that is started for every batch, one batch."""
    preprocess, device = Preprocess(data, "none").eval(), torch.device("cpu")
    left = AT_ONCE if form == PY else CHECKED
    for index, (images_BHWC, _) in enumerate(Images(data, "validation", device).in_order(AT_ONCE)):
        images_BCHW = preprocess(images_BHWC[:left])
        if index == 0 and form != PY:
            yield images_BCHW[:1]
            images_BCHW = images_BCHW[1:]
        if len(images_BCHW):
            yield images_BCHW
        left -= len(images_BHWC)
        if left <= 0:
            return


class Runnable(nn.Module):
    """A function from images to logits where a module is expected."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.function = forward

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """BCHW to logits."""
        return self.function(images_BCHW)
