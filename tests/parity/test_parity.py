"""Logits equal to those of the libraries, weights translated both ways, for every family that they ship.

Their models get random weights in every parameter and buffer; deviations of a library from the published model are
patched by name (`oracles`). Compared in float64, where a wrong epsilon shows, and in float32.
"""

import pytest
import torch
from parity import oracles

from nas import pretrained
from nas.mixers import Attention, Pooling, SeparableConv
from nas.zoo.families import conv_mixer, cvt, gated_mlp, mlp_mixer, pvt, res_mlp, vit
from nas.zoo.metaformer import baseline, pool_former

SIDE, CLASSES = 64, 11
WIDTHS, DEPTHS = (32, 64, 96, 128), (1, 2, 2, 1)
CONVOLUTION = SeparableConv(kernel=7, activation="star_relu", bias=False)
ATTENTION = Attention(head_width=32, qkv_bias=False, out_bias=False)
BASELINES = {
    "PoolFormerV2": (Pooling(),) * 4,
    "ConvFormer": (CONVOLUTION,) * 4,
    "CAFormer": (CONVOLUTION, CONVOLUTION, ATTENTION, ATTENTION),
}


def timm(name, **options):
    return oracles.timm_model(name, num_classes=CLASSES, **options)


def hf(kind, **config):
    return oracles.transformers_model(kind, num_labels=CLASSES, **config)


def hf_cvt():
    return hf("Cvt", embed_dim=[64, 192, 384], depth=[1, 2, 3], num_heads=[1, 3, 6], drop_path_rate=[0.0, 0.0, 0.0])


def hf_vit():
    return hf(
        "ViT", image_size=SIDE, hidden_size=96, num_hidden_layers=3, num_attention_heads=3, intermediate_size=384,
        layer_norm_eps=1e-6,
    )  # fmt: skip


def hf_poolformer():
    return hf("PoolFormer", hidden_sizes=list(WIDTHS), depths=list(DEPTHS))


def timm_baseline(name):
    return lambda: timm(
        f"{name}_s12" if name == "poolformerv2" else f"{name}_s18", depths=list(DEPTHS), dims=list(WIDTHS)
    )


PATCHES = {
    "PoolFormer, timm": oracles.published_poolformer_head,
    "ConvFormer, timm": oracles.published_head_eps,
    "CAFormer, timm": oracles.published_head_eps,
    "PVT, transformers": oracles.published_pvt_eps,
    "CvT, transformers": oracles.quick_gelu_cvt,
}
CASES = {
    "ConvMixer, timm": (
        "ConvMixer", "timm", lambda: conv_mixer(48, 3, kernel=9, patch=7, resolution=SIDE),
        lambda: timm("convmixer_1536_20", dim=48, depth=3),
    ),
    "ConvMixer with ReLU, timm": (
        "ConvMixer", "timm", lambda: conv_mixer(48, 3, kernel=7, patch=7, resolution=SIDE, activation="relu"),
        lambda: timm("convmixer_768_32", dim=48, depth=3),
    ),
    "MLP-Mixer, timm": (
        "MLP-Mixer", "timm", lambda: mlp_mixer(96, 3, patch=16, resolution=SIDE),
        lambda: timm("mixer_s16_224", embed_dim=96, num_blocks=3, img_size=SIDE),
    ),
    "gMLP, timm": (
        "gMLP", "timm", lambda: gated_mlp(64, 3, resolution=SIDE),
        lambda: timm("gmlp_ti16_224", embed_dim=64, num_blocks=3, img_size=SIDE),
    ),
    "ResMLP, timm": (
        "ResMLP", "timm", lambda: res_mlp(64, 3, layer_scale=0.1, resolution=SIDE),
        lambda: timm("resmlp_12_224", embed_dim=64, num_blocks=3, img_size=SIDE),
    ),
    "ViT, timm": (
        "ViT", "timm", lambda: vit(96, 3, head_width=32, resolution=SIDE),
        lambda: timm("vit_tiny_patch16_224", embed_dim=96, depth=3, img_size=SIDE),
    ),
    "DeiT, timm": (
        "DeiT", "timm", lambda: vit(96, 3, head_width=32, resolution=SIDE),
        lambda: timm("deit_tiny_patch16_224", embed_dim=96, depth=3, img_size=SIDE),
    ),
    "ViT, transformers": (
        "ViT", "transformers", lambda: vit(96, 3, head_width=32, resolution=SIDE), hf_vit,
    ),
    "PoolFormer, timm": (
        "PoolFormer", "timm", lambda: pool_former(WIDTHS, DEPTHS, layer_scale=0.1, resolution=SIDE),
        lambda: timm("poolformer_s12", depths=list(DEPTHS), dims=list(WIDTHS)),
    ),
    "PoolFormer, transformers": (
        "PoolFormer", "transformers", lambda: pool_former(WIDTHS, DEPTHS, layer_scale=0.1, resolution=SIDE),
        hf_poolformer,
    ),
    "PVT, transformers": (
        "PVT", "transformers", lambda: pvt((1, 2, 2, 1), resolution=SIDE),
        lambda: hf("Pvt", image_size=SIDE, depths=[1, 2, 2, 1]),
    ),
    "CvT, transformers": (
        "CvT", "transformers", lambda: cvt((64, 192, 384), (1, 2, 3), resolution=SIDE), hf_cvt,
    ),
    **{
        f"{family}, timm": (
            family, "timm", lambda mixers=mixers: baseline(mixers, WIDTHS, DEPTHS, resolution=SIDE),
            timm_baseline(family.lower()),
        )
        for family, mixers in BASELINES.items()
    },
}  # fmt: skip


def pair(case, seed=1):
    """Their randomised model, its state dict as it ships, and what the case says of ours."""
    family, source, architecture, make = CASES[case]
    theirs = oracles.randomise(make(), seed=seed)
    state = {key: value.clone() for key, value in theirs.state_dict().items()}
    return family, source, architecture(), PATCHES.get(case, lambda model: model)(theirs), state


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_library(case):
    family, source, architecture, theirs, state = pair(case)
    images = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))

    ours = pretrained.load_as(architecture, family, state, source)

    single = oracles.difference(oracles.logits(ours, images), oracles.logits(theirs, images))
    wide = images.double()
    double = oracles.difference(oracles.logits(ours.double(), wide), oracles.logits(theirs.double(), wide))
    assert single < 1e-5
    assert double < 1e-12


@pytest.mark.parametrize("case", CASES)
def test_weights_come_back_as_they_were(case):
    family, source, architecture, _, state = pair(case)

    back = pretrained.translate_back(pretrained.load_as(architecture, family, state), family, source)

    again = pretrained.load_as(architecture, family, back, source).state_dict()
    for key, value in pretrained.load_as(architecture, family, state, source).state_dict().items():
        torch.testing.assert_close(again[key], value, rtol=0, atol=0)
    if case != "ViT, transformers":  # in memory it names its parts otherwise than in its files; see below
        assert back.keys() == state.keys()
        for key, value in back.items():
            torch.testing.assert_close(value, state[key], rtol=0, atol=0)


def test_a_file_that_transformers_saved_is_read_and_written_by_its_names(tmp_path):
    family, source, architecture, theirs, state = pair("ViT, transformers")
    theirs.save_pretrained(tmp_path)
    saved = pretrained.read(tmp_path / "model.safetensors")

    ours = pretrained.load_as(architecture, family, saved)

    assert saved.keys() != state.keys()
    assert pretrained.translate_back(ours, family, source).keys() == saved.keys()
    for key, value in pretrained.load_as(architecture, family, state).state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=0, atol=0)
