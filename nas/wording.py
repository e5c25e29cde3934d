"""Short texts about numbers and candidates, the same in every table and picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nas.architecture import Architecture, Stage
from nas.replicates import network_of
from nas.trial import Trial

SHORT = {
    "identity": "id",
    "pooling": "pool",
    "depthwise_conv": "dw",
    "separable_conv": "sep",
    "random_mixing": "rand",
    "token_mlp": "mlp",
    "token_linear": "lin",
    "gated_mlp": "gmlp",
    "multi_axis_mlp": "axes",
    "attention": "attn",
    "conv_attention": "cvt",
}


def quantity(value: float) -> str:
    """A number as people read it: 0.9812, 12.5, 146,890, 1.25M, 4.57G."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value):,}"
    for bound, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= bound:
            return f"{value / bound:.3g}{unit}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"


def short_network(trial: Trial) -> str:
    """A candidate in a few words; of a network, the mixer, width x depth of every stage."""
    candidate = trial.candidate
    if isinstance(candidate, Architecture):
        return short_architecture(candidate)
    if isinstance(network := network_of(candidate), Architecture):
        return f"{short_architecture(network)}, seed {candidate.get('replicate')}"
    return (
        " ".join(f"{name}={_short(value)}" for name, value in candidate.items())
        if isinstance(candidate, Mapping)
        else str(candidate)
    )


def _short(value: Any) -> str:
    return short_architecture(value) if isinstance(value, Architecture) else str(value)


def short_architecture(architecture: Architecture) -> str:
    """The mixer, width x depth of every stage; what differs from block to block, block by block."""
    return " | ".join(_short_stage(stage) for stage in architecture.stages)


def _short_stage(stage: Stage) -> str:
    kinds = dict.fromkeys(SHORT.get(block.mixer.kind, block.mixer.kind) for block in stage.blocks)
    mixer = stage.blocks[0].mixer
    sizes = [str(getattr(mixer, name)) for name in ("kernel", "size", "kv_kernel") if hasattr(mixer, name)]
    short = f"{'/'.join(kinds)}{''.join(sizes[:1])} {stage.width}x{len(stage.blocks)}"
    strides = [str(getattr(block.mixer, "kv_stride", 0)) for block in stage.blocks]
    ratios = [f"{block.mlp_ratio:g}" for block in stage.blocks]
    return short + "".join(
        f" {name}{''.join(each)}" for name, each in (("kv", strides), ("r", ratios)) if len(set(each)) > 1
    )
