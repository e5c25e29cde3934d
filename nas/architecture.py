"""What a network is: a frozen value that cannot be built wrong, with one JSON text and one digest.

A network is a row of stages; a stage embeds its input at a stride and a width, then applies its blocks; a block is a
token mixer and an MLP. Maps are square. Nothing here needs torch.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.checked import Checked, Fault, canonical_json, child, children, digest, real, whole, word
from nas.errors import ArchitectureError
from nas.mixers import MIXERS, Mixer
from nas.tally import Place, out_side

FORMAT = "mixer-nas/architecture/1"
NORMS = ("none", "layer", "batch", "group")
ACTIVATIONS = ("gelu", "quick_gelu", "relu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedding(Checked):
    """The convolution that opens a stage: convolution with bias, then activation, then norm.

    Attributes:
        kernel, stride, padding: of the convolution; a patch embedding has kernel = stride and no padding.
        activation: after the convolution ("none" but in ConvMixer).
        norm: after that; "group" is a group norm of one group.
    """

    kernel: int = whole(1, 64)
    stride: int = whole(1, 64)
    padding: int = whole(0, 63, default=0)
    activation: str = word("none", *ACTIVATIONS, default="none")
    norm: str = word(*NORMS, default="none")

    def faults_at(self, side: int) -> Iterator[Fault]:
        """What forbids this embedding on a `side` map."""
        if self.padding >= self.kernel:
            yield "padding", f"{self.padding} is not smaller than the {self.kernel}x{self.kernel} kernel"
        if self.stride > side:
            yield "stride", f"{self.stride} is larger than the {side}x{side} map"
        elif self.kernel > side + 2 * self.padding:
            yield "kernel", f"{self.kernel} does not fit the {side}x{side} map with padding {self.padding}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block(Checked):
    """A token mixer and an MLP, both residual.

    Attributes:
        mixer: the token mixer.
        mlp_ratio: hidden / width of the MLP; 0 leaves the MLP out.
        norm, activation: of this block.
        layout: "pre_norm" (x + mixer(norm x), then x + mlp(norm x)), or "conv_mixer" (x + norm(act(mixer x)), then
            norm(act(pointwise x)) without a residual: arXiv 2201.09792), which has no MLP.
        layer_scale: initial value of a learned scale per channel on both residual branches; 0 has none.
    """

    mixer: Mixer = child(Mixer)
    mlp_ratio: float = real(0, 16, default=4.0)
    norm: str = word(*NORMS, default="layer")
    activation: str = word(*ACTIVATIONS, default="gelu")
    layout: str = word("pre_norm", "conv_mixer", default="pre_norm")
    layer_scale: float = real(0, 1, default=0.0)

    def hidden(self, width: int) -> int:
        """Hidden channels of the MLP; 0 when there is none."""
        return round(width * self.mlp_ratio)

    def faults(self) -> Iterator[Fault]:
        """Field faults, and fields that the layout has no use for."""
        yield from super().faults()
        if self.layout == "conv_mixer" and not self.own_faults():
            if self.mlp_ratio:
                yield (
                    "mlp_ratio",
                    f"{self.mlp_ratio} in the conv_mixer layout, whose pointwise convolution is the MLP (0)",
                )
            if self.layer_scale:
                yield "layer_scale", f"{self.layer_scale} in the conv_mixer layout, which has none (0)"

    def faults_at(self, place: Place) -> Iterator[Fault]:
        """What forbids this block at `place`."""
        for field, message in self.mixer.faults_at(place):
            yield f"mixer.{field}" if field else "mixer", message
        if place.extra and self.norm in ("batch", "group"):
            yield "norm", f"{self.norm} norm with a class token, which takes none or layer"
        if place.extra and self.layout == "conv_mixer":
            yield "layout", "conv_mixer with a class token"
        if self.mlp_ratio and not self.hidden(place.width):
            yield "mlp_ratio", f"{self.mlp_ratio} of width {place.width} leaves no hidden channel"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage(Checked):
    """An embedding to `width` channels, a position table or none, and the blocks one by one."""

    embedding: Embedding = child(Embedding)
    width: int = whole(1, 16384)
    blocks: tuple[Block, ...] = children(Block, most=256)
    position: str = word("none", "learned", default="none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head(Checked):
    """The end: a norm over the tokens, then their mean (or the class token), then one linear layer.

    With pool "class_token" a learned token joins the last stage after its embedding.
    """

    pool: str = word("mean", "class_token", default="mean")
    norm: str = word(*NORMS, default="layer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(Checked):
    """A vision backbone.

    Attributes:
        resolution: side in pixels of the square input it is made for.
        stages: in the order of the data.
        head: pooling and final norm; the number of classes is not part of the architecture.

    Raises: ArchitectureError naming the path of every fault.
    """

    resolution: int = whole(1, 4096)
    stages: tuple[Stage, ...] = children(Stage, most=16)
    head: Head = child(Head, default=Head())

    def faults(self) -> Iterator[Fault]:
        """Faults of the fields, then of the geometry as far as it can be followed."""
        yield from super().faults()
        if self.own_faults():
            return
        side = self.resolution
        for index, stage in enumerate(self.stages):
            path = f"stages[{index}]"
            if stage.own_faults() or stage.embedding.own_faults():
                return
            bad = [(f"{path}.embedding.{field}", message) for field, message in stage.embedding.faults_at(side)]
            yield from bad
            if bad:
                return
            embedding = stage.embedding
            side = out_side(side, embedding.kernel, embedding.stride, embedding.padding)
            yield from self._block_faults(path, stage, Place(stage.width, side, self._extra(index)))

    def _block_faults(self, path: str, stage: Stage, place: Place) -> Iterator[Fault]:
        seen: set[int] = set()
        for index, block in enumerate(stage.blocks):
            if id(block) in seen or block.own_faults() or block.mixer.own_faults():
                continue
            seen.add(id(block))
            for field, message in block.faults_at(place):
                yield f"{path}.blocks[{index}].{field}", message

    def _extra(self, index: int) -> int:
        return int(self.head.pool == "class_token" and index == len(self.stages) - 1)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Width, map side and class tokens of every stage."""
        side, places = self.resolution, []
        for index, stage in enumerate(self.stages):
            side = out_side(side, stage.embedding.kernel, stage.embedding.stride, stage.embedding.padding)
            places.append(Place(stage.width, side, self._extra(index)))
        return tuple(places)

    def at(self, resolution: int) -> Architecture:
        """The same architecture for another input size. Raises: ArchitectureError where it does not fit."""
        return self if resolution == self.resolution else dataclasses.replace(self, resolution=resolution)

    def to_json(self) -> str:
        """The canonical text; equal architectures have equal texts."""
        return canonical_json({"format": FORMAT, **self.as_json()})

    @cached_property
    def digest(self) -> str:
        """32 hex digits: the identity of this architecture."""
        return digest({"format": FORMAT, **self.as_json()})

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Read an architecture; `to_json` is the inverse. Raises: ArchitectureError naming every fault."""
        try:
            body = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArchitectureError([("", f"not JSON: {error}")]) from error
        if not isinstance(body, dict):
            raise ArchitectureError([("", f"a JSON object is expected, not {type(body).__name__}")])
        if (written := body.pop("format", FORMAT)) != FORMAT:
            raise ArchitectureError([("format", f"{written!r} is unknown; known: {FORMAT}")])
        shape: list[Fault] = []
        value: Architecture = _read(cls, body, "", shape)
        told = [path for path, _ in shape]
        rest = [fault for fault in value.faults() if not any(path.startswith(fault[0]) for path in told)]
        faults = [*shape, *rest]
        if faults:
            raise ArchitectureError(faults)
        return value

    @classmethod
    def load(cls, path: Path) -> Architecture:
        """Read an architecture file of at most 1 MB. Raises: ArchitectureError, OSError."""
        if path.stat().st_size > 1_000_000:
            raise ArchitectureError([(str(path), "larger than 1 MB, no architecture is")])
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise ArchitectureError([(str(path), f"not UTF-8 text: {error}")]) from error


_PARTS: dict[tuple[type[Checked], str], type[Checked]] = {
    (Architecture, "stages"): Stage,
    (Architecture, "head"): Head,
    (Stage, "embedding"): Embedding,
    (Stage, "blocks"): Block,
    (Block, "mixer"): Mixer,
}


def _read(cls: Any, body: Any, path: str, faults: list[Fault]) -> Any:
    """Build `cls` unchecked from JSON; what is wrong with its shape is added to `faults`, and None stands in for it."""
    if not isinstance(body, dict):
        faults.append((path, f"an object is expected, not {body!r}"))
        return None
    body = dict(body)
    if cls is Mixer:
        kind = body.pop("kind", None)
        if not isinstance(kind, str) or kind not in MIXERS:
            faults.append((f"{path}.kind", f"{kind!r} is unknown; known: {', '.join(MIXERS)}"))
            return None
        cls = MIXERS[kind]
    for name, value in body.items():
        below = f"{path}.{name}" if path else name
        if part := _PARTS.get((cls, name)):
            read = _read_list if name in ("stages", "blocks") else _read
            body[name] = read(part, value, below, faults)
    value, shape = cls.unchecked(body)
    faults += [(f"{path}.{name}" if path else name, message) for name, message in shape]
    return value


def _read_list(part: type[Checked], value: Any, path: str, faults: list[Fault]) -> Any:
    if not isinstance(value, list):
        faults.append((path, f"a list is expected, not {value!r}"))
        return None
    return tuple(_read(part, body, f"{path}[{index}]", faults) for index, body in enumerate(value))
