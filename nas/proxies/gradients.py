"""The scores from gradients of the loss at the start: grad_norm, snip, zico.

L is the mean cross-entropy of a batch; theta_l and g_l are weight and gradient of layer l, over `levelled.weights`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nas.model import Backbone
from nas.proxies.levelled import gradients, weights

PARTS = 4  # of a batch, for zico; its authors take 2 batches, and two values make a poor standard deviation


def grad_norm(model: Backbone, images_BCHW: Tensor, labels_B: Tensor) -> float:
    """sum_l ||g_l||_2.

    Abdelfattah, Mehrotra, Dudziak and Lane, "Zero-Cost Proxies for Lightweight NAS", ICLR 2021 (arXiv 2101.08134).
    """
    return float(sum(grad.norm() for grad in _of_loss(model, images_BCHW, labels_B)))


def snip(model: Backbone, images_BCHW: Tensor, labels_B: Tensor) -> float:
    """sum_l sum |theta_l g_l|: how much the loss would change if weights were taken out one by one.

    Lee, Ajanthan and Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR 2019
    (arXiv 1810.02340); as a score of whole networks by Abdelfattah et al., ICLR 2021 (arXiv 2101.08134).
    """
    found = _of_loss(model, images_BCHW, labels_B)
    return float(sum((weight.detach() * grad).abs().sum() for weight, grad in zip(weights(model), found, strict=True)))


def zico(model: Backbone, images_BCHW: Tensor, labels_B: Tensor) -> float:
    """sum_l log sum (mean |g_l| / std g_l), mean and standard deviation over four parts of the batch.

    Li, Yang, Bhardwaj and Marculescu, "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients",
    ICLR 2023 (arXiv 2301.11300); std is of g, not of |g|, and of the population, as in the authors' code. Weights whose
    gradient is the same in all parts are left out, and so are layers of nothing else. Of fewer than eight images there
    are as many parts as leave two images in each.

    Raises: ValueError for fewer than four images.
    """
    count = len(labels_B)
    if count < 4:
        raise ValueError(f"{count} images do not make two parts of two")
    parts = min(PARTS, count // 2)
    each = zip(images_BCHW.tensor_split(parts), labels_B.tensor_split(parts), strict=True)
    runs = [_of_loss(model, images, labels) for images, labels in each]
    total = 0.0
    for layer in zip(*runs, strict=True):
        grads = torch.stack(layer)
        std = grads.std(dim=0, correction=0)
        kept = std > 0
        if kept.any():
            total += float((grads.abs().mean(dim=0)[kept] / std[kept]).sum().log())
    return total


def _of_loss(model: Backbone, images_BCHW: Tensor, labels_B: Tensor) -> list[Tensor]:
    return gradients(cross_entropy(model(images_BCHW), labels_B), weights(model))
