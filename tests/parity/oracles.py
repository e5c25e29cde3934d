"""Other libraries' models, to hold ours against: built without downloads, with random weights, in eval mode."""

import functools
import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from conftest import require  # type: ignore[import-not-found]
from torch import nn

from nas import build, zoo
from nas.model import Backbone

TIMM_TAKES = (  # what timm imports from torchvision as it starts
    "torchvision",
    "torchvision.datasets",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


class _OnDemand(type):
    """A class whose attributes are classes made when asked for: they can be inherited from, compared and hashed."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _OnDemand(name, (nn.Module,), {})
        setattr(cls, name, made)
        return made


class _StandIn(ModuleType):
    """A module of classes made when asked for."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _OnDemand(name, (nn.Module,), {})
        setattr(self, name, made)
        return made


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Let timm start where there is no torchvision: it inherits from a few of its classes and calls none here.

    The stand-ins leave `sys.modules` again, so that nobody else takes them for the library.
    """
    if "timm" in sys.modules or importlib.util.find_spec("torchvision"):
        yield
        return
    for name in TIMM_TAKES:
        sys.modules[name] = _StandIn(name)
        sys.modules[name].__spec__ = ModuleSpec(name, None)
    for name in TIMM_TAKES[1:]:
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, sys.modules[name])
    try:
        yield
    finally:
        for name in TIMM_TAKES:
            del sys.modules[name]


def timm_model(name: str, **options: Any) -> nn.Module:
    """The timm model of this name with random weights in eval mode.

    `options` take the place of the arguments that make the name what it is (`depths`, `dim`, `img_size`), which
    `create_model` would refuse as given twice: a small ConvMixer-768/32 still has that model's ReLU.
    """
    require(importlib.util.find_spec("timm"), "timm (pip install --no-deps timm)")
    with _without_torchvision():
        timm = importlib.import_module("timm")
    home = sys.modules[timm.models.model_entrypoint(name).__module__]
    build: Any = vars(home)["build_model_with_cfg"]

    def smaller(*arguments: Any, **chosen: Any) -> Any:
        return build(*arguments, **{**chosen, **options})

    with patch.object(home, "build_model_with_cfg", smaller):
        model: nn.Module = timm.create_model(name, pretrained=False)
    return model.eval()


def transformers_model(kind: str, **config: Any) -> nn.Module:
    """`{kind}ForImageClassification` of transformers, kind being Cvt, Pvt, PoolFormer or ViT; call it with `logits`."""
    require(importlib.util.find_spec("transformers"), "transformers")
    library = importlib.import_module("transformers")
    settings = getattr(library, f"{kind}Config")(**config)
    model: nn.Module = getattr(library, f"{kind}ForImageClassification")(settings)
    return model.eval()


def on_meta(make: Callable[..., nn.Module], *arguments: Any, **options: Any) -> dict[str, torch.Tensor]:
    """State dict of a model that is made here without numbers: names and shapes at any size."""
    with torch.device("meta"):
        return make(*arguments, **options).state_dict()


@functools.cache
def full_size(name: str) -> Backbone:
    """The published network of this name, shapes without numbers."""
    with torch.device("meta"):
        return build(zoo.get(name), num_classes=zoo.entry(name).classes).eval()


@torch.no_grad()
def logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the classifier says: the tensor itself, or the field of that name in transformers' answers."""
    answer = model(images)
    found: torch.Tensor = getattr(answer, "logits", answer)
    return found


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference of two sets of logits, as a share of the largest logit."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


@torch.no_grad()
def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and buffer a random value that matters: nothing stays at 0 or 1, and logits stay near 1.

    A fresh layer-scale of 1e-5 or a zeroed head would let a wrong translation pass. Frozen matrices stay rows of
    positive numbers that sum to one, variances stay positive.
    """
    draw = torch.Generator().manual_seed(seed)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point():
            frozen = isinstance(tensor, nn.Parameter) and not tensor.requires_grad
            tensor.copy_(_drawn(name.rpartition(".")[2], tensor, draw, frozen=frozen))
        else:
            tensor.fill_(7)  # num_batches_tracked
    return model


def _drawn(name: str, like: torch.Tensor, draw: torch.Generator, *, frozen: bool) -> torch.Tensor:
    noise = torch.randn(like.shape, generator=draw)
    if frozen and like.ndim == 2:
        return noise.softmax(dim=-1)
    if name == "running_var":
        return 0.5 + noise.abs()
    if name in {"bias", "beta", "b", "running_mean"}:
        return 0.2 * noise
    if name.startswith("pos") or name.endswith("token"):
        return 0.5 * noise
    if name != "weight" or like.ndim == 1:  # layer and residual scales, affine and StarReLU scales, a norm's weight
        return 1 + 0.2 * noise
    return noise / math.sqrt(like[0].numel())


def quick_gelu_cvt(model: nn.Module) -> nn.Module:
    """Deviation of transformers' CvT: its MLPs use the exact GELU; Microsoft's weights are for x * sigmoid(1.702 x)."""
    quick = importlib.import_module("transformers.activations").QuickGELUActivation
    for module in model.modules():
        if type(module).__name__ == "CvtIntermediate":
            module.activation = quick()
    return model


def published_pvt_eps(model: nn.Module) -> nn.Module:
    """Deviation of transformers' PVT: eps 1e-6 in every norm; published 1e-5 after patch and reduction convolutions."""
    for module in model.modules():
        if type(module).__name__ in {"PvtPatchEmbeddings", "PvtEfficientSelfAttention"}:
            norm = getattr(module, "layer_norm", None)
            if isinstance(norm, nn.LayerNorm):
                norm.eps = 1e-5
    return model


def published_poolformer_head(model: nn.Module) -> nn.Module:
    """Deviation of timm's PoolFormer v1: mean, then LayerNorm eps 1e-6; published GroupNorm(1) eps 1e-5, then mean."""
    head: Any = model.head
    width = head.norm.weight.numel()
    norm = nn.GroupNorm(1, width, eps=1e-5)
    norm.load_state_dict(head.norm.state_dict())
    head.norm, head.global_pool = head.global_pool, norm  # the head is a Sequential: its places are its order
    return model


def published_head_eps(model: nn.Module) -> nn.Module:
    """Deviation of timm's ConvFormer and CAFormer: eps 1e-6 in the norm inside the MLP head; published 1e-5."""
    head: Any = model.head
    head.fc.norm.eps = 1e-5
    return model
