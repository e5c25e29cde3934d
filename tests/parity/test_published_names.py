"""The names of every published network at full size, on the meta device: shapes without numbers."""

import pytest
import torch
from parity import oracles

from nas import pretrained, zoo
from nas.errors import InputError
from nas.pretrained.tables import NAMINGS

NOT_WRITTEN = {  # networks that a source has no names for, though it has the family; and what cannot be given back
    ("vit-b16", "official"): "ViT cannot be written by the names of official: .*query needs its heads",
    ("vit-b16-384", "official"): "ViT cannot be written by the names of official: .*query needs its heads",
    ("cvt-cifar10", "transformers"): "this model has parts that transformers has no names for in CvT",
    ("metaformer-rrrr-s12", "official"): "this model has parts that official has no names for in MetaFormer",
    ("metaformer-dddd-s12", "official"): "this model has parts that official has no names for in MetaFormer",
}
PAIRS = [
    (name, source)
    for name in zoo.names()
    for source in NAMINGS[zoo.entry(name).family]
    if (name, source) not in NOT_WRITTEN
]
SIZES = ("s12", "s24", "s36", "m36", "m48")
TIMM = {
    "convmixer-1536-20": "convmixer_1536_20",
    "convmixer-768-32": "convmixer_768_32",
    "convmixer-1024-20": "convmixer_1024_20_ks9_p14",
    **{f"mixer-{size}": f"mixer_{size}_224" for size in ("s32", "s16", "b32", "b16", "l32", "l16")},
    **{f"gmlp-{size}": f"gmlp_{size}_224" for size in ("ti16", "s16", "b16")},
    **{f"resmlp-s{depth}": f"resmlp_{depth}_224" for depth in (12, 24, 36)},
    "resmlp-b24-8": "resmlp_big_24_224",
    "vit-b16": "vit_base_patch16_224",
    "vit-b16-384": "vit_base_patch16_384",
    **{f"deit-{size}": f"deit_{size}_patch16_224" for size in ("tiny", "small", "base")},
    **{f"{family}-{size}": f"{family}_{size}" for family in ("poolformer", "poolformerv2") for size in SIZES},
    **{
        f"{family}-{size}{tuned}": f"{family}_{size}"  # timm's names of those tuned at 384 differ in the tag alone
        for family in ("convformer", "caformer")
        for size in ("s18", "s36", "m36", "b36")
        for tuned in ("", "-384")
    },
}
NOT_IN_TIMM = {"convmixer-256-8-cifar10", "resmlp-b24-16"}

SMALL = {"embed_dim": [64, 192, 384], "num_heads": [1, 3, 6]}
WIDE = {"embed_dim": [192, 768, 1024], "num_heads": [3, 12, 16]}
NARROW_POOLS, WIDE_POOLS = [64, 128, 320, 512], [96, 192, 384, 768]
TRANSFORMERS = {  # vit in memory has other names than in its files, which test_parity.py holds against each other
    "cvt-13": ("Cvt", {**SMALL, "depth": [1, 2, 10]}),
    "cvt-21": ("Cvt", {**SMALL, "depth": [1, 4, 16]}),
    "cvt-w24": ("Cvt", {**WIDE, "depth": [2, 2, 20]}),
    "pvt-tiny": ("Pvt", {"depths": [2, 2, 2, 2]}),
    "pvt-small": ("Pvt", {"depths": [3, 4, 6, 3]}),
    "pvt-medium": ("Pvt", {"depths": [3, 4, 18, 3]}),
    "pvt-large": ("Pvt", {"depths": [3, 8, 27, 3]}),
    "poolformer-s12": ("PoolFormer", {"hidden_sizes": NARROW_POOLS, "depths": [2, 2, 6, 2]}),
    "poolformer-s24": ("PoolFormer", {"hidden_sizes": NARROW_POOLS, "depths": [4, 4, 12, 4]}),
    "poolformer-s36": ("PoolFormer", {"hidden_sizes": NARROW_POOLS, "depths": [6, 6, 18, 6]}),
    "poolformer-m36": ("PoolFormer", {"hidden_sizes": WIDE_POOLS, "depths": [6, 6, 18, 6]}),
    "poolformer-m48": ("PoolFormer", {"hidden_sizes": WIDE_POOLS, "depths": [8, 8, 24, 8]}),
}


def written(name, source):
    return pretrained.translate_back(oracles.full_size(name), zoo.entry(name).family, source)


def shapes(state):
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize(("name", "source"), PAIRS)
def test_every_weight_has_one_name_of_its_own_and_is_read_by_it(name, source):
    ours = oracles.full_size(name).state_dict()

    theirs = written(name, source)
    with torch.device("meta"):
        again = pretrained.load(name, theirs, source)

    # of two tensors under one name one would be lost
    assert sum(value.numel() for value in theirs.values()) == sum(value.numel() for value in ours.values())
    assert shapes(again.state_dict()) == shapes(ours)


@pytest.mark.parametrize(("name", "source"), NOT_WRITTEN)
def test_what_a_source_has_no_names_for_is_not_written(name, source):
    with pytest.raises(InputError, match=f"^{NOT_WRITTEN[name, source]}"):
        written(name, source)


def test_every_network_that_timm_has_is_held_against_it():
    of_its_families = {name for name in zoo.names() if "timm" in NAMINGS[zoo.entry(name).family]}

    compared = TIMM.keys() | NOT_IN_TIMM

    assert compared == of_its_families


@pytest.mark.parametrize("name", TIMM)
def test_names_and_shapes_are_those_of_timm(name):
    expected = oracles.on_meta(oracles.timm_model, TIMM[name])

    ours = written(name, "timm")

    assert shapes(ours) == shapes(expected)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_names_and_shapes_are_those_of_transformers(name):
    kind, config = TRANSFORMERS[name]
    expected = oracles.on_meta(oracles.transformers_model, kind, num_labels=1000, **config)

    ours = written(name, "transformers")

    assert shapes(ours) == shapes(expected)
