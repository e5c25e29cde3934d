"""Judging a candidate by the weights that it inherits from a supernet, without training it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas import checkpoint
from nas.architecture import Architecture
from nas.augment import Preprocess
from nas.data import ImageData
from nas.errors import InputError, OutOfMemory, SpaceError
from nas.jobs import Budget, Report
from nas.memory import measured_at_once
from nas.model import Backbone
from nas.shortage import out_of_memory
from nas.supernet.files import SupernetFile, weights_of
from nas.supernet.network import extracted
from nas.training import Images, measure, precision

CALIBRATED_BY = 1024  # training images that running statistics are taken from
AT_ONCE = 256


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give batch norms the statistics of these BCHW images, each batch alike; others are left as they are.

    Shared weights have none of their own: every path through them has others (as in BigNAS, arXiv 2003.11142, and in
    slimmable networks, arXiv 1903.05134).
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    was_training = model.training
    before = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for images_BCHW in batches:
        model(images_BCHW)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    model.train(was_training)


def calibrated(
    weights: Mapping[str, Tensor],
    candidate: Architecture,
    data: ImageData,
    device: str = "cpu",
    classes: Sequence[int] | None = None,
) -> Backbone:
    """The network with its part of the weights and statistics of its own, ready to be measured.

    The statistics are of images of some `classes` (default: all), those that it is going to tell apart.

    Raises: SpaceError for a network that the weights do not hold.
    """
    model = extracted(
        weights, candidate, in_channels=data.channels, num_classes=len(data.classes), resolution=data.resolution
    ).to(device)
    there = torch.device(device)

    def batches() -> Iterable[Tensor]:
        """Not begun for a network without batch norms."""
        images = Images(data, "train", torch.device("cpu"))  # only some of them go to the device
        order = np.random.default_rng(0).permutation(len(images))
        kept = order if classes is None else order[np.isin(data.labels("train")[order], [*classes])]
        images.rows = kept[:CALIBRATED_BY]
        preprocess = Preprocess(data, "none").to(there).eval()
        for images_BHWC, _ in images.in_order(AT_ONCE):
            if len(images_BHWC) > 1:
                yield preprocess(images_BHWC.to(there))

    with precision(there):
        calibrate(model, batches())
    return model.eval()


@torch.inference_mode()
def accuracies(
    model: nn.Module, data: ImageData, device: str = "cpu", classes: Sequence[int] | None = None
) -> list[float]:
    """The share of right answers among the validation images of each class, told apart from these classes only.

    In the order of `classes` (default: all); of a class without images it is 0.
    """
    there = torch.device(device)
    chosen = torch.tensor(list(range(len(data.classes))) if classes is None else list(classes), device=there)
    right, count = torch.zeros(len(chosen), device=there), torch.zeros(len(chosen), device=there)
    preprocess = Preprocess(data, "none").to(there).eval()
    for images_BHWC, labels_B in Images(data, "validation", there).in_order(measured_at_once(there.type)):
        kept = torch.isin(labels_B, chosen)
        if not kept.any():
            continue
        with precision(there):
            logits_BK = model(preprocess(images_BHWC[kept])).float()[:, chosen]
        is_class_BK = labels_B[kept][:, None] == chosen
        right += (is_class_BK & (logits_BK.argmax(1)[:, None] == torch.arange(len(chosen), device=there))).sum(0)
        count += is_class_BK.sum(0)
    return [float(each) for each in right / count.clamp_min(1)]


def judged(model: nn.Module, data: ImageData, device: str = "cpu", images: int = 0) -> dict[str, float]:
    """Accuracy and loss on so many validation images, drawn alike and the same for all networks; 0: on all.

    Raises: Diverged.
    """
    subset = min(1.0, images / data.counts["validation"]) if images else 1.0
    return measure(model, data, "validation", torch.device(device), subset=subset)


@dataclasses.dataclass(frozen=True)
class JudgeInherited:
    """An `evaluate` that trains nothing: accuracy and loss on validation by inherited weights.

    The metric `inherited` is the share of the parameters that are: all of them.

    Attributes:
        images: of validation that a network is judged on, the same for all; 0: all of them.
    """

    data: ImageData
    file: SupernetFile
    images: int = 0

    def __call__(self, candidate: Architecture, budget: Budget, _report: Report) -> dict[str, float]:
        """Raises: InputError for a file that has changed or is gone, OutOfMemory."""
        try:
            weights = weights_of(self.file.path, self.file.digest)
            model = calibrated(weights, candidate, self.data, budget.device)
            found = judged(model, self.data, budget.device, self.images)
        except SpaceError as error:
            raise InputError(str(error)) from error
        except (RuntimeError, MemoryError) as error:
            if reason := out_of_memory(error):
                raise OutOfMemory(reason) from error
            raise
        return {**found, "inherited": 1.0}


def leave_weights(file: SupernetFile, candidate: Architecture, data: ImageData, folder: Path) -> None:
    """Put the network's part of a supernet where the weights of a trained trial are. Raises: InputError, OSError."""
    model = calibrated(weights_of(file.path, file.digest), candidate, data)
    average = {checkpoint.PREFIX + name: each for name, each in model.state_dict().items()}
    checkpoint.save(folder, {"epoch": 0, "metrics": {}, "average": average})
