"""Networks that are no points of our spaces, as reported: rows to compare with in `nas zoo`.

Parameters and MACs are as printed or as counted from the released code, not by our formulas; None where a source has
none. Sources: the papers and repositories named in `SOURCES`.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Reported:
    """One network as others report it; `params` in units, `macs` in units, `top1` in per cent on ImageNet-1k."""

    name: str
    family: str
    params: float | None
    macs: float | None
    resolution: int | None
    top1: float

    @property
    def year(self) -> int:
        """Of the paper."""
        return SOURCES[self.family][0]

    @property
    def source(self) -> str:
        """Where the numbers are from."""
        return SOURCES[self.family][1]


SOURCES: dict[str, tuple[int, str]] = {
    "T2T-ViT": (2021, "github.com/yitu-opensource/T2T-ViT"),
    "ResNet": (2015, "arXiv 2103.15808 table 3"),
    "BiT": (2020, "arXiv 2103.15808 table 3"),
    "UniNet": (2021, "github.com/Sense-X/UniNet"),
    "BurgerFormer": (2022, "github.com/xingxing-123/BurgerFormer"),
    "AutoFormer": (2021, "github.com/microsoft/Cream"),
    "S3": (2021, "github.com/microsoft/Cream"),
    "BossNAS": (2021, "github.com/changlin31/BossNAS"),
    "GLiT": (2021, "arXiv 2107.02960"),
    "NASViT": (2022, "ICLR 2022 (paperswithcode)"),
    "ViTAS": (2021, "github.com/xiusu/ViTAS"),
    "CvT-NAS": (2021, "arXiv 2103.15808 table 3"),
}

COMPARISON: tuple[Reported, ...] = tuple(
    Reported(name, family, params, macs and macs * 1e9, resolution, top1)
    for family, name, params, macs, resolution, top1 in (
        ("CvT-NAS", "CvT-13-NAS (as printed)", 18_000_000, 4.1, 224, 82.2),
        ("T2T-ViT", "T2T-ViT-7", 4310222, 1.156, 224, 71.7),
        ("T2T-ViT", "T2T-ViT-12", 6941902, 1.775, 224, 76.5),
        ("T2T-ViT", "T2T-ViT-14", 21545550, 4.8, 224, 81.5),
        ("T2T-ViT", "T2T-ViT-19", 39177422, 8.503, 224, 81.9),
        ("T2T-ViT", "T2T-ViT-24", 64105934, 13.692, 224, 82.3),
        ("T2T-ViT", "T2T-ViT_t-14", 21541070, 6.106, 224, 81.7),
        ("T2T-ViT", "T2T-ViT_t-19", 39172942, 9.808, 224, 82.4),
        ("T2T-ViT", "T2T-ViT_t-24", 64101454, 14.998, 224, 82.6),
        ("ResNet", "ResNet-50", 25557032, 4.112, 224, 76.2),
        ("ResNet", "ResNet-101", 44549160, 7.834, 224, 77.4),
        ("ResNet", "ResNet-152", 60192808, 11.559, 224, 78.3),
        ("BiT", "BiT-M R152x4@480", 936533224, 837, 480, 85.4),
        ("UniNet", "UniNet-B1", 11450864, 1.118, 224, 81.0),
        ("UniNet", "UniNet-B5", 72900000, None, 384, 84.9),
        ("BurgerFormer", "BurgerFormer-tiny", 10000000, 1.0, 224, 78.0),
        ("BurgerFormer", "BurgerFormer-small", 14000000, 2.1, 224, 80.4),
        ("BurgerFormer", "BurgerFormer-base", 26000000, 3.9, 224, 82.7),
        ("BurgerFormer", "BurgerFormer-large", 36000000, 6.5, 224, 83.0),
        ("AutoFormer", "AutoFormer-T", 5800000, 1.3, 224, 75.3),
        ("AutoFormer", "AutoFormer-S", 22900000, 5.1, 224, 81.7),
        ("AutoFormer", "AutoFormer-B", 53700000, 11.0, 224, 82.4),
        ("S3", "S3-T (AutoFormerV2)", 28000000, None, 224, 82.1),
        ("S3", "S3-S (AutoFormerV2)", 50000000, None, 224, 83.7),
        ("S3", "S3-B (AutoFormerV2)", 71000000, None, 224, 84.0),
        ("BossNAS", "BossNet-T0 w/o SE", None, 3.4, 224, 80.5),
        ("BossNAS", "BossNet-T0", None, 3.4, 224, 80.8),
        ("BossNAS", "BossNet-T0^", None, 5.7, 288, 81.6),
        ("BossNAS", "BossNet-T1", None, 7.9, 224, 81.9),
        ("BossNAS", "BossNet-T1^", None, 10.5, 256, 82.2),
        ("GLiT", "GLiT-Tiny", 7300000, 1.33, 224, 76.4),
        ("GLiT", "GLiT-Small", 24600000, 4.4, 224, 80.5),
        ("GLiT", "GLiT-Base", 96100000, 17.0, 224, 82.3),
        ("NASViT", "NASViT-A0", None, 0.208, None, 78.2),
        ("NASViT", "NASViT-A1", None, 0.309, None, 79.7),
        ("NASViT", "NASViT-A2", None, 0.421, None, 80.5),
        ("NASViT", "NASViT-A5", None, 0.757, None, 81.8),
        ("ViTAS", "ViTAS-A", None, 0.858, 224, 71.1),
        ("ViTAS", "ViTAS-B", None, 1.0, 224, 72.4),
        ("ViTAS", "ViTAS-C", None, 1.3, 224, 74.7),
        ("ViTAS", "ViTAS-E", None, 2.7, 224, 77.4),
        ("ViTAS", "ViTAS-F", None, 4.9, 224, 80.6),
    )
)
