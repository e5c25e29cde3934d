"""The scores from one forward pass: naswot and expressivity. They see mixers that own no weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from nas.model import Backbone
from nas.proxies.levelled import blocks

SWITCHES = frozenset(
    {
        functional.gelu, functional.relu, torch.relu, torch.Tensor.relu, functional.relu6, functional.leaky_relu,
        functional.silu, functional.elu, functional.mish, functional.hardswish, functional.softplus,
        torch.sigmoid, torch.Tensor.sigmoid,
    }
)  # fmt: skip


class NoSwitches(ValueError):
    """The network has no activation whose units could be on or off."""


@torch.no_grad()
def naswot(model: Backbone, images_BCHW: Tensor, _labels_B: Tensor) -> float:
    """The log of det (K + I), K_ij the number of units, over all activations, that images i and j both have on or off.

    Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", ICML 2021 (arXiv 2006.04647).
    A unit is on where what goes into the activation is positive: so ReLU's code is theirs, and GELU, SiLU, QuickGELU
    and the squared ReLUs have one. Softmax has none. The identity is there for K that are singular (two images with one
    code); eigenvalues of K are hundreds of units where it is not. The order of the images makes no difference.

    Raises: NoSwitches for a network without activations.
    """
    with _Codes(len(images_BCHW)) as codes:
        model(images_BCHW)
    if codes.agreeing_BB is None:
        raise NoSwitches("no activation whose units are on or off")
    identity_BB = torch.eye(len(images_BCHW), dtype=torch.float64, device=images_BCHW.device)
    return float(torch.linalg.slogdet(codes.agreeing_BB + identity_BB).logabsdet)


class _Codes(TorchFunctionMode):
    """Adds up, at every call of an activation, how many of its units agree for each two images."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.images = images
        self.agreeing_BB: Tensor | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in SWITCHES:
            self._count(args[0])
        return func(*args, **(kwargs or {}))

    def _count(self, before: Tensor) -> None:
        on_BU = (before.reshape(self.images, -1) > 0).to(torch.float32)
        both = on_BU @ on_BU.T + (1 - on_BU) @ (1 - on_BU).T  # whole numbers, exact below 2^24 units
        self.agreeing_BB = both.double() if self.agreeing_BB is None else self.agreeing_BB + both


@torch.no_grad()
def expressivity(model: Backbone, images_BCHW: Tensor, _labels_B: Tensor) -> float:
    """The sum over blocks of the entropy -sum_i p_i log p_i of the spectrum of their features.

    p are the eigenvalues of the covariance of a block's channels over all tokens of all images, divided by their sum.
    Lee and Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search", CVPR 2024 (arXiv 2403.19232),
    there called expressivity. It is here for attention, whose known fault at the start is that tokens grow alike with
    depth (Dong, Cordonnier and Loukas, "Attention is Not All You Need", ICML 2021, arXiv 2103.03404): their spectrum
    collapses, and this entropy with it. Unlike scores of query and key weights (TF-TAS, CVPR 2022) it needs no
    attention in the network, so that all mixers can be compared. Images are real ones, not noise, which pooling and
    averaging would wipe out; the authors' other terms are ranks within a population and no property of one network.
    """
    seen: list[float] = []
    hooks = [
        block.register_forward_hook(lambda _m, _i, out_BNC: seen.append(_entropy(out_BNC))) for block in blocks(model)
    ]
    try:
        model(images_BCHW)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(seen)


def _entropy(x_BNC: Tensor) -> float:
    x_TC = x_BNC.flatten(0, 1)
    centred_TC = x_TC - x_TC.mean(dim=0)
    spectrum_C = torch.linalg.eigvalsh(centred_TC.T @ centred_TC).clamp_min(0)
    total = spectrum_C.sum()
    return float(torch.special.entr(spectrum_C / total).sum()) if total > 0 else 0.0
