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

from nas.checked import Checked, Fault, canonical_json, child, children, digest, flag, read, real, whole, word
from nas.errors import ArchitectureError
from nas.mixers import Mixer
from nas.tally import ACTIVATIONS, NORMS, Place, out_side

FORMAT = "mixer-nas/architecture/1"
BIASLESS = ("layer", "group")  # norms that may go without a shift


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normed(Checked):
    """What embeddings, blocks and heads say about their norm.

    Attributes:
        norm: "group" is a group norm of one group; "affine" a scale and a shift per channel without statistics
            (ResMLP); "std_layer" a layer norm that divides by std + eps (vit-pytorch's CvT).
        norm_bias: whether the norm has a shift per channel; layer and group may go without.
        norm_eps: added to its variance (to its standard deviation in "std_layer").
    """

    norm: str = word(*NORMS, default="none")
    norm_bias: bool = flag(default=True)
    norm_eps: float = real(1e-12, 0.1, default=1e-5)

    def faults(self) -> Iterator[Fault]:
        """Field faults, and a norm that cannot go without a shift."""
        yield from super().faults()
        if not self.own_faults() and not self.norm_bias and self.norm not in BIASLESS:
            yield "norm_bias", f"false with norm {self.norm!r}; only {' and '.join(BIASLESS)} go without"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedding(Normed):
    """The convolution that opens a stage: convolution with bias, then activation, then norm.

    Attributes:
        kernel, stride, padding: of the convolution; a patch embedding has kernel = stride and no padding.
        activation: after the convolution ("none" but in ConvMixer).
        norm_first: the norm comes before the convolution (the later stages of the MetaFormer baselines).
    """

    kernel: int = whole(1, 64)
    stride: int = whole(1, 64)
    padding: int = whole(0, 63, default=0)
    activation: str = word("none", *ACTIVATIONS, default="none")
    norm_first: bool = flag(default=False)

    def faults(self) -> Iterator[Fault]:
        """Field faults, and an order of nothing."""
        yield from super().faults()
        if self.norm_first is True and self.norm == "none":
            yield "norm_first", "true without a norm"

    def faults_at(self, side: int) -> Iterator[Fault]:
        """What forbids this embedding on a `side` map."""
        if self.padding >= self.kernel:
            yield "padding", f"{self.padding} is not smaller than the {self.kernel}x{self.kernel} kernel"
        if self.stride > side:
            yield "stride", f"{self.stride} is larger than the {side}x{side} map"
        elif self.kernel > side + 2 * self.padding:
            yield "kernel", f"{self.kernel} does not fit the {side}x{side} map with padding {self.padding}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block(Normed):
    """A token mixer and an MLP, both residual.

    Attributes:
        mixer: the token mixer.
        mlp_ratio: hidden / width of the MLP; 0 leaves the MLP out.
        mlp_bias: whether the two linear layers of the MLP have one.
        norm, activation: of this block.
        layout: "pre_norm" (x + mixer(norm x), then x + mlp(norm x)), or "conv_mixer" (x + norm(act(mixer x)), then
            norm(act(pointwise x)) without a residual: arXiv 2201.09792), which has no MLP.
        layer_scale: initial value of a learned scale per channel on both branches (arXiv 2103.17239); 0 has none.
        residual_scale: the same on what passes both branches by (arXiv 2210.13452); 0 has none.
    """

    mixer: Mixer = child(Mixer)
    mlp_ratio: float = real(0, 16, default=4.0)
    mlp_bias: bool = flag(default=True)
    norm: str = word(*NORMS, default="layer")
    activation: str = word(*ACTIVATIONS, default="gelu")
    layout: str = word("pre_norm", "conv_mixer", default="pre_norm")
    layer_scale: float = real(0, 1, default=0.0)
    residual_scale: float = real(0, 1, default=0.0)

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
            for field in ("layer_scale", "residual_scale"):
                if value := getattr(self, field):
                    yield field, f"{value} in the conv_mixer layout, which has none (0)"
        if self.mlp_bias is False and self.mlp_ratio == 0:
            yield "mlp_bias", "false without an MLP"

    def faults_at(self, place: Place) -> Iterator[Fault]:
        """What forbids this block at `place`."""
        for field, message in self.mixer.faults_at(place):
            yield f"mixer.{field}" if field else "mixer", message
        if place.extra and self.norm in ("batch", "group"):
            yield "norm", f"{self.norm} norm with a class token, which takes a norm of each token"
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
class Head(Normed):
    """The end: a norm over the tokens, then their mean (or the class token), then the classifier.

    Attributes:
        pool: with "class_token" a learned token joins the last stage after its embedding.
        norm_last: the norm comes after the mean, on one vector an image (MetaFormer baselines).
        mlp_ratio: 0 for a linear classifier; else linear to mlp_ratio x width, squared ReLU, layer norm, linear
            (ConvFormer and CAFormer have 4).
    """

    pool: str = word("mean", "class_token", default="mean")
    norm: str = word(*NORMS, default="layer")
    norm_last: bool = flag(default=False)
    mlp_ratio: float = real(0, 16, default=0.0)

    def faults(self) -> Iterator[Fault]:
        """Field faults, and a norm after the mean where there is no mean or no norm."""
        yield from super().faults()
        if self.norm_last is True and (self.pool == "class_token" or self.norm == "none"):
            yield "norm_last", "true without " + ("a norm" if self.norm == "none" else "a mean over tokens")

    def hidden(self, width: int) -> int:
        """Hidden channels of the classifier; 0 when it is linear."""
        return round(width * self.mlp_ratio)


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
        width = self.stages[-1].width
        if not self.head.own_faults() and self.head.mlp_ratio and not self.head.hidden(width):
            yield "head.mlp_ratio", f"{self.head.mlp_ratio} of width {width} leaves no hidden channel"

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
        """32 hex digits: the identity of this network, whatever is said of norms and activations that it has not."""
        body = self.as_json()
        for stage, told in zip(self.stages, body["stages"], strict=True):
            _forget_unused(stage.embedding, told["embedding"])
            for block, block_told in zip(stage.blocks, told["blocks"], strict=True):
                _forget_unused(block, block_told)
                if block.layout == "pre_norm" and not block.mlp_ratio:
                    block_told.pop("activation", None)
        _forget_unused(self.head, body.get("head", {}))
        return digest({"format": FORMAT, **body})

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
        value: Architecture = read(cls, body, "", shape)
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


def _forget_unused(spec: Normed, told: dict[str, Any]) -> None:
    """Take out of the JSON of `spec` what its norm makes no use of."""
    if spec.norm in ("none", "affine"):
        told.pop("norm_eps", None)
