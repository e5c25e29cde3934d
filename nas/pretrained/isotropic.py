"""The names of the isotropic families: ConvMixer, MLP-Mixer, gMLP, ResMLP, ViT and DeiT."""

from __future__ import annotations

from nas.architecture import Block
from nas.mixers import Attention
from nas.pretrained.naming import END, MLP, NORMS, TOKENS, Naming, Table, Theirs, at, fused


def conv_mixer(block: str, stem: tuple[str, str], head: str) -> Naming:
    """ConvMixer: one list of layers, nested as each library nests it."""
    return Naming(
        stem={"conv": stem[0], "norm": stem[1]},
        block=block,
        inside={
            "mix.0.conv": "0.fn.0",
            "mix.2": "0.fn.2",
            "pointwise.0": at("1", "pointwise"),
            "pointwise.2": "3",
        },
        end={"classifier": head},
    )


VIT = Naming(
    stem={"conv": "patch_embed.proj", **TOKENS},
    block="blocks.{b}",
    inside={**NORMS, "mix.1.qkv": "attn.qkv", "mix.1.out": "attn.proj", **MLP},
    end=END,
)


def _hf_vit(layer: str, qkv: tuple[str, str, str], out: str, mlp: tuple[str, str]) -> Naming:
    embeddings = "vit.embeddings."
    return Naming(
        stem={
            "conv": embeddings + "patch_embeddings.projection",
            "class_token": embeddings + "cls_token",
            "position": embeddings + "position_embeddings",
        },
        block=layer,
        inside={
            "mix.0": "layernorm_before",
            "mlp.0": "layernorm_after",
            "mix.1.qkv": fused(*qkv),
            "mix.1.out": out,
            "mlp.1.0": mlp[0],
            "mlp.1.2": mlp[1],
        },
        end={"norm": "vit.layernorm", "classifier": "classifier"},
    )


_FLAX = Theirs((), "dense", (1,), {"weight": "kernel"})
_SCALE = {"weight": "scale"}


def flax_vit(prefix: str = "") -> Naming:
    """The .npz files of google-research/vision_transformer; `prefix` as of training checkpoints."""
    attention, mlp = "MultiHeadDotProductAttention_1/", "MlpBlock_3/Dense_"
    qkv = tuple(attention + part for part in ("query", "key", "value"))

    def inside(block: Block) -> Table:
        heads = block.mixer.head_width if isinstance(block.mixer, Attention) else 0
        return {
            "mix.0": at("LayerNorm_0", "same", **_SCALE),
            "mlp.0": at("LayerNorm_2", "same", **_SCALE),
            "mix.1.qkv": Theirs(qkv, "heads_in", (1, 1, 1), {"weight": "kernel"}, heads),
            "mix.1.out": Theirs((attention + "out",), "heads_out", (1,), {"weight": "kernel"}, heads),
            "mlp.1.0": mlp + "0",
            "mlp.1.2": mlp + "1",
        }

    return Naming(
        stem={
            "conv": at(prefix + "embedding", "hwio", weight="kernel"),
            "class_token": prefix + "cls",
            "position": prefix + "Transformer/posembed_input/pos_embedding",
        },
        block=prefix + "Transformer/encoderblock_{b}",
        inside=inside,
        end={"norm": at(prefix + "Transformer/encoder_norm", "same", **_SCALE), "classifier": prefix + "head"},
        separator="/",
        default=_FLAX,
    )


FLAX_MIXER = Naming(
    stem={"conv": at("stem", "hwio", weight="kernel")},
    block="MixerBlock_{b}",
    inside={
        "mix.0": at("LayerNorm_0", "same", **_SCALE),
        "mlp.0": at("LayerNorm_1", "same", **_SCALE),
        "mix.1.0": "token_mixing/Dense_0",
        "mix.1.2": "token_mixing/Dense_1",
        "mlp.1.0": "channel_mixing/Dense_0",
        "mlp.1.2": "channel_mixing/Dense_1",
    },
    end={"norm": at("pre_head_layer_norm", "same", **_SCALE), "classifier": "head"},
    separator="/",
    default=_FLAX,
)

TIMM_MIXER = Naming(
    stem={"conv": "stem.proj"},
    block="blocks.{b}",
    inside={
        **NORMS,
        "mix.1.0": "mlp_tokens.fc1",
        "mix.1.2": "mlp_tokens.fc2",
        "mlp.1.0": "mlp_channels.fc1",
        "mlp.1.2": "mlp_channels.fc2",
    },
    end=END,
)

TIMM_GMLP = Naming(
    stem={"conv": "stem.proj"},
    block="blocks.{b}",
    inside={
        "mix.0": "norm",
        "mix.1.widen": "mlp_channels.fc1",
        "mix.1.norm": "mlp_channels.gate.norm",
        "mix.1.spatial": "mlp_channels.gate.proj",
        "mix.1.narrow": "mlp_channels.fc2",
    },
    end=END,
)


def res_mlp(patch: str, tokens: str, mlp: str, scales: tuple[str, str], way: str) -> Naming:
    """ResMLP: the names that differ between the official code and timm, which keeps affine vectors as rows."""

    def affine(name: str) -> Theirs:
        return at(name, way, weight="alpha", bias="beta")

    return Naming(
        stem={"conv": patch},
        block="blocks.{b}",
        inside={
            "mix.0": affine("norm1"),
            "mix.1.linear": tokens,
            "mix.2.scale": scales[0],
            "mlp.0": affine("norm2"),
            "mlp.1.0": f"{mlp}.fc1",
            "mlp.1.2": f"{mlp}.fc2",
            "mlp.2.scale": scales[1],
        },
        end={"norm": affine("norm"), "classifier": "head"},
    )


HF_VIT = (
    _hf_vit(
        "vit.encoder.layer.{b}",
        ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
        "attention.output.dense",
        ("intermediate.dense", "output.dense"),
    ),
    _hf_vit(
        "vit.layers.{b}",
        ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        "attention.o_proj",
        ("mlp.fc1", "mlp.fc2"),
    ),
)
