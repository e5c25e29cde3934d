"""What a network costs, exact and by formula: parameters, MACs, activation bytes. Microseconds, no torch.

Conventions are those of `nas.tally`; every published network of `nas.zoo` and thousands of random ones are held
against the real module and a traced count in the tests.
"""

from __future__ import annotations

import dataclasses

from nas.architecture import Architecture, Block, Embedding
from nas.tally import Place, Tally, activation, convolution, linear, norm

COSTS = ("params", "macs", "activation_bytes")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Costs of one network for one image.

    Attributes:
        params: trainable parameters.
        macs: multiply-accumulates of one forward pass.
        activation_bytes: bytes that training keeps for the backward pass, per image in float32.
    """

    params: int
    macs: int
    activation_bytes: int

    def as_dict(self) -> dict[str, float]:
        """By name, for limits and objectives."""
        return dataclasses.asdict(self)


def cost(
    architecture: Architecture, *, resolution: int | None = None, num_classes: int = 1000, in_channels: int = 3
) -> Cost:
    """The costs of `architecture` with a classifier of `num_classes` on `in_channels` x resolution^2 images.

    Raises: ArchitectureError when the architecture does not take that resolution.
    """
    total = Tally().plus(
        *parts(architecture, resolution=resolution, num_classes=num_classes, in_channels=in_channels).values()
    )
    return Cost(total.params, total.macs, 4 * total.saved)


def parts(
    architecture: Architecture, *, resolution: int | None = None, num_classes: int = 1000, in_channels: int = 3
) -> dict[str, Tally]:
    """The count of every stage and of the head, by name ("stages[0]", ..., "head"); their sum is the network."""
    architecture = architecture.at(resolution or architecture.resolution)
    width, side, counts = in_channels, architecture.resolution, {}
    for index, (stage, place) in enumerate(zip(architecture.stages, architecture.places, strict=True)):
        count = _embedding(stage.embedding, width, side, place)
        if stage.position == "learned":
            count = count.plus(Tally(place.tokens * place.width))
        if place.extra:
            count = count.plus(Tally(place.width))
        counts[f"stages[{index}]"] = count.plus(*_blocks(stage.blocks, place))
        width, side = stage.width, place.side
    last = architecture.places[-1]
    counts["head"] = norm(architecture.head.norm, last).plus(linear(1, last.width, num_classes))
    return counts


def _embedding(embedding: Embedding, width: int, side: int, place: Place) -> Tally:
    bare = place._replace(extra=0)
    return convolution(side, place.side, width, place.width, embedding.kernel).plus(
        _activated(embedding.activation, embedding.norm, bare)
    )


def _activated(kind: str, norm_kind: str, place: Place) -> Tally:
    """An activation and the norm after it; a group norm keeps a transposed copy beside what ReLU keeps."""
    numbers = place.tokens * place.width
    copied = Tally(0, 0, numbers if kind == "relu" and norm_kind == "group" else 0)
    return activation(kind, numbers).plus(norm(norm_kind, place), copied)


def _blocks(blocks: tuple[Block, ...], place: Place) -> list[Tally]:
    """Runs of the same block are counted once and multiplied."""
    counts: list[Tally] = []
    previous: Block | None = None
    for block in blocks:
        counts.append(counts[-1] if block is previous else _block(block, place))
        previous = block
    return counts


def _block(block: Block, place: Place) -> Tally:
    width, tokens = place.width, place.tokens
    mixer, norms = block.mixer.cost_at(place), norm(block.norm, place)
    if block.layout == "conv_mixer":
        activated = _activated(block.activation, block.norm, place)
        return mixer.plus(activated, linear(tokens, width, width), activated)
    count = mixer.plus(norms)
    if block.layer_scale:
        count = count.plus(Tally(width, 0, tokens * width))
    if hidden := block.hidden(width):
        mlp = linear(tokens, width, hidden).plus(
            activation(block.activation, tokens * hidden), linear(tokens, hidden, width)
        )
        count = count.plus(norms, mlp)
        if block.layer_scale:
            count = count.plus(Tally(width, 0, tokens * width))
    return count
