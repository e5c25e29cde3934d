"""What a network costs, exact and by formula: parameters, MACs, activation bytes. Microseconds, no torch.

Conventions are those of `nas.tally`; every published network of `nas.zoo` and thousands of random ones are held
against the real module and a traced count in the tests.
"""

from __future__ import annotations

import dataclasses

from nas.architecture import Architecture, Block, Embedding, Head, Normed
from nas.tally import Place, Tally, activation, convolution, linear, norm

COSTS = ("params", "macs", "activation_bytes")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Costs of one network for one image.

    Attributes:
        params: trainable parameters.
        frozen_params: parameters that are drawn once and never trained (random mixing); not in `params`.
        macs: multiply-accumulates of one forward pass.
        activation_bytes: bytes that training keeps for the backward pass, per image in float32.
    """

    params: int
    macs: int
    activation_bytes: int
    frozen_params: int = 0

    def as_dict(self) -> dict[str, float]:
        """By name, for limits and objectives (`COSTS`)."""
        return {name: getattr(self, name) for name in COSTS}


def cost(
    architecture: Architecture, *, resolution: int | None = None, num_classes: int = 1000, in_channels: int = 3
) -> Cost:
    """The costs of `architecture` with a classifier of `num_classes` on `in_channels` x resolution^2 images.

    Raises: ArchitectureError when the architecture does not take that resolution.
    """
    total = Tally().plus(
        *parts(architecture, resolution=resolution, num_classes=num_classes, in_channels=in_channels).values()
    )
    return Cost(total.params, total.macs, 4 * total.saved, total.frozen)


def parts(
    architecture: Architecture, *, resolution: int | None = None, num_classes: int = 1000, in_channels: int = 3
) -> dict[str, Tally]:
    """The count of every stage and of the head, by name ("stages[0]", ..., "head"); their sum is the network."""
    architecture = architecture.at(architecture.resolution if resolution is None else resolution)
    width, side, counts = in_channels, architecture.resolution, {}
    for index, (stage, place) in enumerate(zip(architecture.stages, architecture.places, strict=True)):
        count = _embedding(stage.embedding, width, side, place)
        if stage.position == "learned":
            count = count.plus(Tally(place.tokens * place.width))
        if place.extra:
            count = count.plus(Tally(place.width))
        counts[f"stages[{index}]"] = count.plus(*_blocks(stage.blocks, place))
        width, side = stage.width, place.side
    counts["head"] = _head(architecture.head, architecture.places[-1], num_classes)
    return counts


def _norm(spec: Normed, place: Place) -> Tally:
    return norm(spec.norm, place, bias=spec.norm_bias)


def _embedding(embedding: Embedding, width: int, side: int, place: Place) -> Tally:
    bare = place._replace(extra=0)
    conv = convolution(side, place.side, width, place.width, embedding.kernel)
    if embedding.norm_first:
        return conv.plus(
            _norm(embedding, Place(width, side)), activation(embedding.activation, bare.tokens * place.width)
        )
    return conv.plus(_activated(embedding.activation, embedding, bare))


def _head(head: Head, place: Place, num_classes: int) -> Tally:
    width = place.width
    count = _norm(head, Place(width, 1) if head.norm_last else place)
    if hidden := head.hidden(width):
        inner = activation("squared_relu", hidden).plus(norm("layer", Place(hidden, 1)))
        return count.plus(linear(1, width, hidden), inner, linear(1, hidden, num_classes))
    return count.plus(linear(1, width, num_classes))


def _activated(kind: str, spec: Normed, place: Place) -> Tally:
    """An activation and the norm after it; these two norms keep a copy beside what ReLU keeps."""
    numbers = place.tokens * place.width
    copied = Tally(0, 0, numbers if kind == "relu" and spec.norm in ("group", "std_layer") else 0)
    return activation(kind, numbers).plus(_norm(spec, place), copied)


def _blocks(blocks: tuple[Block, ...], place: Place) -> list[Tally]:
    """Equal blocks are counted once."""
    counts: list[Tally] = []
    known: dict[Block, Tally] = {}
    previous: Block | None = None
    for block in blocks:
        if block is previous:  # the repeated block of most networks: not even its hash is needed
            counts.append(counts[-1])
            continue
        if block not in known:
            known[block] = _block(block, place)
        counts.append(known[block])
        previous = block
    return counts


def _block(block: Block, place: Place) -> Tally:
    width, tokens = place.width, place.tokens
    mixer, norms = block.mixer.cost_at(place), _norm(block, place)
    if block.layout == "conv_mixer":
        activated = _activated(block.activation, block, place)
        return mixer.plus(activated, linear(tokens, width, width), activated)
    scaled = Tally(width, 0, tokens * width)
    shared = block.norm not in ("group", "std_layer")  # the others keep the block's input already
    passed = Tally(width, 0, 0 if shared else tokens * width)
    scales = [scaled] * bool(block.layer_scale) + [passed] * bool(block.residual_scale)
    count = mixer.plus(norms, *scales)
    if hidden := block.hidden(width):
        mlp = linear(tokens, width, hidden, bias=block.mlp_bias).plus(
            activation(block.activation, tokens * hidden), linear(tokens, hidden, width, bias=block.mlp_bias)
        )
        count = count.plus(norms, mlp, *scales)
    return count
