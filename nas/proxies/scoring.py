"""All scores of one network, and the batch of images that they are taken on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nas.architecture import Architecture
from nas.augment import Preprocess
from nas.costs import cost
from nas.data import ImageData
from nas.errors import InputError
from nas.model import Backbone
from nas.proxies import BASELINES, PROXIES, chosen
from nas.proxies.features import NoSwitches, expressivity, naswot
from nas.proxies.flow import NoFlow, synflow
from nas.proxies.gradients import grad_norm, snip, zico
from nas.proxies.levelled import build_levelled

SMALLEST = 4  # images; zico makes two parts of two

Measure = Callable[[Backbone, Tensor, Tensor], float]


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a network was scored.

    Attributes:
        values: by proxy; finite, higher for better.
        missing: the reason, by proxy, of those that this network cannot have.
    """

    values: Mapping[str, float]
    missing: Mapping[str, str]


def measures(seed: int) -> dict[str, Measure]:
    """Every proxy but params and MACs, which are `nas.costs.cost` of the network for the images and classes."""
    return {
        "synflow": partial(synflow, seed=seed),
        "snip": snip,
        "grad_norm": grad_norm,
        "naswot": naswot,
        "zico": zico,
        "expressivity": expressivity,
    }


def score(
    architecture: Architecture,
    images: Tensor,
    labels: Tensor,
    *,
    names: Sequence[str] = tuple(PROXIES),
    num_classes: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, float]:
    """The scores of `examine` that the network has, by name."""
    scored = examine(architecture, images, labels, names=names, num_classes=num_classes, seed=seed, device=device)
    return dict(scored.values)


def examine(
    architecture: Architecture,
    images: Tensor,
    labels: Tensor,
    *,
    names: Sequence[str] = tuple(PROXIES),
    num_classes: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Scored:
    """Score an untrained network.

    Args:
        architecture: of the network; it is built for the images with the weights of `seed`.
        images: B x channels x side x side, normalised floats, B at least 4; scores depend on B, so keep it.
        labels: B whole numbers.
        names: of `PROXIES`.
        num_classes: of the classifier; by default the largest label + 1.
        seed: of the weights.
        device: where to compute.

    The same arguments give the same numbers, whatever was scored before. Raises: InputError for an unknown name or
    images that do not fit; ArchitectureError when the network does not take their size.
    """
    names = chosen(names)
    _check(images, labels)
    classes = num_classes or int(labels.max()) + 1
    channels, side = images.shape[1], images.shape[2]
    known = cost(architecture, resolution=side, num_classes=classes, in_channels=channels).as_dict()
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    if set(names) - set(BASELINES):
        model = build_levelled(
            architecture, in_channels=channels, num_classes=classes, resolution=side, seed=seed, device=device
        )
        images, labels = images.to(device, torch.float64), labels.to(device)
    by_name = measures(seed)
    for name in names:
        if name in BASELINES:
            values[name] = float(known[name])
            continue
        try:
            value = by_name[name](model, images, labels)
        except (NoSwitches, NoFlow, RuntimeError) as error:  # RuntimeError: torch's own, of mixers of one's own
            missing[name] = " ".join(str(error).split())[:200]
            continue
        if math.isfinite(value):
            values[name] = value
        else:
            missing[name] = f"it is {value}"
    return Scored(values, missing)


def _check(images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise InputError(f"images of shape {tuple(images.shape)}: B x channels x side x side is expected")
    if len(images) != len(labels) or len(images) < SMALLEST:
        raise InputError(
            f"{len(images)} images with {len(labels)} labels: as many, and at least {SMALLEST}, are needed"
        )


def training_batch(data: ImageData, size: int = 32, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`size` training images, normalised and not augmented, with their labels: the same ones for the same seed.

    Raises: InputError for fewer than 4 images, or more than there are.
    """
    count = data.counts["train"]
    if not SMALLEST <= size <= count:
        raise InputError(f"a batch of {size}: {SMALLEST} to {count} training images of {data.name!r} are possible")
    rows = np.random.default_rng(seed).permutation(count)[:size]
    images_BHWC = torch.from_numpy(np.ascontiguousarray(data.images("train")[rows]))
    return Preprocess(data, "none").eval()(images_BHWC), torch.from_numpy(data.labels("train")[rows])
