"""The published networks: what is known of them, what tells them apart, and their families at any scale."""

import functools

import pytest
import torch
from torch import nn

from nas import zoo
from nas.costs import cost
from nas.errors import InputError
from nas.layers.blocks import Branch
from nas.layers.common import Affine, StarReLU, StdLayerNorm
from nas.model import build

# Top-1 in per cent as reported, on ImageNet-1k or CIFAR-10: the readmes of locuslab/convmixer and convmixer-cifar10, arXiv
# 2105.01601 table 3 (MLP-Mixer, ViT-B/16), 2105.08050, 2105.03404, 2012.12877, 2102.12122, 2103.15808 tables 3 and 7 (CvT,
# ViT-B/16 at 384), the readme of pprp/pytorch-cifar-model-zoo, 2111.11418 tables 1 and 5, the readme of sail-sg/metaformer.
TOP1 = {
    "convmixer-1536-20": 81.37, "convmixer-768-32": 80.16, "convmixer-1024-20": 76.94,
    "convmixer-256-8-cifar10": 92.5,
    "mixer-s32": 68.7, "mixer-s16": 73.83, "mixer-b32": 75.53, "mixer-b16": 76.44, "mixer-l32": 80.67,
    "mixer-l16": 71.76,
    "gmlp-ti16": 72.3, "gmlp-s16": 79.6, "gmlp-b16": 81.6,
    "resmlp-s12": 76.6, "resmlp-s24": 79.4, "resmlp-s36": 79.7, "resmlp-b24-16": 81.0, "resmlp-b24-8": 81.0,
    "deit-tiny": 72.2, "deit-small": 79.8, "deit-base": 81.8,
    "vit-b16": 79.67, "vit-b16-384": 77.9,
    "pvt-tiny": 75.1, "pvt-small": 79.8, "pvt-medium": 81.2, "pvt-large": 81.7,
    "cvt-13": 81.6, "cvt-21": 82.5, "cvt-13-384": 83.0, "cvt-21-384": 83.3, "cvt-w24": 87.7, "cvt-13-kv1": 82.3,
    "cvt-13-nas": None, "cvt-cifar10": 84.74,
    "poolformer-s12": 77.2, "poolformer-s24": 80.3, "poolformer-s36": 81.4, "poolformer-m36": 82.1,
    "poolformer-m48": 82.5,
    "metaformer-iiii-s12": 74.3, "metaformer-pppa-s12": 78.3, "metaformer-ppaa-s12": 81.0,
    "metaformer-pppf-s12": 77.5, "metaformer-ppff-s12": 77.9, "metaformer-rrrr-s12": 75.8,
    "metaformer-dddd-s12": 78.1,
    "identityformer-s12": 74.6, "identityformer-s24": 78.2, "identityformer-s36": 79.3, "identityformer-m36": 80.0,
    "identityformer-m48": 80.4,
    "randformer-s12": 76.6, "randformer-s24": 78.2, "randformer-s36": 79.5, "randformer-m36": 81.2,
    "randformer-m48": 81.4,
    "poolformerv2-s12": 78.0, "poolformerv2-s24": 80.7, "poolformerv2-s36": 81.6, "poolformerv2-m36": 82.2,
    "poolformerv2-m48": 82.6,
    "convformer-s18": 83.0, "convformer-s18-384": 84.4, "convformer-s36": 84.1, "convformer-s36-384": 85.4,
    "convformer-m36": 84.5, "convformer-m36-384": 85.6, "convformer-b36": 84.8, "convformer-b36-384": 85.7,
    "caformer-s18": 83.6, "caformer-s18-384": 85.0, "caformer-s36": 84.5, "caformer-s36-384": 85.7,
    "caformer-m36": 85.2, "caformer-m36-384": 86.2, "caformer-b36": 85.5, "caformer-b36-384": 86.4,
}  # fmt: skip
FAMILIES = {family.name: family for family in zoo.FAMILIES}
LIMITS = {8: 30_000, 28: 100_000, 32: 200_000, 64: 500_000, 224: 3_000_000}


def within(limit, classes=10):
    return lambda architecture: cost(architecture, num_classes=classes).params <= limit


# -- what is known of them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [zoo.get, zoo.entry])
def test_an_unknown_name_lists_the_nearest_and_the_command_that_lists_all(ask):
    name = "cvt13"

    with pytest.raises(
        InputError,
        match=rf"^unknown architecture 'cvt13': did you mean cvt-13 or .*\? `nas zoo` lists the {len(TOP1)} known ones$",
    ):
        ask(name)


@pytest.mark.parametrize("ask", [zoo.get, zoo.entry])
def test_a_name_like_none_names_the_command_that_lists_all(ask):
    name = "xyzzy"

    with pytest.raises(
        InputError, match=rf"^unknown architecture 'xyzzy': `nas zoo` lists the {len(TOP1)} known ones$"
    ):
        ask(name)


def test_published_networks_are_all_different_but_for_two_names_of_one():
    names = {}

    for name in zoo.names():
        names.setdefault(zoo.get(name).digest, []).append(name)

    assert len(zoo.names()) == len(TOP1)
    assert [twins for twins in names.values() if len(twins) > 1] == [["deit-base", "vit-b16"]]


@pytest.mark.parametrize("name", zoo.names())
def test_an_entry_says_what_was_reported_of_a_network_and_on_what(name):
    entry = zoo.entry(name)

    reported = entry.top1

    assert reported == TOP1[name]
    assert (entry.name, entry.make()) == (name, zoo.get(name))
    assert entry.classes == (10 if "CIFAR-10" in entry.trained else 1000)


@pytest.mark.parametrize("name", [name for name in zoo.names() if name.endswith("-384")])
def test_a_network_tuned_at_384_is_the_one_of_224_at_that_resolution(name):
    entry, small = zoo.entry(name), zoo.entry(name.removesuffix("-384"))

    architecture = entry.make()

    assert architecture == small.make().at(384)
    assert (entry.family, entry.year, entry.source, entry.init) == (small.family, small.year, small.source, small.init)
    assert entry.top1 != small.top1


# -- what tells them apart -----------------------------------------------------------------------------------------------


@functools.cache
def on_meta(name):
    """The module without numbers."""
    with torch.device("meta"):
        return build(zoo.get(name), num_classes=zoo.entry(name).classes).eval()


@pytest.mark.parametrize("name", ["cvt-13", "cvt-21", "cvt-w24"])
def test_cvt_scales_its_scores_by_the_whole_width(name):
    model = on_meta(name)

    scales = [{block.mix[1].scale for block in stage[1:]} for stage in model.stages]

    assert scales == [{place.width**-0.5} for place in model.places]


def test_the_cifar_10_cvt_scales_its_scores_by_the_width_of_a_head():
    model = on_meta("cvt-cifar10")

    scales = [{block.mix[1].scale for block in stage[1:]} for stage in model.stages]

    assert scales == [{64**-0.5}] * 3


def test_cvt_13_has_a_class_token_in_its_last_stage_only_with_197_queries_and_50_keys():
    with torch.device("meta"):
        model, image, seen = build(zoo.get("cvt-13")).eval(), torch.empty(1, 3, 224, 224), {}
    for name, module in model.named_modules():
        if name.endswith((".q", ".k", ".v")):
            module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.shape[1]}))

    model(image)

    counts = [
        [{tokens for name, tokens in seen.items() if name.startswith(f"stages.{stage}.") and name[-1] == letter}]
        for stage in range(3)
        for letter in "qkv"
    ]
    assert counts == [[{3136}], [{784}], [{784}], [{784}], [{196}], [{196}], [{197}], [{50}], [{50}]]
    assert [name for name, _ in model.named_parameters() if "class_token" in name] == ["stages.2.0.class_token"]


def test_key_stride_1_changes_the_macs_of_cvt_13_but_not_its_parameters():
    strided, full = cost(zoo.get("cvt-13")), cost(zoo.get("cvt-13-kv1"))

    more = full.macs / strided.macs

    assert full.params == strided.params
    assert more == pytest.approx(6.643 / 4.566, rel=1e-3)


def test_the_attention_of_the_last_stage_of_the_cifar_10_cvt_has_one_key_and_so_ignores_its_queries():
    torch.manual_seed(0)
    model, images = build(zoo.get("cvt-cifar10"), num_classes=10).eval(), torch.randn(2, 3, 32, 32)
    keys, moved = [], []

    with torch.no_grad():
        logits = model(images)
        for stage, (width, side, _) in zip(model.stages, model.places, strict=True):
            mixers = [block.mix[1] for block in stage[1:]]
            keys.append(mixers[0].kv(torch.zeros(1, side * side, width)).shape[1])
            for mixer in mixers:
                mixer.q.linear.weight.mul_(-4)  # exact both ways
            moved.append(not torch.equal(model(images), logits))
            for mixer in mixers:
                mixer.q.linear.weight.div_(-4)

    assert keys == [16, 4, 1]
    assert moved == [True, True, False]


@pytest.mark.parametrize("name", ["convformer-s18", "caformer-s18", "identityformer-s12", "randformer-s12"])
def test_metaformer_baselines_scale_their_residuals_in_the_last_two_stages_and_no_branch(name):
    model = on_meta(name)

    counts = [sum(path.endswith("residual.scale") for path, _ in stage.named_parameters()) for stage in model.stages]

    assert counts == [0, 0, 2 * len(model.stages[2][1:]), 2 * len(model.stages[3][1:])]
    assert {len(module) for module in model.modules() if isinstance(module, Branch)} == {2}


@pytest.mark.parametrize("name", ["convformer-s18", "caformer-s18", "poolformerv2-s12"])
def test_the_blocks_of_metaformer_baselines_have_no_bias_but_that_of_star_relu(name):
    model = on_meta(name)

    biased = [
        path.rpartition(".")[0]
        for stage in model.stages
        for block in stage[1:]
        for path, parameter in block.named_parameters()
        if path.endswith("bias") and not isinstance(block.get_submodule(path.rpartition(".")[0]), StarReLU)
    ]

    assert biased == []


@pytest.mark.parametrize("name", ["resmlp-s12", "resmlp-b24-8"])
def test_resmlp_has_affine_transforms_and_no_statistics_anywhere(name):
    kinds = {type(module) for module in on_meta(name).modules()}

    statistics = [
        kind for kind in kinds if issubclass(kind, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm1d | StdLayerNorm)
    ]

    assert statistics == []
    assert Affine in kinds


@pytest.mark.parametrize(
    ("name", "eps"),
    [
        ("mixer-b16", [1e-6]), ("gmlp-s16", [1e-5, 1e-6]), ("deit-tiny", [1e-6]), ("vit-b16-384", [1e-6]),
        ("pvt-tiny", [1e-6, 1e-5]), ("cvt-13", [1e-5]), ("cvt-cifar10", [1e-5]), ("poolformer-s12", [1e-5]),
        ("convmixer-768-32", [1e-5]), ("identityformer-s12", [1e-6]), ("convformer-s18", [1e-6, 1e-5]),
    ],
)  # fmt: skip
def test_norms_have_the_eps_of_the_released_code(name, eps):
    norms = {path: module.eps for path, module in on_meta(name).named_modules() if hasattr(module, "eps")}

    of_blocks = {value for path, value in norms.items() if ".mix.0" in path or ".mlp.0" in path}
    assert set(norms.values()) == set(eps)
    assert of_blocks in ({min(eps)}, set())


def test_the_random_matrices_of_randformer_are_in_its_last_two_stages():
    model = on_meta("randformer-s12")

    frozen = {
        path.split(".")[1]: tuple(table.shape) for path, table in model.named_parameters() if not table.requires_grad
    }

    assert frozen == {"2": (196, 196), "3": (49, 49)}


@pytest.mark.parametrize(
    ("name", "stages"),
    [("metaformer-ppaa-s12", [2]), ("metaformer-pppa-s12", [3]), ("metaformer-ppff-s12", []), ("deit-tiny", [0])],
)
def test_positions_join_where_attention_begins(name, stages):
    positions = [index for index, stage in enumerate(zoo.get(name).stages) if stage.position == "learned"]

    assert positions == stages


# -- the families at any scale -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_the_published_member_of_a_family_is_in_the_zoo(name):
    family = FAMILIES[name]

    published = zoo.get(family.published)

    member = family.make(family.unit * 12, family.depths[-1], published.resolution)
    kinds = {block.mixer.kind for stage in published.stages for block in stage.blocks}
    assert {block.mixer.kind for stage in member.stages for block in stage.blocks} == kinds
    assert member.head == published.head


@pytest.mark.parametrize("resolution", LIMITS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_scaled_member_stays_within_its_limit_and_uses_it(name, resolution):
    limit = LIMITS[resolution]

    member = zoo.scaled(FAMILIES[name], resolution, within(limit))

    params = cost(member, num_classes=10).params
    assert member.resolution == resolution
    assert limit / 2 < params <= limit


@pytest.mark.parametrize("resolution", LIMITS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_scaled_member_is_built_and_gives_logits(name, resolution):
    member = zoo.scaled(FAMILIES[name], resolution, within(LIMITS[resolution]))

    with torch.device("meta"):
        model = build(member, num_classes=10)
        logits = model.eval()(torch.empty(2, 3, resolution, resolution))

    assert logits.shape == (2, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == cost(member, num_classes=10).params


@pytest.mark.parametrize("name", FAMILIES)
def test_a_limit_that_no_member_meets_gives_none(name):
    family = FAMILIES[name]

    member = zoo.scaled(family, 32, within(100))

    assert member is None


@pytest.mark.parametrize("name", FAMILIES)
def test_a_looser_limit_gives_no_smaller_member(name):
    family = FAMILIES[name]

    sizes = [
        cost(zoo.scaled(family, 32, within(limit)), num_classes=10).params
        for limit in (50_000, 100_000, 400_000, 1_600_000)
    ]

    assert sizes == sorted(sizes)
    assert sizes[-1] > 4 * sizes[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_largest_member_is_chosen_by_its_own_limit_whatever_else_costs(name):
    family, limit = FAMILIES[name], 2e6

    member = zoo.scaled(family, 28, lambda architecture: cost(architecture, num_classes=10).macs <= limit * 20)

    assert cost(member, num_classes=10).macs <= limit * 20
    assert cost(member, num_classes=10).macs > limit
