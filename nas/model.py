"""From the value to the module: `build`."""

from __future__ import annotations

from torch import Tensor, channels_last, nn

from nas.architecture import Architecture, Block, Embedding, Head, Normed
from nas.costs import cost
from nas.errors import InputError
from nas.initialise import initialise
from nas.layers.blocks import Branch, ConvEmbedding, ConvMixerBlock, MlpClassifier, PreNormBlock
from nas.layers.common import Mlp, make_norm, to_map
from nas.tally import Place

LARGEST = 4_000_000_000  # parameters; beyond it a typing error is likelier than a wish


class Backbone(nn.Module):
    """A network built from an `Architecture`: BCHW images to B x classes logits."""

    def __init__(self, architecture: Architecture, in_channels: int, num_classes: int, drop_path: float) -> None:
        super().__init__()
        self.architecture, self.in_channels, self.num_classes = architecture, in_channels, num_classes
        self.places = architecture.places
        total = sum(len(stage.blocks) for stage in architecture.stages)
        rates = iter([drop_path * index / max(1, total - 1) for index in range(total)])
        widths = [in_channels, *(stage.width for stage in architecture.stages)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                embedding_of(stage.embedding, width, place, position=stage.position),
                *(block_of(block, place, next(rates)) for block in stage.blocks),
            )
            for stage, width, place in zip(architecture.stages, widths, self.places, strict=False)
        )
        last = self.places[-1]
        self.norm = norm_of(architecture.head, last.width)
        self.classifier = classifier_of(architecture.head, last.width, num_classes)

    def forward_features(self, x_BCHW: Tensor) -> Tensor:
        """Images to the tokens of the last stage, BNC, normed unless the head's norm comes after the mean."""
        for index, stage in enumerate(self.stages):
            x_BNC: Tensor = stage(x_BCHW)
            if index + 1 < len(self.stages):
                x_BCHW = to_map(x_BNC, self.places[index].side)
        return x_BNC if self.architecture.head.norm_last else self.norm(x_BNC)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images to logits."""
        pooled_BC = pooled(self.forward_features(x_BCHW), self.places[-1])
        if self.architecture.head.norm_last:
            pooled_BC = self.norm(pooled_BC[:, None])[:, 0]
        logits: Tensor = self.classifier(pooled_BC)
        return logits


def build(
    architecture: Architecture,
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    resolution: int | None = None,
    drop_path: float = 0.0,
    init: str = "xavier",
) -> Backbone:
    """Make the module of an architecture for square images of side `resolution` (default: its own).

    `drop_path` is the rate of the last block; it grows linearly from 0 over the blocks. `init` is a scheme of
    `nas.initialise` ("level" for scores at initialisation; `nas.zoo` knows the published one of a network).
    Raises: ArchitectureError when the resolution does not fit, InputError for a network of over 4e9 parameters, an
    unknown scheme, or no class or channel.
    """
    if num_classes < 1 or in_channels < 1:
        raise InputError(f"{num_classes} classes on {in_channels} channels: at least 1 of each is needed")
    architecture = architecture.at(architecture.resolution if resolution is None else resolution)
    total = cost(architecture, num_classes=num_classes, in_channels=in_channels)
    params = total.params + total.frozen_params
    if params > LARGEST:
        raise InputError(f"{params:,} parameters: more than {LARGEST:,} are not built")
    model = Backbone(architecture, in_channels, num_classes, drop_path)
    initialise(model, init)
    return model.to(memory_format=channels_last)  # type: ignore[call-overload, no-any-return]


def pooled(x_BNC: Tensor, place: Place) -> Tensor:
    """The class token where there is one, else the mean over the tokens, BC."""
    # a copy of the class token, so that training does not keep all tokens for its sake
    return x_BNC[:, 0].contiguous() if place.extra else x_BNC.mean(dim=1)


def norm_of(spec: Normed, width: int) -> nn.Module:
    """A norm over BNC tokens."""
    return make_norm(spec.norm, width, bias=spec.norm_bias, eps=spec.norm_eps)


def classifier_of(head: Head, width: int, num_classes: int) -> nn.Module:
    """BC to logits."""
    hidden = head.hidden(width)
    return MlpClassifier(width, hidden, num_classes) if hidden else nn.Linear(width, num_classes)


def embedding_of(spec: Embedding, width_in: int, place: Place, *, position: str) -> ConvEmbedding:
    """What opens a stage: B x `width_in` x H x W maps to the BNC tokens of `place`."""
    return ConvEmbedding(
        nn.Conv2d(width_in, place.width, spec.kernel, spec.stride, spec.padding),
        norm_of(spec, width_in if spec.norm_first else place.width),
        activation=spec.activation,
        norm_first=spec.norm_first,
        position_tokens=place.tokens if position == "learned" else 0,
        class_token=bool(place.extra),
    )


def block_of(block: Block, place: Place, drop_path: float) -> nn.Module:
    """A block of a stage, BNC to BNC at `place`."""
    width, mixer = place.width, block.mixer.module(place)
    if block.layout == "conv_mixer":
        norms = (norm_of(block, width), norm_of(block, width))
        return ConvMixerBlock(mixer, norms, width=width, activation=block.activation, drop_path=drop_path)

    def branch(inner: nn.Module) -> Branch:
        return Branch(norm_of(block, width), inner, width=width, layer_scale=block.layer_scale, drop_path=drop_path)

    hidden = block.hidden(width)
    mlp = branch(Mlp(width, hidden, block.activation, bias=block.mlp_bias)) if hidden else None
    return PreNormBlock(branch(mixer), mlp, width=width, residual_scale=block.residual_scale)
