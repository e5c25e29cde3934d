"""From the value to the module: `build`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, channels_last, nn

from nas.architecture import Architecture, Block, Stage
from nas.costs import cost
from nas.errors import InputError
from nas.layers.blocks import ConvEmbedding, ConvMixerBlock, PreNormBlock
from nas.layers.common import make_norm, to_map
from nas.layers.convolutional import DepthwiseMixer, PoolingMixer, SeparableMixer
from nas.layers.dense import AttentionMixer, ConvAttentionMixer, TokenMlpMixer
from nas.mixers import Attention, ConvAttention, DepthwiseConv, Identity, Pooling, SeparableConv, TokenMlp
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
                _embedding(stage, width, place), *(_block(block, place, next(rates)) for block in stage.blocks)
            )
            for stage, width, place in zip(architecture.stages, widths, self.places, strict=False)
        )
        last = self.places[-1]
        self.norm = make_norm(architecture.head.norm, last.width)
        self.classifier = nn.Linear(last.width, num_classes)
        self.apply(_initialise)

    def forward_features(self, x_BCHW: Tensor) -> Tensor:
        """Images to the normed tokens of the last stage, BNC."""
        for index, stage in enumerate(self.stages):
            x_BNC: Tensor = stage(x_BCHW)
            if index + 1 < len(self.stages):
                x_BCHW = to_map(x_BNC, self.places[index].side)
        normed: Tensor = self.norm(x_BNC)
        return normed

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Images to logits."""
        x_BNC = self.forward_features(x_BCHW)
        # a copy of the class token, so that training does not keep all tokens for its sake
        pooled_BC = x_BNC[:, 0].contiguous() if self.places[-1].extra else x_BNC.mean(dim=1)
        logits: Tensor = self.classifier(pooled_BC)
        return logits


def build(
    architecture: Architecture,
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    resolution: int | None = None,
    drop_path: float = 0.0,
) -> Backbone:
    """Make the module of an architecture for square images of side `resolution` (default: its own).

    `drop_path` is the rate of the last block; it grows linearly from 0 over the blocks.
    Raises: ArchitectureError when the resolution does not fit, InputError for a network of over 4e9 parameters.
    """
    architecture = architecture.at(resolution or architecture.resolution)
    params = cost(architecture, num_classes=num_classes, in_channels=in_channels).params
    if params > LARGEST:
        raise InputError(f"{params:,} parameters: more than {LARGEST:,} are not built")
    return Backbone(architecture, in_channels, num_classes, drop_path).to(memory_format=channels_last)  # type: ignore[call-overload, no-any-return]


def _embedding(stage: Stage, width_in: int, place: Place) -> ConvEmbedding:
    spec = stage.embedding
    return ConvEmbedding(
        nn.Conv2d(width_in, stage.width, spec.kernel, spec.stride, spec.padding),
        activation=spec.activation,
        norm=spec.norm,
        position_tokens=place.tokens if stage.position == "learned" else 0,
        class_token=bool(place.extra),
    )


def _block(block: Block, place: Place, drop_path: float) -> nn.Module:
    mixer = MODULES[type(block.mixer)](block.mixer, place)
    if block.layout == "conv_mixer":
        return ConvMixerBlock(
            mixer, width=place.width, norm=block.norm, activation=block.activation, drop_path=drop_path
        )
    return PreNormBlock(
        mixer,
        width=place.width,
        hidden=block.hidden(place.width),
        norm=block.norm,
        activation=block.activation,
        layer_scale=block.layer_scale,
        drop_path=drop_path,
    )


def _conv_attention(spec: ConvAttention, place: Place) -> nn.Module:
    return ConvAttentionMixer(
        width=place.width,
        side=place.side,
        heads=place.width // spec.head_width,
        q=(spec.q_kernel, spec.q_stride),
        kv=(spec.kv_kernel, spec.kv_stride),
        q_side=spec.sides(place.side)[0],
        extra=place.extra,
    )


MODULES: dict[type, Callable[[Any, Place], nn.Module]] = {
    Identity: lambda _, __: nn.Identity(),
    Pooling: lambda spec, place: PoolingMixer(place.side, spec.size),
    DepthwiseConv: lambda spec, place: DepthwiseMixer(place.width, place.side, spec.kernel),
    SeparableConv: lambda spec, place: SeparableMixer(place.width, place.side, spec.hidden(place.width), spec.kernel),
    TokenMlp: lambda spec, place: TokenMlpMixer(place.tokens, spec.hidden(place.width)),
    Attention: lambda spec, place: AttentionMixer(place.width, place.width // spec.head_width),
    ConvAttention: _conv_attention,
}


def _initialise(module: nn.Module) -> None:
    """Linear layers Xavier-uniform as in ViT (a fixed 0.02 starves narrow networks), biases 0, tables normal 0.02.

    Convolutions keep the framework's default.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ConvEmbedding):
        for table in (module.position, module.class_token):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.02)
