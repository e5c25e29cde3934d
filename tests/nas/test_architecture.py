"""Architectures as values: one text, one digest, and every fault with its path."""

import dataclasses
import json
import subprocess
import sys

import pytest

from nas import zoo
from nas.architecture import Architecture, Block, Embedding, Head, Stage
from nas.errors import ArchitectureError
from nas.mixers import MIXERS, Attention, ConvAttention, DepthwiseConv, Identity, Pooling, SeparableConv, TokenMlp


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


# -- one text, one digest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.names())
def test_a_published_network_survives_its_json_text(name):
    architecture = zoo.get(name)

    again = Architecture.from_json(architecture.to_json())

    assert again == architecture
    assert again.to_json() == architecture.to_json()
    assert again.digest == architecture.digest


def test_a_network_with_every_kind_of_field_survives_its_json_text():
    text = PYRAMID.to_json()

    again = Architecture.from_json(text)

    assert again == PYRAMID
    assert again.to_json() == text


def test_the_text_has_sorted_keys_no_blanks_and_leaves_out_defaults():
    architecture = network(stage(DepthwiseConv(kernel=3), DepthwiseConv(kernel=5), mlp_ratio=2))

    text = architecture.to_json()

    assert text == (
        '{"format":"mixer-nas/architecture/1","resolution":32,"stages":[{"blocks":['
        '{"mixer":{"kind":"depthwise_conv"},"mlp_ratio":2.0},{"mixer":{"kernel":5,"kind":"depthwise_conv"},"mlp_ratio":2.0}],'
        '"embedding":{"kernel":4,"stride":4},"width":32}]}'
    )


def test_the_digest_is_the_same_on_every_machine():
    architecture = network()

    digest = architecture.digest

    assert digest == "54a6f6be68d34afbcb0c0ca3d2d45d66"


def test_the_order_of_keys_and_written_out_defaults_change_nothing():
    architecture = network(stage(Attention(head_width=16)))
    body = body_of(architecture)
    body["stages"][0]["blocks"][0].update(norm="layer", layout="pre_norm", mlp_ratio=4)
    body["head"] = {"norm": "layer"}

    again = Architecture.from_json(json.dumps(dict(reversed(body.items())), indent=3))

    assert again == architecture
    assert again.digest == architecture.digest


@pytest.mark.parametrize(("whole", "real"), [(3, 3.0), (4, 4.0), (0, 0.0), (0, -0.0)])
def test_equal_numbers_of_two_types_give_equal_texts_and_digests(whole, real):
    first, second = network(stage(mlp_ratio=whole)), network(stage(mlp_ratio=real))

    texts = {first.to_json(), second.to_json()}

    assert first == second
    assert len(texts) == 1
    assert first.digest == second.digest


def test_a_digest_is_32_hex_digits_and_differs_when_anything_differs():
    base = stage(ConvAttention(head_width=16), mlp_ratio=2.0)
    changed = [
        network(base),
        network(base, resolution=36),
        network(base, norm="none"),
        network(base, pool="class_token"),
        network(base, base_half := stage(embedding=patch(2))),
        network(base_half, base),
        network(dataclasses.replace(base, width=48)),
        network(dataclasses.replace(base, position="learned")),
        network(dataclasses.replace(base, blocks=base.blocks * 2)),
        network(dataclasses.replace(base, embedding=patch(8))),
        network(dataclasses.replace(base, embedding=patch(4, norm="layer"))),
        network(dataclasses.replace(base, embedding=patch(4, activation="relu"))),
        network(dataclasses.replace(base, embedding=Embedding(kernel=4, stride=4, padding=1))),
        *(
            network(dataclasses.replace(base, blocks=(dataclasses.replace(base.blocks[0], **field),)))
            for field in (
                {"mlp_ratio": 2.5},
                {"norm": "group"},
                {"activation": "relu"},
                {"layer_scale": 1e-6},
                {"mixer": Attention(head_width=16)},
                {"mixer": ConvAttention(head_width=8)},
                {"mixer": ConvAttention(head_width=16, q_kernel=1)},
                {"mixer": ConvAttention(head_width=16, kv_kernel=1)},
                {"mixer": ConvAttention(head_width=16, q_stride=2)},
                {"mixer": ConvAttention(head_width=16, kv_stride=1)},
            )
        ),
    ]

    digests = [architecture.digest for architecture in changed]

    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 32 and set(digest) <= set("0123456789abcdef") for digest in digests)


# -- reading what is wrong -----------------------------------------------------------------------------------------------


def test_faults_of_different_stages_come_in_one_message_each_with_its_path():
    body = body_of(PYRAMID)
    body["stages"][0]["blocks"][0]["mixer"]["size"] = 4
    body["stages"][1]["width"] = 0
    body["stages"][1]["blocks"][1]["norm"] = "instance"
    body["stages"][2]["embedding"]["stride"] = 2.5
    body["head"] = {"pool": "max"}

    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_json(json.dumps(body))

    assert [path for path, _ in caught.value.faults] == [
        "stages[0].blocks[0].mixer.size",
        "stages[1].width",
        "stages[1].blocks[1].norm",
        "stages[2].embedding.stride",
        "head.pool",
    ]
    assert str(caught.value) == (
        "stages[0].blocks[0].mixer.size: 4 is even, and an even size has no centre; "
        "stages[1].width: 0 is outside [1, 16384]; "
        "stages[1].blocks[1].norm: 'instance' is unknown; known: none, layer, batch, group; "
        "stages[2].embedding.stride: 2.5 is not a whole number; "
        "head.pool: 'max' is unknown; known: mean, class_token"
    )


def test_unknown_and_missing_fields_and_kinds_of_different_stages_come_in_one_message():
    body = body_of(PYRAMID)
    body["stages"][0]["blocks"][0]["mixer"]["kind"] = "mamba"
    body["stages"][1]["embedding"]["dilation"] = 2
    del body["stages"][2]["width"]

    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_json(json.dumps(body))

    assert {path for path, _ in caught.value.faults} == {
        "stages[0].blocks[0].mixer.kind",
        "stages[1].embedding.dilation",
        "stages[2].width",
    }


def test_an_unknown_field_does_not_hide_a_bad_value_elsewhere():
    body = body_of(PYRAMID)
    body["stages"][0]["blocks"][0]["mlp"] = 2
    body["stages"][1]["width"] = 0

    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_json(json.dumps(body))

    assert {path for path, _ in caught.value.faults} == {"stages[0].blocks[0].mlp", "stages[1].width"}


def test_an_unknown_field_does_not_hide_a_missing_one_further_up():
    body = body_of(PYRAMID)
    body["stages"][0]["embedding"]["dilation"] = 2
    del body["stages"][0]["width"]

    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_json(json.dumps(body))

    assert {path for path, _ in caught.value.faults} == {"stages[0].embedding.dilation", "stages[0].width"}


def test_an_unknown_field_is_named_with_the_known_ones():
    body = body_of(network())
    body["stages"][0]["blocks"][0]["mlp"] = 2

    with pytest.raises(
        ArchitectureError, match=r"^stages\[0\]\.blocks\[0\]\.mlp: unknown field; known: mixer, mlp_ratio, norm"
    ):
        Architecture.from_json(json.dumps(body))


def test_a_missing_field_is_named():
    body = body_of(network())
    del body["stages"][0]["embedding"]["stride"]

    with pytest.raises(ArchitectureError, match=r"^stages\[0\]\.embedding\.stride: missing$"):
        Architecture.from_json(json.dumps(body))


@pytest.mark.parametrize("kind", ["mamba", None, 3, "Attention", "", ["attention"], {}])
def test_an_unknown_mixer_lists_the_known_ones(kind):
    body = body_of(network())
    body["stages"][0]["blocks"][0]["mixer"]["kind"] = kind

    with pytest.raises(
        ArchitectureError, match=rf"^stages\[0\]\.blocks\[0\]\.mixer\.kind: .* is unknown; known: {', '.join(MIXERS)}$"
    ):
        Architecture.from_json(json.dumps(body))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "a JSON object is expected, not list"),
        ("null", "a JSON object is expected, not NoneType"),
        ("3", "a JSON object is expected, not int"),
        ('"cvt"', "a JSON object is expected, not str"),
        ("{}", "resolution: missing; stages: missing"),
        (
            '{"format": "mixer-nas/architecture/2"}',
            r"format: 'mixer-nas/architecture/2' is unknown; known: mixer-nas/arch",
        ),
        ('{"format": null}', "format: None is unknown"),
        ('{"resolution": 32, "stages": {}}', "stages: a list is expected, not {}"),
        ('{"resolution": 32, "stages": []}', "stages: 0 of them, and 1 to 16 are allowed"),
        ('{"resolution": 32, "stages": [3]}', r"stages\[0\]: an object is expected, not 3"),
        ('{"resolution": 32, "stages": null}', "stages: a list is expected, not None"),
        (
            '{"resolution": 32, "stages": [{"width": 8, "embedding": "patch", "blocks": []}]}',
            r"stages\[0\]\.embedding: an object",
        ),
    ],
)
def test_what_is_no_architecture_object_is_refused(text, message):
    reader = Architecture.from_json

    with pytest.raises(ArchitectureError, match=message):
        reader(text)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "true", "null", '"4"', "[4]", "1" + "0" * 400]
)
def test_a_real_field_takes_finite_numbers_only(number):
    text = network(stage(mlp_ratio=2)).to_json().replace("2.0", number)

    with pytest.raises(
        ArchitectureError, match=r"^stages\[0\]\.blocks\[0\]\.mlp_ratio: .* (is not a finite number|is outside)"
    ):
        Architecture.from_json(text)


@pytest.mark.parametrize("number", ["NaN", "true", "null", '"32"', "32.0", "[32]", "{}", "0", "-1", "1" + "0" * 400])
def test_a_whole_field_takes_ints_in_its_range_only(number):
    text = network().to_json().replace('"width":32', f'"width":{number}')

    with pytest.raises(
        ArchitectureError, match=r"^stages\[0\]\.width: .* (is not a whole number|is outside \[1, 16384\])"
    ):
        Architecture.from_json(text)


def test_a_file_is_read_by_load(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(PYRAMID.to_json())

    again = Architecture.load(path)

    assert again == PYRAMID


def test_a_file_over_1_mb_is_refused_by_its_name(tmp_path):
    path = tmp_path / "huge.json"
    path.write_text(PYRAMID.to_json() + " " * 1_000_000)

    with pytest.raises(ArchitectureError, match=r"huge\.json: larger than 1 MB"):
        Architecture.load(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "net.json"
    path.write_bytes(b"\xff\xfe\x00\x80 not UTF-8")

    with pytest.raises(ArchitectureError, match=r"(?i)utf-8|not JSON"):
        Architecture.load(path)


def test_a_missing_file_is_the_systems_error(tmp_path):
    path = tmp_path / "none.json"

    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        Architecture.load(path)


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


@pytest.mark.parametrize("mixer", [Pooling(), DepthwiseConv(), SeparableConv(), TokenMlp()])
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
        match=rf"^stages\[0\]\.blocks\[0\]\.norm: {norm} norm with a class token, which takes none or layer$",
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


# -- values --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (PYRAMID, "resolution"),
        (PYRAMID.head, "pool"),
        (PYRAMID.stages[0], "width"),
        (PYRAMID.stages[0].embedding, "kernel"),
        (PYRAMID.stages[0].blocks[0], "norm"),
        (PYRAMID.stages[0].blocks[0].mixer, "size"),
    ],
)
def test_every_part_is_frozen(part, field):
    before = getattr(part, field)

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(part, field, before)

    assert hash(part) == hash(dataclasses.replace(part))


def test_the_same_network_at_another_resolution_differs_in_nothing_else():
    architecture = network(stage(), stage(embedding=patch(2)))

    larger = architecture.at(64)

    assert [place.side for place in larger.places] == [16, 8]
    assert [place.side for place in architecture.places] == [8, 4]
    assert larger.stages == architecture.stages
    assert larger.at(32) == architecture
    assert architecture.at(32) is architecture


def test_a_resolution_that_does_not_fit_names_the_stage():
    architecture = network(stage(), stage(embedding=patch(2)))

    with pytest.raises(ArchitectureError, match=r"^stages\[1\]\.embedding\.stride: 2 is larger than the 1x1 map$"):
        architecture.at(4)


def test_describing_networks_imports_neither_torch_nor_ray_nor_optuna():
    code = (
        "import sys, nas, nas.architecture, nas.space, nas.costs, nas.zoo, search_spaces;"
        "print(sorted({'torch', 'ray', 'optuna', 'sqlalchemy', 'datasets'} & set(sys.modules)))"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert result.stdout.strip() == "[]"
