"""An architecture as text: stages and blocks in the order of the data, runs of equal blocks once."""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Iterator

from nas.architecture import Architecture, Block, Embedding, Head, Normed, Stage
from nas.checked import Checked
from nas.costs import parts
from nas.mixers import Mixer
from nas.tally import Place, Tally

BAR = 16  # characters of a full bar


def text(architecture: Architecture, *, num_classes: int = 1000, in_channels: int = 3, width: int = 120) -> str:
    """The architecture as lines of at most `width` for a terminal, with each stage's share of parameters and MACs."""
    counts = parts(architecture, num_classes=num_classes, in_channels=in_channels)
    total = Tally().plus(*counts.values())
    side = architecture.resolution
    lines = [f"╭ image {side}x{side}x{in_channels}"]
    for index, (stage, place) in enumerate(zip(architecture.stages, architecture.places, strict=True)):
        count = counts[f"stages[{index}]"]
        lines.append(f"├ stage {index + 1}: {_map(place)}{_shares(count, total)}")
        for line in _stage(stage, place):
            lines += textwrap.wrap(line, max(40, width), initial_indent="│   ", subsequent_indent="│       ")
    lines.append(f"├ head{_shares(counts['head'], total)}")
    lines.append(f"│   {_head(architecture.head, num_classes)}")
    lines.append(f"╰ {total.params:,} parameters, {total.macs / 1e9:.4g} GMACs" + _frozen(total))
    return "\n".join(lines)


def _map(place: Place) -> str:
    return f"{place.side}x{place.side}x{place.width}" + (" + class token" if place.extra else "")


def _shares(count: Tally, total: Tally) -> str:
    share = count.macs / total.macs if total.macs else 0.0
    bar = "█" * round(BAR * share)
    return (
        f"   {bar}{'' if not bar else ' '}{share:.0%} of MACs, {count.params / max(1, total.params):.0%} of parameters"
    )


def _frozen(total: Tally) -> str:
    return f", {total.frozen:,} frozen parameters" if total.frozen else ""


def _stage(stage: Stage, place: Place) -> Iterator[str]:
    yield _embedding(stage.embedding) + (f", {place.tokens} learned positions" if stage.position == "learned" else "")
    for block, run in itertools.groupby(stage.blocks):
        yield f"{len(list(run))} x {describe(block)}"


def _embedding(spec: Embedding) -> str:
    patches = spec.kernel == spec.stride and not spec.padding
    conv = (
        f"patches {spec.kernel}x{spec.kernel}"
        if patches
        else f"convolution {spec.kernel}x{spec.kernel}, stride {spec.stride}"
    )
    activation = [] if spec.activation == "none" else [spec.activation]
    steps = [*_norm(spec), conv, *activation] if spec.norm_first else [conv, *activation, *_norm(spec)]
    return ", ".join(steps)


def describe(block: Block) -> str:
    """A block in one line: mixer, MLP, and what is unusual about it."""
    mixer = brief(block.mixer)
    if block.layout == "conv_mixer":
        return f"{mixer}, {block.activation}, {block.norm} norm, pointwise; conv_mixer layout"
    mlp = [f"MLP x{block.mlp_ratio:g} {block.activation}"] if block.mlp_ratio else []
    scales = [
        f"{name.replace('_', ' ')} {value:g}"
        for name in ("layer_scale", "residual_scale")
        if (value := getattr(block, name))
    ]
    bare = ["no MLP bias"] if mlp and not block.mlp_bias else []
    return ", ".join([mixer, *mlp, *_norm(block), *scales, *bare])


def brief(mixer: Mixer) -> str:
    """A mixer as in "pooling(size 3)"."""
    fields = _fields(mixer)
    return f"{mixer.kind}({fields})" if fields else mixer.kind


def _norm(spec: Normed) -> list[str]:
    if spec.norm == "none":
        return []
    return [f"{spec.norm} norm" + ("" if spec.norm_bias else " without bias")]


def _fields(value: Checked) -> str:
    """Numbers and words always, flags where they are not as usual."""
    said = []
    for field in dataclasses.fields(value):
        setting = getattr(value, field.name)
        if not isinstance(setting, bool):
            said.append(f"{field.name} {setting}")
        elif setting != field.default:
            said.append(field.name if setting else f"no {field.name}")
    return ", ".join(said)


def _head(head: Head, num_classes: int) -> str:
    pool = "class token" if head.pool == "class_token" else "mean over tokens"
    steps = [pool, *_norm(head)] if head.norm_last else [*_norm(head), pool]
    hidden = [f"MLP x{head.mlp_ratio:g} squared_relu"] if head.mlp_ratio else []
    return ", ".join([*steps, *hidden, f"linear to {num_classes}"])
