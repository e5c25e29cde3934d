"""Logits equal to the formulas of the papers over weights in the official repositories' names.

The formulas (`references`) read what we write. Where timm ships a reader of official checkpoints, it reads it too.
"""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from parity import oracles, references
from torch.nn import functional

from nas import build, pretrained
from nas.mixers import Attention, Identity, Pooling, RandomMixing, SeparableConv
from nas.zoo.families import conv_mixer, cvt, cvt_cifar10, mlp_mixer, pvt, res_mlp, vit
from nas.zoo.metaformer import baseline, hybrid, pool_former

SIDE, CLASSES = 64, 11
WIDTHS, DEPTHS = (32, 64, 96, 128), (1, 2, 2, 1)
CONVOLUTION = SeparableConv(kernel=7, activation="star_relu", bias=False)
ATTENTION = Attention(head_width=32, qkv_bias=False, out_bias=False)
BASELINES = {
    "IdentityFormer": (Identity(),) * 4,
    "RandFormer": (Identity(), Identity(), RandomMixing(), RandomMixing()),
    "PoolFormerV2": (Pooling(),) * 4,
    "ConvFormer": (CONVOLUTION,) * 4,
    "CAFormer": (CONVOLUTION, CONVOLUTION, ATTENTION, ATTENTION),
}


def small_hybrid(letters):
    """The published hybrid with narrow stages of two blocks."""
    whole = hybrid(letters)
    stages = [
        dataclasses.replace(stage, width=width, blocks=stage.blocks[:2])
        for stage, width in zip(whole.stages, WIDTHS, strict=True)
    ]
    return dataclasses.replace(whole, stages=tuple(stages), resolution=SIDE)


def plainly(reference):
    """The formula with identity, and not pooling, in the blocks whose mixer has no weights."""
    return lambda state, images: reference(state, images, plain="identity")


def relu_conv_mixer(state, images):
    return references.conv_mixer(state, images, activation=functional.relu)


def cvt_of_stride_1(state, images):
    return references.cvt(state, images, kv_stride=1)


CASES = {
    "ConvMixer": ("ConvMixer", lambda: conv_mixer(48, 3, kernel=9, patch=7, resolution=SIDE), references.conv_mixer),
    "ConvMixer with ReLU": (
        "ConvMixer", lambda: conv_mixer(48, 3, kernel=7, patch=7, resolution=SIDE, activation="relu"), relu_conv_mixer,
    ),
    "ConvMixer with an even kernel": (
        "ConvMixer", lambda: conv_mixer(48, 2, kernel=8, patch=7, resolution=SIDE), references.conv_mixer,
    ),
    "MLP-Mixer": ("MLP-Mixer", lambda: mlp_mixer(96, 3, patch=16, resolution=SIDE), references.flax_mixer),
    "ResMLP": ("ResMLP", lambda: res_mlp(64, 3, layer_scale=0.1, resolution=SIDE), references.res_mlp),
    "PoolFormer": (
        "PoolFormer", lambda: pool_former(WIDTHS, DEPTHS, layer_scale=0.1, resolution=SIDE), references.pool_former,
    ),
    "MetaFormer iiii": ("MetaFormer", lambda: small_hybrid("iiii"), plainly(references.pool_former)),
    **{
        f"MetaFormer {letters}": ("MetaFormer", lambda letters=letters: small_hybrid(letters), references.pool_former)
        for letters in ("pppa", "ppaa", "pppf", "ppff")
    },
    **{
        family: (
            family, lambda mixers=mixers: baseline(mixers, WIDTHS, DEPTHS, resolution=SIDE),
            plainly(references.baseline) if Identity() in mixers else references.baseline,
        )
        for family, mixers in BASELINES.items()
    },
    "CvT": ("CvT", lambda: cvt((64, 128, 192), (1, 2, 2), resolution=SIDE), references.cvt),
    "CvT with keys at stride 1": (
        "CvT", lambda: cvt((64, 128, 192), (1, 2, 2), kv_strides=(1, 1, 1), resolution=SIDE), cvt_of_stride_1,
    ),
    "CvT of CIFAR-10": ("CvT", cvt_cifar10, references.cifar_cvt),
    "PVT": ("PVT", lambda: pvt((1, 2, 2, 1), resolution=SIDE), references.pvt),
}  # fmt: skip


@pytest.fixture(autouse=True)
def on_one_thread():
    """Small networks: threads that wait for each other would take most of the time on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Watched(dict):
    """A state dict that knows which of its tensors were read."""

    def __init__(self, state):
        super().__init__(state)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.read |= {name} & self.keys()
        return super().get(name, default)


def written(case):
    """Our model with random weights, the same weights in the official names, and what the case says."""
    family, make, reference = CASES[case]
    architecture = make()
    ours = oracles.randomise(build(architecture, num_classes=CLASSES).eval(), seed=1)
    return ours, pretrained.translate_back(ours, family, "official"), family, reference


def some_images(architecture):
    side = architecture.resolution
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_formula_over_all_that_we_write(case):
    ours, state, _, reference = written(case)
    images = some_images(ours.architecture)
    wide = {name: value.double() for name, value in state.items()}
    watched = Watched(state)

    with torch.no_grad():
        single = oracles.difference(oracles.logits(ours, images), reference(watched, images))
        double = oracles.difference(oracles.logits(ours.double(), images.double()), reference(wide, images.double()))

    assert single < 1e-5
    assert double < 1e-12
    assert {name for name in state if not name.endswith("num_batches_tracked")} == watched.read


@pytest.mark.parametrize("source", ["official", None])
@pytest.mark.parametrize("case", CASES)
def test_what_we_write_is_read_as_it_was(case, source):
    ours, state, family, _ = written(case)

    again = pretrained.load_as(ours.architecture, family, state, source)

    assert again.num_classes == CLASSES
    assert not again.training
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


# -- timm's readers of official checkpoints ------------------------------------------------------------------------------

STAGED = {"depths": list(DEPTHS), "dims": list(WIDTHS)}
TIMM_READS = {
    "ResMLP": ("resmlp_12_224", {"embed_dim": 64, "num_blocks": 3, "img_size": SIDE}, lambda model: model),
    "PoolFormer": ("poolformer_s12", STAGED, oracles.published_poolformer_head),
    "PoolFormerV2": ("poolformerv2_s12", STAGED, lambda model: model),
    "ConvFormer": ("convformer_s18", STAGED, oracles.published_head_eps),
    "CAFormer": ("caformer_s18", STAGED, oracles.published_head_eps),
}


@pytest.mark.parametrize("case", TIMM_READS)
def test_timm_converts_what_we_write_to_the_same_network(case):
    ours, state, _, _ = written(case)
    name, options, patch = TIMM_READS[case]
    theirs = oracles.timm_model(name, num_classes=CLASSES, **options)
    converted = sys.modules[type(theirs).__module__].checkpoint_filter_fn(state, theirs)

    theirs.load_state_dict(converted)

    images = some_images(ours.architecture).double()
    expected = oracles.logits(patch(theirs).double(), images)
    assert oracles.difference(oracles.logits(ours.double(), images), expected) < 1e-12


def flax_vit(model, prefix):
    """Our ViT as google-research/vision_transformer saves it, head by head."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    width = model.places[-1].width
    heads = width // model.architecture.stages[0].blocks[0].mixer.head_width
    flax = {
        "cls": state["stages.0.0.class_token"],
        "embedding/kernel": np.einsum("oihw->hwio", state["stages.0.0.conv.weight"]),
        "embedding/bias": state["stages.0.0.conv.bias"],
        "Transformer/posembed_input/pos_embedding": state["stages.0.0.position"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["classifier.weight"].T,
        "head/bias": state["classifier.bias"],
    }
    for index in range(len(model.architecture.stages[0].blocks)):
        ours, theirs = f"stages.0.{index + 1}", f"Transformer/encoderblock_{index}"
        for part, norm in (("mix", "LayerNorm_0"), ("mlp", "LayerNorm_2")):
            flax[f"{theirs}/{norm}/scale"] = state[f"{ours}.{part}.0.weight"]
            flax[f"{theirs}/{norm}/bias"] = state[f"{ours}.{part}.0.bias"]
        attention, mlp = f"{theirs}/MultiHeadDotProductAttention_1", f"{theirs}/MlpBlock_3"
        for which, rows in zip(("query", "key", "value"), np.arange(3 * width).reshape(3, heads, -1), strict=True):
            weight, bias = state[f"{ours}.mix.1.qkv.weight"], state[f"{ours}.mix.1.qkv.bias"]
            flax[f"{attention}/{which}/kernel"] = np.moveaxis(weight[rows], 2, 0)  # (in, heads, d)
            flax[f"{attention}/{which}/bias"] = bias[rows]
        columns = np.arange(width).reshape(heads, -1)
        flax[f"{attention}/out/kernel"] = np.moveaxis(state[f"{ours}.mix.1.out.weight"][:, columns], 0, 2)
        flax[f"{attention}/out/bias"] = state[f"{ours}.mix.1.out.bias"]
        for theirs_dense, ours_linear in (("Dense_0", "mlp.1.0"), ("Dense_1", "mlp.1.2")):
            flax[f"{mlp}/{theirs_dense}/kernel"] = state[f"{ours}.{ours_linear}.weight"].T
            flax[f"{mlp}/{theirs_dense}/bias"] = state[f"{ours}.{ours_linear}.bias"]
    return {prefix + name: value for name, value in flax.items()}


@pytest.mark.parametrize("prefix", ["", "opt/target/"])
def test_a_vit_of_flax_is_read_as_timm_reads_it(prefix, tmp_path):
    model = oracles.randomise(build(vit(96, 3, head_width=32, resolution=SIDE), num_classes=CLASSES).eval(), seed=1)
    np.savez(tmp_path / "vit.npz", **flax_vit(model, prefix))
    theirs = oracles.timm_model("vit_tiny_patch16_224", embed_dim=96, depth=3, num_classes=CLASSES, img_size=SIDE)

    ours = pretrained.load_as(model.architecture, "ViT", pretrained.read(tmp_path / "vit.npz"), "official")
    theirs.load_pretrained(str(tmp_path / "vit.npz"))

    for name, value in model.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=0)
    images = some_images(model.architecture).double()
    expected = oracles.logits(theirs.double(), images)
    assert oracles.difference(oracles.logits(ours.double(), images), expected) < 1e-12
