"""What pictures say of the parts of a network, in the terms of the papers."""

from __future__ import annotations

from typing import Any

from nas.architecture import Block, Embedding, Head, Normed, Stage
from nas.diagram.mixer_words import ACTIVATIONS, square
from nas.tally import Place

NORMS = {"affine": "affine scale and shift", "std_layer": "layer norm by deviation"}
TERMS = {"kv": "K/V", "qkv": "Q/K/V", "q": "Q", "mlp": "MLP", "macs": "MACs", "params": "parameters", "eps": "epsilon"}


def amount(value: float) -> str:
    """A count as in 105,472, 18.6 M or 4.57 G."""
    for bound, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= bound * 0.9995:
            return f"{value / bound:#.3g}".removesuffix(".") + f" {unit}"
    return f"{int(value):,}"


def data_size(numbers: float) -> str:
    """The bytes of so many float32 numbers."""
    return f"{amount(4 * numbers)}B" if 4 * numbers >= 1e6 else f"{int(4 * numbers):,} bytes"


def share(part: float, whole: float) -> str:
    """A percentage, or that it is below one half."""
    percent = 100 * part / whole if whole else 0.0
    return "<1 %" if 0 < percent < 0.5 else f"{percent:.0f} %"


def map_size(place: Place) -> str:
    """Side x side x width of a map."""
    return f"{place.side} × {place.side} × {place.width:,}"


def mlp_facts(block: Block, place: Place) -> list[str]:
    """What the second half of a block does; nothing where it has none."""
    if block.layout == "conv_mixer":
        return [ACTIVATIONS[block.activation], "no residual"]
    if not block.hidden(place.width):
        return []
    return [f"hidden {block.hidden(place.width):,}", ACTIVATIONS[block.activation]]


def block_facts(block: Block) -> list[str]:
    """Norm and scales of a block."""
    alone = block.layout == "pre_norm" and not block.mlp_ratio
    order = "before it" if alone else "after each" if block.layout == "conv_mixer" else "before each"
    norm = [f"{said} {order}" for said in norms(block)] or ["no norm"]
    scales = {"layer scale": block.layer_scale, "residual scale": block.residual_scale}
    bare = ["no MLP"] if alone else [] if block.mlp_bias else ["MLP without bias"]
    return [*norm, *(f"{name} {value:g}" for name, value in scales.items() if value), *bare]


def norms(spec: Normed) -> list[str]:
    """The norm of a part, if it has one."""
    if spec.norm == "none":
        return []
    return [NORMS.get(spec.norm, f"{spec.norm} norm") + ("" if spec.norm_bias else " without bias")]


def embedding_steps(spec: Embedding) -> list[str]:
    """The steps that open a stage, in their order."""
    if spec.kernel == spec.stride and not spec.padding:
        conv = f"patches {square(spec.kernel)}"
    else:
        padding = f", padding {spec.padding}" if spec.padding else ""
        conv = f"convolution {square(spec.kernel)}, stride {spec.stride}{padding}"
    active = [] if spec.activation == "none" else [ACTIVATIONS[spec.activation]]
    return [*norms(spec), conv, *active] if spec.norm_first else [conv, *active, *norms(spec)]


def stage_steps(stage: Stage, place: Place) -> list[str]:
    """What happens before the first block of a stage."""
    joined = ["class token joins"] if place.extra else []
    learned = [f"{place.tokens:,} learned positions"] if stage.position == "learned" else []
    return [*embedding_steps(stage.embedding), *joined, *learned]


def head_steps(head: Head, num_classes: int) -> list[str]:
    """The steps from the last map to the scores."""
    pool = "class token" if head.pool == "class_token" else "mean over tokens"
    hidden = [f"MLP ×{head.mlp_ratio:g} squared ReLU"] if head.mlp_ratio else []
    steps = [pool, *norms(head)] if head.norm_last else [*norms(head), pool]
    return [*steps, *hidden, f"linear to {num_classes:,}"]


def field_words(path: str) -> str:
    """A field as in "K/V kernel" for "mixer.kv_kernel"; blocks and stages themselves are counted."""
    if path in {"stages", "blocks"}:
        return f"number of {path}"
    fields = path.removeprefix("mixer.").removeprefix("costs.").replace("_", " ").replace(".", " ")
    if fields.startswith("head ") and "width" not in fields:
        fields = fields.replace("head ", "head: ", 1)
    return " ".join(TERMS.get(word, word) for word in fields.split())


def value_words(value: Any) -> str:
    """A number, word or flag of a difference as people write it; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
