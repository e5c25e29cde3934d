"""What cannot be built: geometry that does not fit and fields that contradict, each named by its path."""

import json

import pytest
from networks import network, patch, stage

from nas.architecture import Architecture, Block, Embedding, Stage
from nas.errors import ArchitectureError
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

# -- geometry ------------------------------------------------------------------------------------------------------------


def test_a_stride_larger_than_the_map_is_refused_with_its_path():
    stages = (stage(), stage(embedding=Embedding(kernel=3, stride=9, padding=1)))

    with pytest.raises(ArchitectureError, match=r"^stages\[1\]\.embedding\.stride: 9 is larger than the 8x8 map$"):
        network(*stages)


def test_a_kernel_that_does_not_fit_is_refused_with_its_path():
    stages = (stage(), stage(embedding=Embedding(kernel=13, stride=2, padding=2)))

    with pytest.raises(
        ArchitectureError, match=r"^stages\[1\]\.embedding\.kernel: 13 does not fit the 8x8 map with padding 2$"
    ):
        network(*stages)


def test_a_kernel_as_large_as_the_padded_map_fits():
    stages = (stage(), stage(embedding=Embedding(kernel=12, stride=2, padding=2)))

    architecture = network(*stages)

    assert [place.side for place in architecture.places] == [8, 1]


def test_a_padding_as_large_as_the_kernel_is_refused_with_its_path():
    bad = stage(embedding=Embedding(kernel=3, stride=2, padding=3))

    with pytest.raises(
        ArchitectureError, match=r"^stages\[0\]\.embedding\.padding: 3 is not smaller than the 3x3 kernel$"
    ):
        network(bad)


@pytest.mark.parametrize("mixer", [Attention(head_width=24), ConvAttention(head_width=24)])
def test_a_width_that_is_no_multiple_of_a_head_is_refused_with_its_path(mixer):
    bad = stage(Identity(), mixer, width=32)

    with pytest.raises(
        ArchitectureError,
        match=r"^stages\[0\]\.blocks\[1\]\.mixer\.head_width: 32 is not a multiple of 24, one attention head$",
    ):
        network(bad)


@pytest.mark.parametrize("field", ["q_stride", "kv_stride"])
def test_an_attention_stride_larger_than_the_map_is_refused_with_its_path(field):
    bad = stage(ConvAttention(head_width=16, **{field: 9}))

    with pytest.raises(
        ArchitectureError, match=rf"^stages\[0\]\.blocks\[0\]\.mixer\.{field}: 9 is larger than the 8x8 map$"
    ):
        network(bad)


@pytest.mark.parametrize("mixer", [
        Pooling(), DepthwiseConv(), SeparableConv(), TokenMlp(), TokenLinear(), RandomMixing(), GatedMlp(),
        MultiAxisMlp(block=2, grid=2),
    ],
)  # fmt: skip
def test_a_mixer_of_maps_refuses_a_class_token_with_its_path(mixer):
    bad = stage(mixer)

    with pytest.raises(
        ArchitectureError, match=rf"^stages\[0\]\.blocks\[0\]\.mixer: {mixer.kind} cannot mix a class token$"
    ):
        network(bad, pool="class_token")


@pytest.mark.parametrize("mixer", [Identity(), Attention(head_width=16), ConvAttention(head_width=16)])
def test_a_mixer_of_tokens_takes_a_class_token_in_the_last_stage(mixer):
    stages = (stage(Pooling()), stage(mixer, embedding=patch(2)))

    architecture = network(*stages, pool="class_token")

    assert [place.tokens for place in architecture.places] == [64, 17]


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_norm_over_tokens_with_a_class_token_is_refused_with_its_path(norm):
    bad = stage(Identity(), norm=norm)

    with pytest.raises(
        ArchitectureError,
        match=rf"^stages\[0\]\.blocks\[0\]\.norm: {norm} norm with a class token, which takes a norm of each token$",
    ):
        network(bad, pool="class_token")


def test_the_conv_mixer_layout_with_a_class_token_is_refused_with_its_path():
    bad = stage(Identity(), layout="conv_mixer", mlp_ratio=0)

    with pytest.raises(ArchitectureError, match=r"^stages\[0\]\.blocks\[0\]\.layout: conv_mixer with a class token$"):
        network(bad, pool="class_token")


def test_an_even_pooling_size_is_refused():
    size = 4

    with pytest.raises(ArchitectureError, match=r"^size: 4 is even, and an even size has no centre$"):
        Pooling(size=size)


@pytest.mark.parametrize(
    ("mixer", "field"), [(SeparableConv, "kernel"), (ConvAttention, "q_kernel"), (ConvAttention, "kv_kernel")]
)
def test_an_even_kernel_is_refused_where_a_centre_is_needed(mixer, field):
    fields = {field: 2}

    with pytest.raises(ArchitectureError, match=rf"^{field}: 2 is even"):
        mixer(**fields)


def test_the_conv_mixer_layout_takes_neither_an_mlp_ratio_nor_a_layer_scale():
    fields = {"mlp_ratio": 2, "layer_scale": 0.5}

    with pytest.raises(
        ArchitectureError,
        match=r"^mlp_ratio: 2\.0 in the conv_mixer layout.*; layer_scale: 0\.5 in the conv_mixer layout",
    ):
        Block(mixer=DepthwiseConv(), layout="conv_mixer", **fields)


def test_an_mlp_ratio_that_leaves_no_channel_is_refused_with_its_path():
    bad = stage(width=8, mlp_ratio=0.05)

    with pytest.raises(
        ArchitectureError, match=r"^stages\[0\]\.blocks\[0\]\.mlp_ratio: 0\.05 of width 8 leaves no hidden channel$"
    ):
        network(bad)


def test_geometry_faults_of_two_stages_come_together():
    stages = (
        stage(Identity(), Attention(head_width=24)),
        stage(ConvAttention(head_width=5), embedding=patch(2), width=64),
    )

    with pytest.raises(ArchitectureError) as caught:
        network(*stages)

    assert [path for path, _ in caught.value.faults] == [
        "stages[0].blocks[1].mixer.head_width",
        "stages[1].blocks[0].mixer.head_width",
    ]


def test_a_part_of_the_wrong_class_is_refused():
    blocks = (Block(mixer=Identity()), "attention")

    with pytest.raises(ArchitectureError, match=r"^blocks: item 1 is 'attention', not a Block$"):
        Stage(embedding=patch(), width=8, blocks=blocks)


def test_a_list_of_stages_is_refused_since_it_could_change():
    stages = [stage()]

    with pytest.raises(ArchitectureError, match=r"^stages: list is not a tuple of Stage$"):
        Architecture(resolution=32, stages=stages)


# -- norms, biases, scales and heads --------------------------------------------------------------------------------------


def faults_of(body):
    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_json(json.dumps(body))
    return caught.value.faults


def written(path, value, **root):
    """The JSON of a small network with `value` at `path`, by keys."""
    block = {"mixer": {"kind": "attention", "head_width": 8}}
    body = {
        "resolution": 8,
        "stages": [{"embedding": {"kernel": 2, "stride": 2}, "width": 16, "blocks": [block]}],
        "head": {},
        **root,
    }
    *keys, last = path
    part = body
    for key in keys:
        part = part[key]
    part[last] = value
    return body


BLOCK, EMBEDDING, HEAD = ("stages", 0, "blocks", 0), ("stages", 0, "embedding"), ("head",)
MIXER = (*BLOCK, "mixer")


def dotted(path):
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)[1:]


@pytest.mark.parametrize("value", [0, 1, 1.0, "true", "false", "", None, [True], {}], ids=repr)
@pytest.mark.parametrize(
    "path",
    [
        (*BLOCK, "norm_bias"), (*BLOCK, "mlp_bias"), (*EMBEDDING, "norm_first"), (*EMBEDDING, "norm_bias"),
        (*HEAD, "norm_last"), (*HEAD, "norm_bias"), (*MIXER, "qkv_bias"), (*MIXER, "out_bias"),
    ],
    ids=dotted,
)  # fmt: skip
def test_a_flag_is_true_or_false_and_nothing_that_counts_as_such(path, value):
    faults = faults_of(written(path, value))

    assert faults == ((dotted(path), f"{value!r} is neither true nor false"),)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("conv_attention", "shared_kv"),
        ("conv_attention", "qkv_bias"),
        ("separable_conv", "bias"),
        ("token_linear", "bias"),
    ],
)
def test_a_flag_of_a_mixer_is_true_or_false(kind, field):
    faults = faults_of(written(MIXER, {"kind": kind, field: 1}))

    assert faults == ((f"stages[0].blocks[0].mixer.{field}", "1 is neither true nor false"),)


@pytest.mark.parametrize("part", [BLOCK, EMBEDDING, HEAD], ids=dotted)
@pytest.mark.parametrize("norm", ["none", "batch", "affine", "std_layer"])
def test_only_layer_and_group_norms_go_without_a_shift(norm, part):
    body = written((*part, "norm_bias"), value=False)
    *keys, last = (*part, "norm")
    target = body
    for key in keys:
        target = target[key]
    target[last] = norm

    faults = faults_of(body)

    message = f"false with norm {norm!r}; only layer and group go without"
    assert faults == ((f"{dotted(part)}.norm_bias", message),)


@pytest.mark.parametrize("eps", [0, -1e-5, 0.2, "1e-5", True])
def test_a_norm_takes_a_small_positive_eps(eps):
    faults = faults_of(written((*BLOCK, "norm_eps"), eps))

    assert [path for path, _ in faults] == ["stages[0].blocks[0].norm_eps"]


def test_a_norm_before_the_embedding_needs_one():
    faults = faults_of(written((*EMBEDDING, "norm_first"), value=True))

    assert faults == (("stages[0].embedding.norm_first", "true without a norm"),)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"pool": "class_token"}, "true without a mean over tokens"),
        ({"norm": "none"}, "true without a norm"),
        ({"norm": "none", "pool": "class_token"}, "true without a norm"),
    ],
)
def test_a_norm_after_the_mean_needs_both(head, message):
    faults = faults_of(written((*HEAD, "norm_last"), value=True, head=head))

    assert faults == (("head.norm_last", message),)


def test_an_mlp_without_bias_needs_an_mlp():
    body = written((*BLOCK, "mlp_bias"), value=False)
    body["stages"][0]["blocks"][0]["mlp_ratio"] = 0

    faults = faults_of(body)

    assert faults == (("stages[0].blocks[0].mlp_bias", "false without an MLP"),)


def test_the_conv_mixer_layout_takes_neither_scale():
    body = written(BLOCK, {"mixer": {"kind": "depthwise_conv"}, "layout": "conv_mixer", "mlp_ratio": 0})
    body["stages"][0]["blocks"][0] |= {"layer_scale": 0.5, "residual_scale": 1}

    faults = faults_of(body)

    assert faults == (
        ("stages[0].blocks[0].layer_scale", "0.5 in the conv_mixer layout, which has none (0)"),
        ("stages[0].blocks[0].residual_scale", "1.0 in the conv_mixer layout, which has none (0)"),
    )


@pytest.mark.parametrize(
    ("mixer", "field", "message"),
    [
        ({"kind": "attention", "head_width": 8, "reduction": 5}, "reduction", "5 is larger than the 4x4 map"),
        ({"kind": "multi_axis_mlp", "block": 3, "grid": 2}, "block", "the 4x4 map is no multiple of 3"),
        ({"kind": "multi_axis_mlp", "block": 2, "grid": 8}, "grid", "the 4x4 map is no multiple of 8"),
    ],
)
def test_what_does_not_fit_the_map_is_refused_with_its_path(mixer, field, message):
    faults = faults_of(written(MIXER, mixer))

    assert faults == ((f"stages[0].blocks[0].mixer.{field}", message),)


def test_windows_and_grid_that_both_do_not_divide_the_map_are_both_named():
    faults = faults_of(written(MIXER, {"kind": "multi_axis_mlp"}))

    assert [path for path, _ in faults] == ["stages[0].blocks[0].mixer.block", "stages[0].blocks[0].mixer.grid"]


def test_reduced_attention_takes_no_class_token():
    faults = faults_of(written((*MIXER, "reduction"), 2, head={"pool": "class_token"}))

    assert faults == (("stages[0].blocks[0].mixer.reduction", "2 with a class token, which only 1 takes"),)


def test_reduced_attention_takes_a_map_that_it_does_not_divide():
    architecture = network(stage(Attention(head_width=8, reduction=3)))

    assert architecture.places[0].side == 8


def test_a_gate_without_a_channel_is_refused_with_its_path():
    body = written(MIXER, {"kind": "gated_mlp", "ratio": 0.125})
    body["stages"][0]["width"] = 7

    faults = faults_of(body)

    assert faults == (("stages[0].blocks[0].mixer.ratio", "0.125 of width 7 leaves the gate no channel"),)


def test_a_classifier_mlp_without_a_channel_is_refused_with_its_path():
    body = written((*HEAD, "mlp_ratio"), 0.01)

    faults = faults_of(body)

    assert faults == (("head.mlp_ratio", "0.01 of width 16 leaves no hidden channel"),)


def test_contradictions_of_embedding_block_and_head_come_in_one_message():
    body = written((*EMBEDDING, "norm_first"), value=True)
    body["stages"][0]["blocks"][0] |= {"norm": "batch", "norm_bias": False, "mlp_ratio": 0, "mlp_bias": False}
    body["head"] = {"norm": "none", "norm_last": True}

    paths = [path for path, _ in faults_of(body)]

    assert paths == [
        "stages[0].embedding.norm_first",
        "stages[0].blocks[0].norm_bias",
        "stages[0].blocks[0].mlp_bias",
        "head.norm_last",
    ]


def test_the_faults_of_a_part_that_was_not_checked_when_it_was_built_are_found_with_the_whole():
    embedding, _ = Embedding.unchecked({"kernel": 0, "stride": 1})
    sound = Embedding(kernel=3, stride=1, padding=1)

    assert (embedding.sound, sound.sound) == (False, True)
    with pytest.raises(ArchitectureError, match=r"^embedding\.kernel: 0 is outside"):
        Stage(embedding=embedding, width=8, blocks=stage().blocks)
