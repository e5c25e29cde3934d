"""The table of published networks: what they are, where they come from, what was reported of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from nas.architecture import Architecture
from nas.zoo.families import conv_mixer, cvt, cvt_13_nas, cvt_cifar10, gated_mlp, mlp_mixer, pvt, res_mlp, vit
from nas.zoo.metaformer import WIDTHS, hybrid, plain_baseline, pool_former, strong_baseline

HYBRIDS = {"iiii": 74.3, "pppa": 78.3, "ppaa": 81.0, "pppf": 77.5, "ppff": 77.9, "rrrr": 75.8, "dddd": 78.1}


@dataclasses.dataclass(frozen=True)
class Published:
    """One published network.

    Attributes:
        name: in our spelling. family, year, source: of the paper or code that it is taken from.
        make: gives the architecture.
        top1: reported top-1 accuracy in per cent, None where there is none.
        trained: on what it was reported, and how.
        init: scheme of `nas.initialise` that it was published with.
        classes: of the data it was reported on.
    """

    name: str
    family: str
    year: int
    source: str
    make: Callable[[], Architecture]
    top1: float | None
    trained: str = "ImageNet-1k"
    init: str = "trunc_normal"
    classes: int = 1000


def _conv_mixers() -> Iterator[Published]:
    def row(name: str, make: Callable[[], Architecture], top1: float, **more: Any) -> Published:
        return Published(name, "ConvMixer", 2022, "arXiv 2201.09792", make, top1, init="torch", **more)

    yield row("convmixer-1536-20", partial(conv_mixer, 1536, 20, kernel=9, patch=7), 81.37)
    yield row("convmixer-768-32", partial(conv_mixer, 768, 32, kernel=7, patch=7, activation="relu"), 80.16)
    yield row("convmixer-1024-20", partial(conv_mixer, 1024, 20, kernel=9, patch=14), 76.94)
    yield row(
        "convmixer-256-8-cifar10",
        partial(conv_mixer, 256, 8, kernel=5, patch=2, resolution=32),
        92.5,
        trained="CIFAR-10, 25 epochs",
        classes=10,
    )


def _mlps() -> Iterator[Published]:
    jft, scratch = "JFT-300M, then ImageNet-1k", "ImageNet-1k"
    sizes = {"s": (512, 8), "b": (768, 12), "l": (1024, 24)}
    for name, top1, trained in (
        ("s32", 68.7, jft), ("s16", 73.83, jft), ("b32", 75.53, jft), ("b16", 76.44, scratch), ("l32", 80.67, jft),
        ("l16", 71.76, scratch),
    ):  # fmt: skip
        width, depth, patch = *sizes[name[0]], int(name[1:])
        yield Published(
            f"mixer-{name}", "MLP-Mixer", 2021, "arXiv 2105.01601",
            partial(mlp_mixer, width, depth, patch=patch), top1, trained, init="jax",
        )  # fmt: skip
    for name, width, top1 in (("ti16", 128, 72.3), ("s16", 256, 79.6), ("b16", 512, 81.6)):
        yield Published(f"gmlp-{name}", "gMLP", 2021, "arXiv 2105.08050", partial(gated_mlp, width), top1, init="jax")
    for name, width, depth, patch, scale, top1 in (
        ("s12", 384, 12, 16, 0.1, 76.6), ("s24", 384, 24, 16, 1e-5, 79.4), ("s36", 384, 36, 16, 1e-6, 79.7),
        ("b24-16", 768, 24, 16, 1e-6, 81.0), ("b24-8", 768, 24, 8, 1e-6, 81.0),
    ):  # fmt: skip
        yield Published(
            f"resmlp-{name}", "ResMLP", 2021, "arXiv 2105.03404",
            partial(res_mlp, width, depth, patch=patch, layer_scale=scale), top1,
        )  # fmt: skip


def _attention() -> Iterator[Published]:
    for name, width, top1 in (("tiny", 192, 72.2), ("small", 384, 79.8), ("base", 768, 81.8)):
        yield Published(f"deit-{name}", "DeiT", 2020, "arXiv 2012.12877", partial(vit, width, 12), top1)
    for name, side, top1 in (("vit-b16", 224, 79.67), ("vit-b16-384", 384, 77.9)):
        yield Published(name, "ViT", 2020, "arXiv 2010.11929", partial(vit, 768, 12, resolution=side), top1, init="jax")
    for name, depths, top1 in (
        ("tiny", (2, 2, 2, 2), 75.1), ("small", (3, 4, 6, 3), 79.8), ("medium", (3, 4, 18, 3), 81.2),
        ("large", (3, 8, 27, 3), 81.7),
    ):  # fmt: skip
        yield Published(f"pvt-{name}", "PVT", 2021, "arXiv 2102.12122", partial(pvt, depths), top1)


def _cvts() -> Iterator[Published]:
    def row(name: str, make: Callable[[], Architecture], top1: float | None, **more: Any) -> Published:
        return Published(name, "CvT", 2021, "arXiv 2103.15808", make, top1, **more)

    small, tuned = (64, 192, 384), "ImageNet-1k, tuned at 384"
    yield row("cvt-13", partial(cvt, small, (1, 2, 10)), 81.6)
    yield row("cvt-21", partial(cvt, small, (1, 4, 16)), 82.5)
    yield row("cvt-13-384", partial(cvt, small, (1, 2, 10), resolution=384), 83.0, trained=tuned)
    yield row("cvt-21-384", partial(cvt, small, (1, 4, 16), resolution=384), 83.3, trained=tuned)
    yield row(
        "cvt-w24",
        partial(cvt, (192, 768, 1024), (2, 2, 20), resolution=384),
        87.7,
        trained="ImageNet-22k, tuned at 384",
    )
    yield row("cvt-13-kv1", partial(cvt, small, (1, 2, 10), kv_strides=(1, 1, 1)), 82.3)
    yield row("cvt-13-nas", cvt_13_nas, None, trained="our reconstruction; the paper's own reached 82.2")
    yield Published(
        "cvt-cifar10", "CvT", 2021, "github.com/pprp/pytorch-cifar-model-zoo", cvt_cifar10, 84.74,
        trained="CIFAR-10, 200 epochs", init="torch", classes=10,
    )  # fmt: skip


def _metaformers() -> Iterator[Published]:
    first, second = "arXiv 2111.11418", "arXiv 2210.13452"
    for name, times, scale, top1 in (
        ("s12", 1, 1e-5, 77.2), ("s24", 2, 1e-5, 80.3), ("s36", 3, 1e-6, 81.4), ("m36", 3, 1e-6, 82.1),
        ("m48", 4, 1e-6, 82.5),
    ):  # fmt: skip
        depths = [depth * times for depth in (2, 2, 6, 2)]
        yield Published(
            f"poolformer-{name}", "PoolFormer", 2021, first,
            partial(pool_former, WIDTHS[name[0]], depths, layer_scale=scale), top1, init="zero_positions",
        )  # fmt: skip
    for letters, top1 in HYBRIDS.items():
        yield Published(
            f"metaformer-{letters}-s12",
            "MetaFormer",
            2021,
            first,
            partial(hybrid, letters),
            top1,
            init="zero_positions",
        )
    sizes = ("s12", "s24", "s36", "m36", "m48")
    for family, kind, reported in (
        ("IdentityFormer", "identity", (74.6, 78.2, 79.3, 80.0, 80.4)),
        ("RandFormer", "random", (76.6, 78.2, 79.5, 81.2, 81.4)),
        ("PoolFormerV2", "pooling", (78.0, 80.7, 81.6, 82.2, 82.6)),
    ):
        for size, top1 in zip(sizes, reported, strict=True):
            yield Published(
                f"{family.lower()}-{size}", family, 2022, second,
                partial(plain_baseline, kind, size), top1, init="trunc_normal_all",
            )  # fmt: skip
    for family, kind, at_224, at_384 in (
        ("ConvFormer", "conv", (83.0, 84.1, 84.5, 84.8), (84.4, 85.4, 85.6, 85.7)),
        ("CAFormer", "conv-attention", (83.6, 84.5, 85.2, 85.5), (85.0, 85.7, 86.2, 86.4)),
    ):
        for size, top1, top1_384 in zip(("s18", "s36", "m36", "b36"), at_224, at_384, strict=True):
            row = Published(
                f"{family.lower()}-{size}", family, 2022, second,
                partial(strong_baseline, kind, size), top1, init="trunc_normal_all",
            )  # fmt: skip
            yield row
            yield dataclasses.replace(
                row,
                name=f"{row.name}-384",
                make=partial(strong_baseline, kind, size, resolution=384),
                top1=top1_384,
                trained="ImageNet-1k, tuned at 384",
            )


PUBLISHED: dict[str, Published] = {
    row.name: row for rows in (_conv_mixers, _mlps, _attention, _cvts, _metaformers) for row in rows()
}
