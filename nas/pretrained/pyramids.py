"""The names of the pyramids: PoolFormer, the MetaFormer baselines, CvT and PVT."""

from __future__ import annotations

from nas.architecture import Block
from nas.mixers import Attention
from nas.pretrained.naming import END, MLP, NORMS, Naming, Table, Theirs, at, fused


def _pool_former(norms: str, scales: str, mlp: tuple[str, str]) -> dict[str, str | Theirs]:
    """`norms` and `scales` hold a place for 1 or 2."""
    return {
        "mix.0": norms.format(1),
        "mlp.0": norms.format(2),
        "mix.2.scale": scales.format(1),
        "mlp.2.scale": scales.format(2),
        "mlp.1.0": at(mlp[0], "pointwise"),
        "mlp.1.2": at(mlp[1], "pointwise"),
    }


_MLP_NAMES = ("mlp.fc1", "mlp.fc2")
OFFICIAL_POOLFORMER = Naming(
    stem={"conv": "patch_embed.proj"},
    embedding={"conv": "network.{down}.proj", "position": at("network.{table}.pos_embed", "map")},
    block="network.{body}.{b}",
    inside={
        **_pool_former("norm{}", "layer_scale_{}", _MLP_NAMES),
        "mix.1.qkv": "token_mixer.qkv",
        "mix.1.out": "token_mixer.proj",
        "mix.1.linear": "token_mixer.fc",
    },
    end=END,
)
TIMM_POOLFORMER = Naming(
    stem={"conv": "stem.conv"},
    embedding={"conv": "stages.{s}.downsample.conv"},
    block="stages.{s}.blocks.{b}",
    inside=_pool_former("norm{}", "layer_scale{}.scale", _MLP_NAMES),
    end={"norm": "head.norm", "classifier": "head.fc"},
)
HF_POOLFORMER = Naming(
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
            **NORMS,
            "mix_residual.scale": "res_scale1.scale",
            "mlp_residual.scale": "res_scale2.scale",
            "mlp.1.0": at("mlp.fc1", way),
            "mlp.1.1": "mlp.act",
            "mlp.1.2": at("mlp.fc2", way),
            "mix.1.widen": at("token_mixer.pwconv1", way),
            "mix.1.activation": "token_mixer.act1",
            "mix.1.spatial.conv": "token_mixer.dwconv",
            "mix.1.narrow": at("token_mixer.pwconv2", way),
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


CVT = Naming(
    stem={
        "conv": "stage{s}.patch_embed.proj",
        "norm": "stage{s}.patch_embed.norm",
        "class_token": "stage{s}.cls_token",
    },
    block="stage{s}.blocks.{b}",
    inside={
        **NORMS,
        **{f"mix.1.{part}.conv": f"attn.conv_proj_{part}.conv" for part in "qkv"},
        **{f"mix.1.{part}.norm": f"attn.conv_proj_{part}.bn" for part in "qkv"},
        **{f"mix.1.{part}.linear": f"attn.proj_{part}" for part in "qkv"},
        "mix.1.out": "attn.proj",
        **MLP,
    },
    end=END,
)
_HF_CVT_PARTS = {"q": "query", "k": "key", "v": "value"}
_HF_CONV = "attention.attention.convolution_projection_{}.convolution_projection."
HF_CVT = Naming(
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
    return at(name, "channel", weight="g", bias="b")


VIT_PYTORCH_CVT = Naming(
    stem={"conv": "layers.{s}.0", "norm": _std_norm("layers.{s}.1")},
    block="layers.{s}.2.layers.{b}",
    inside={
        "mix.0": _std_norm("0.norm"),
        "mlp.0": _std_norm("1.norm"),
        **{f"mix.1.{part}.conv": f"0.fn.to_{part}.net.0" for part in ("q", "kv")},
        **{f"mix.1.{part}.norm": f"0.fn.to_{part}.net.1" for part in ("q", "kv")},
        **{f"mix.1.{part}.linear": at(f"0.fn.to_{part}.net.2", "pointwise") for part in ("q", "kv")},
        "mix.1.out": at("0.fn.to_out.0", "pointwise"),
        "mlp.1.0": at("1.fn.net.0", "pointwise"),
        "mlp.1.2": at("1.fn.net.3", "pointwise"),
    },
    end={"classifier": "layers.5"},
)


def _pvt(block: Block) -> Table:
    reduced = isinstance(block.mixer, Attention) and block.mixer.reduction > 1
    own: Table = (
        {"mix.1.q": "attn.q", "mix.1.kv": "attn.kv", "mix.1.reduce": "attn.sr", "mix.1.norm": "attn.norm"}
        if reduced
        else {"mix.1.qkv": fused("attn.q", "attn.kv", shares=(1, 2))}
    )
    return {**NORMS, **own, "mix.1.out": "attn.proj", **MLP}


def _hf_pvt(block: Block) -> Table:
    reduced = isinstance(block.mixer, Attention) and block.mixer.reduction > 1
    own = "attention.self."
    keys = (own + "key", own + "value")
    projections: Table = (
        {
            "mix.1.q": own + "query",
            "mix.1.kv": fused(*keys),
            "mix.1.reduce": own + "sequence_reduction",
            "mix.1.norm": own + "layer_norm",
        }
        if reduced
        else {"mix.1.qkv": fused(own + "query", *keys)}
    )
    return {
        "mix.0": "layer_norm_1",
        "mlp.0": "layer_norm_2",
        **projections,
        "mix.1.out": "attention.output.dense",
        "mlp.1.0": "mlp.dense1",
        "mlp.1.2": "mlp.dense2",
    }


PVT = Naming(
    stem={
        "conv": "patch_embed{s1}.proj",
        "norm": "patch_embed{s1}.norm",
        "position": "pos_embed{s1}",
        "class_token": "cls_token",
    },
    block="block{s1}.{b}",
    inside=_pvt,
    end=END,
)
_HF_PVT_STEM = "pvt.encoder.patch_embeddings.{s}."
HF_PVT = Naming(
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

BASELINES = {"timm": (_baseline(timm=True),), "official": (_baseline(timm=False),)}
