"""Which library names the parts of which family how. Read from the libraries' code; held against them in the tests."""

from __future__ import annotations

from collections.abc import Mapping

from nas.architecture import Block
from nas.mixers import Attention
from nas.pretrained.naming import Naming, Table, Theirs


def _fused(*names: str, shares: tuple[int, ...] | None = None, way: str = "same", **leaves: str) -> Theirs:
    return Theirs(names, way, shares or (1,) * len(names), leaves)


def _as(name: str, way: str, **leaves: str) -> Theirs:
    return Theirs((name,), way, (1,), leaves)


def _conv_mixer(block: str, stem: tuple[str, str], head: str) -> Naming:
    return Naming(
        stem={"conv": stem[0], "norm": stem[1]},
        block=block,
        inside={
            "mix.0.conv": "0.fn.0",
            "mix.2": "0.fn.2",
            "pointwise.0": _as("1", "pointwise"),
            "pointwise.2": "3",
        },
        end={"classifier": head},
    )


_MLP: Table = {"mlp.1.0": "mlp.fc1", "mlp.1.2": "mlp.fc2"}
_NORMS: Table = {"mix.0": "norm1", "mlp.0": "norm2"}
_END: Table = {"norm": "norm", "classifier": "head"}
_TOKENS: Table = {"class_token": "cls_token", "position": "pos_embed"}

_VIT = Naming(
    stem={"conv": "patch_embed.proj", **_TOKENS},
    block="blocks.{b}",
    inside={**_NORMS, "mix.1.qkv": "attn.qkv", "mix.1.out": "attn.proj", **_MLP},
    end=_END,
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
            "mix.1.qkv": _fused(*qkv),
            "mix.1.out": out,
            "mlp.1.0": mlp[0],
            "mlp.1.2": mlp[1],
        },
        end={"norm": "vit.layernorm", "classifier": "classifier"},
    )


_FLAX = Theirs((), "dense", (1,), {"weight": "kernel"})
_SCALE = {"weight": "scale"}


def _flax_vit(prefix: str = "") -> Naming:
    attention, mlp = "MultiHeadDotProductAttention_1/", "MlpBlock_3/Dense_"
    qkv = tuple(attention + part for part in ("query", "key", "value"))

    def inside(block: Block) -> Table:
        heads = block.mixer.head_width if isinstance(block.mixer, Attention) else 0
        return {
            "mix.0": _as("LayerNorm_0", "same", **_SCALE),
            "mlp.0": _as("LayerNorm_2", "same", **_SCALE),
            "mix.1.qkv": Theirs(qkv, "heads_in", (1, 1, 1), {"weight": "kernel"}, heads),
            "mix.1.out": Theirs((attention + "out",), "heads_out", (1,), {"weight": "kernel"}, heads),
            "mlp.1.0": mlp + "0",
            "mlp.1.2": mlp + "1",
        }

    return Naming(
        stem={
            "conv": _as(prefix + "embedding", "hwio", weight="kernel"),
            "class_token": prefix + "cls",
            "position": prefix + "Transformer/posembed_input/pos_embedding",
        },
        block=prefix + "Transformer/encoderblock_{b}",
        inside=inside,
        end={"norm": _as(prefix + "Transformer/encoder_norm", "same", **_SCALE), "classifier": prefix + "head"},
        separator="/",
        default=_FLAX,
    )


_FLAX_MIXER = Naming(
    stem={"conv": _as("stem", "hwio", weight="kernel")},
    block="MixerBlock_{b}",
    inside={
        "mix.0": _as("LayerNorm_0", "same", **_SCALE),
        "mlp.0": _as("LayerNorm_1", "same", **_SCALE),
        "mix.1.0": "token_mixing/Dense_0",
        "mix.1.2": "token_mixing/Dense_1",
        "mlp.1.0": "channel_mixing/Dense_0",
        "mlp.1.2": "channel_mixing/Dense_1",
    },
    end={"norm": _as("pre_head_layer_norm", "same", **_SCALE), "classifier": "head"},
    separator="/",
    default=_FLAX,
)

_TIMM_MIXER = Naming(
    stem={"conv": "stem.proj"},
    block="blocks.{b}",
    inside={
        **_NORMS,
        "mix.1.0": "mlp_tokens.fc1",
        "mix.1.2": "mlp_tokens.fc2",
        "mlp.1.0": "mlp_channels.fc1",
        "mlp.1.2": "mlp_channels.fc2",
    },
    end=_END,
)

_TIMM_GMLP = Naming(
    stem={"conv": "stem.proj"},
    block="blocks.{b}",
    inside={
        "mix.0": "norm",
        "mix.1.widen": "mlp_channels.fc1",
        "mix.1.norm": "mlp_channels.gate.norm",
        "mix.1.spatial": "mlp_channels.gate.proj",
        "mix.1.narrow": "mlp_channels.fc2",
    },
    end=_END,
)


def _res_mlp(patch: str, tokens: str, mlp: str, scales: tuple[str, str], way: str) -> Naming:
    def affine(name: str) -> Theirs:
        return _as(name, way, weight="alpha", bias="beta")

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


def _pool_former(norms: str, scales: str, mlp: tuple[str, str]) -> dict[str, str | Theirs]:
    """`norms` and `scales` hold a place for 1 or 2."""
    return {
        "mix.0": norms.format(1),
        "mlp.0": norms.format(2),
        "mix.2.scale": scales.format(1),
        "mlp.2.scale": scales.format(2),
        "mlp.1.0": _as(mlp[0], "pointwise"),
        "mlp.1.2": _as(mlp[1], "pointwise"),
    }


_MLP_NAMES = ("mlp.fc1", "mlp.fc2")
_OFFICIAL_POOLFORMER = Naming(
    stem={"conv": "patch_embed.proj"},
    embedding={"conv": "network.{down}.proj", "position": _as("network.{table}.pos_embed", "map")},
    block="network.{body}.{b}",
    inside={
        **_pool_former("norm{}", "layer_scale_{}", _MLP_NAMES),
        "mix.1.qkv": "token_mixer.qkv",
        "mix.1.out": "token_mixer.proj",
        "mix.1.linear": "token_mixer.fc",
    },
    end=_END,
)
_TIMM_POOLFORMER = Naming(
    stem={"conv": "stem.conv"},
    embedding={"conv": "stages.{s}.downsample.conv"},
    block="stages.{s}.blocks.{b}",
    inside=_pool_former("norm{}", "layer_scale{}.scale", _MLP_NAMES),
    end={"norm": "head.norm", "classifier": "head.fc"},
)
_HF_POOLFORMER = Naming(
    stem={"conv": "poolformer.encoder.patch_embeddings.{s}.projection"},
    block="poolformer.encoder.block.{s}.{b}",
    inside={
        **_pool_former("{}", "layer_scale_{}", ("output.conv1", "output.conv2")),
        "mix.0": "before_norm",
        "mlp.0": "after_norm",
    },
    end={"norm": "norm", "classifier": "classifier"},
)


def _baseline(*, timm: bool) -> Naming:
    def inside(block: Block) -> Table:
        way = "pointwise" if timm and not isinstance(block.mixer, Attention) else "same"
        return {
            **_NORMS,
            "mix_residual.scale": "res_scale1.scale",
            "mlp_residual.scale": "res_scale2.scale",
            "mlp.1.0": _as("mlp.fc1", way),
            "mlp.1.1": "mlp.act",
            "mlp.1.2": _as("mlp.fc2", way),
            "mix.1.widen": _as("token_mixer.pwconv1", way),
            "mix.1.activation": "token_mixer.act1",
            "mix.1.spatial.conv": "token_mixer.dwconv",
            "mix.1.narrow": _as("token_mixer.pwconv2", way),
            "mix.1.qkv": "token_mixer.qkv",
            "mix.1.out": "token_mixer.proj",
            "mix.1.matrix": "token_mixer.random_matrix",
        }

    head = "head.fc" if timm else "head"
    down = "stages.{s}.downsample." if timm else "downsample_layers.{s}."
    return Naming(
        stem={"conv": "stem.conv", "norm": "stem.norm"}
        if timm
        else {"conv": "downsample_layers.0.conv", "norm": "downsample_layers.0.post_norm"},
        embedding={"conv": down + "conv", "norm": down + ("norm" if timm else "pre_norm")},
        block="stages.{s}.blocks.{b}" if timm else "stages.{s}.{b}",
        inside=inside,
        end={
            "norm": "head.norm" if timm else "norm",
            "classifier.0": f"{head}.fc1",
            "classifier.2": f"{head}.norm",
            "classifier.3": f"{head}.fc2",
            "classifier": head,
        },
    )


_CVT = Naming(
    stem={
        "conv": "stage{s}.patch_embed.proj",
        "norm": "stage{s}.patch_embed.norm",
        "class_token": "stage{s}.cls_token",
    },
    block="stage{s}.blocks.{b}",
    inside={
        **_NORMS,
        **{f"mix.1.{part}.conv": f"attn.conv_proj_{part}.conv" for part in "qkv"},
        **{f"mix.1.{part}.norm": f"attn.conv_proj_{part}.bn" for part in "qkv"},
        **{f"mix.1.{part}.linear": f"attn.proj_{part}" for part in "qkv"},
        "mix.1.out": "attn.proj",
        **_MLP,
    },
    end=_END,
)
_HF_CVT_PARTS = {"q": "query", "k": "key", "v": "value"}
_HF_CONV = "attention.attention.convolution_projection_{}.convolution_projection."
_HF_CVT = Naming(
    stem={
        "conv": "cvt.encoder.stages.{s}.embedding.convolution_embeddings.projection",
        "norm": "cvt.encoder.stages.{s}.embedding.convolution_embeddings.normalization",
        "class_token": "cvt.encoder.stages.{s}.cls_token",
    },
    block="cvt.encoder.stages.{s}.layers.{b}",
    inside={
        "mix.0": "layernorm_before",
        "mlp.0": "layernorm_after",
        **{f"mix.1.{part}.conv": _HF_CONV.format(name) + "convolution" for part, name in _HF_CVT_PARTS.items()},
        **{f"mix.1.{part}.norm": _HF_CONV.format(name) + "normalization" for part, name in _HF_CVT_PARTS.items()},
        **{f"mix.1.{part}.linear": f"attention.attention.projection_{name}" for part, name in _HF_CVT_PARTS.items()},
        "mix.1.out": "attention.output.dense",
        "mlp.1.0": "intermediate.dense",
        "mlp.1.2": "output.dense",
    },
    end={"norm": "layernorm", "classifier": "classifier"},
)


def _std_norm(name: str) -> Theirs:
    return _as(name, "channel", weight="g", bias="b")


_VIT_PYTORCH_CVT = Naming(
    stem={"conv": "layers.{s}.0", "norm": _std_norm("layers.{s}.1")},
    block="layers.{s}.2.layers.{b}",
    inside={
        "mix.0": _std_norm("0.norm"),
        "mlp.0": _std_norm("1.norm"),
        **{f"mix.1.{part}.conv": f"0.fn.to_{part}.net.0" for part in ("q", "kv")},
        **{f"mix.1.{part}.norm": f"0.fn.to_{part}.net.1" for part in ("q", "kv")},
        **{f"mix.1.{part}.linear": _as(f"0.fn.to_{part}.net.2", "pointwise") for part in ("q", "kv")},
        "mix.1.out": _as("0.fn.to_out.0", "pointwise"),
        "mlp.1.0": _as("1.fn.net.0", "pointwise"),
        "mlp.1.2": _as("1.fn.net.3", "pointwise"),
    },
    end={"classifier": "layers.5"},
)


def _pvt(block: Block) -> Table:
    reduced = isinstance(block.mixer, Attention) and block.mixer.reduction > 1
    own: Table = (
        {"mix.1.q": "attn.q", "mix.1.kv": "attn.kv", "mix.1.reduce": "attn.sr", "mix.1.norm": "attn.norm"}
        if reduced
        else {"mix.1.qkv": _fused("attn.q", "attn.kv", shares=(1, 2))}
    )
    return {**_NORMS, **own, "mix.1.out": "attn.proj", **_MLP}


def _hf_pvt(block: Block) -> Table:
    reduced = isinstance(block.mixer, Attention) and block.mixer.reduction > 1
    own = "attention.self."
    keys = (own + "key", own + "value")
    projections: Table = (
        {
            "mix.1.q": own + "query",
            "mix.1.kv": _fused(*keys),
            "mix.1.reduce": own + "sequence_reduction",
            "mix.1.norm": own + "layer_norm",
        }
        if reduced
        else {"mix.1.qkv": _fused(own + "query", *keys)}
    )
    return {
        "mix.0": "layer_norm_1",
        "mlp.0": "layer_norm_2",
        **projections,
        "mix.1.out": "attention.output.dense",
        "mlp.1.0": "mlp.dense1",
        "mlp.1.2": "mlp.dense2",
    }


_PVT = Naming(
    stem={
        "conv": "patch_embed{s1}.proj",
        "norm": "patch_embed{s1}.norm",
        "position": "pos_embed{s1}",
        "class_token": "cls_token",
    },
    block="block{s1}.{b}",
    inside=_pvt,
    end=_END,
)
_HF_PVT_STEM = "pvt.encoder.patch_embeddings.{s}."
_HF_PVT = Naming(
    stem={
        "conv": _HF_PVT_STEM + "projection",
        "norm": _HF_PVT_STEM + "layer_norm",
        "position": _HF_PVT_STEM + "position_embeddings",
        "class_token": _HF_PVT_STEM + "cls_token",
    },
    block="pvt.encoder.block.{s}.{b}",
    inside=_hf_pvt,
    end={"norm": "pvt.encoder.layer_norm", "classifier": "classifier"},
)

_HF_VIT = (
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
_BASELINES = {"timm": (_baseline(timm=True),), "official": (_baseline(timm=False),)}

NAMINGS: Mapping[str, Mapping[str, tuple[Naming, ...]]] = {
    "ConvMixer": {
        "timm": (_conv_mixer("blocks.{b}", ("stem.0", "stem.2"), "head"),),
        "official": (_conv_mixer("{b3}", ("0", "2"), "{end}"),),
    },
    "MLP-Mixer": {"timm": (_TIMM_MIXER,), "official": (_FLAX_MIXER,)},
    "gMLP": {"timm": (_TIMM_GMLP,)},
    "ResMLP": {
        "timm": (_res_mlp("stem.proj", "linear_tokens", "mlp_channels", ("ls1", "ls2"), "row"),),
        "official": (_res_mlp("patch_embed.proj", "attn", "mlp", ("gamma_1", "gamma_2"), "same"),),
    },
    "ViT": {"timm": (_VIT,), "transformers": _HF_VIT, "official": (_flax_vit(), _flax_vit("opt/target/"))},
    "DeiT": {"timm": (_VIT,), "transformers": _HF_VIT, "official": (_VIT,)},
    "PVT": {"transformers": (_HF_PVT,), "official": (_PVT,)},
    "PoolFormer": {
        "timm": (_TIMM_POOLFORMER,),
        "transformers": (_HF_POOLFORMER,),
        "official": (_OFFICIAL_POOLFORMER,),
    },
    "MetaFormer": {"official": (_OFFICIAL_POOLFORMER,)},
    "IdentityFormer": {"official": _BASELINES["official"]},
    "RandFormer": {"official": _BASELINES["official"]},
    "PoolFormerV2": _BASELINES,
    "ConvFormer": _BASELINES,
    "CAFormer": _BASELINES,
    "CvT": {"transformers": (_HF_CVT,), "official": (_CVT, _VIT_PYTORCH_CVT)},
}
