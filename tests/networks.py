"""Small networks for the tests of architectures: a stage, a network, and one with every kind of field."""

import json

from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.mixers import (
    Attention,
    ConvAttention,
    DepthwiseConv,
    GatedMlp,
    Identity,
    MultiAxisMlp,
    Pooling,
    RandomMixing,
    SeparableConv,
    TokenLinear,
    TokenMlp,
)


def patch(size=4, **fields):
    return Embedding(kernel=size, stride=size, **fields)


def stage(*mixers, width=32, embedding=None, position="none", **fields):
    blocks = tuple(Block(mixer=mixer, **fields) for mixer in mixers or (Identity(),))
    return Stage(embedding=embedding or patch(), width=width, blocks=blocks, position=position)


def network(*stages, resolution=32, **head):
    return Architecture(resolution=resolution, stages=stages or (stage(),), head=Head(**head))


def body_of(architecture):
    return json.loads(architecture.to_json())


PYRAMID = network(
    stage(Pooling(size=5), ConvAttention(head_width=16, kv_stride=1), mlp_ratio=3, norm="batch", layer_scale=0.1),
    stage(SeparableConv(kernel=5), TokenMlp(ratio=0.25), width=48, embedding=patch(2, activation="relu", norm="group")),
    stage(Attention(head_width=8), width=64, embedding=Embedding(kernel=3, stride=2, padding=1), position="learned"),
    pool="class_token",
)
BARE = {"norm_bias": False, "norm_eps": 1e-6}
MODERN = network(
    stage(
        SeparableConv(kernel=3, activation="star_relu", bias=False),
        Attention(head_width=8, qkv_bias=False, out_bias=False, reduction=2),
        ConvAttention(head_width=8, scale="head", shared_kv=True, qkv_bias=False),
        embedding=patch(2, norm="group", norm_first=True, **BARE),
        mlp_bias=False,
        activation="star_relu",
        residual_scale=1,
        **BARE,
    ),
    stage(TokenLinear(bias=False), RandomMixing(), norm="affine", activation="squared_relu", embedding=patch(2)),
    stage(GatedMlp(ratio=3), MultiAxisMlp(block=2, grid=4), norm="std_layer", mlp_ratio=0, embedding=patch(2)),
    norm_last=True,
    mlp_ratio=4,
    **BARE,
)
EVERY = network(
    stage(
        SeparableConv(), DepthwiseConv(kernel=4), Pooling(), norm="batch", activation="star_relu", embedding=patch(2)
    ),
    stage(TokenLinear(), RandomMixing(), TokenMlp(), norm="affine", activation="squared_relu", embedding=patch(2)),
    stage(GatedMlp(), MultiAxisMlp(grid=4), norm="std_layer", activation="quick_gelu", embedding=patch(1)),
    stage(ConvAttention(head_width=8), norm="group", activation="relu", embedding=patch(2)),
    stage(Attention(head_width=8), Identity(), embedding=patch(1)),
)
