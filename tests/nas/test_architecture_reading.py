"""Reading architectures: every fault of a text or a file is told, with its path."""

import json

import pytest
from networks import PYRAMID, body_of, network, stage

from nas.architecture import Architecture
from nas.errors import ArchitectureError
from nas.mixers import MIXERS


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
        "stages[1].blocks[1].norm: 'instance' is unknown; known: none, layer, batch, group, affine, std_layer; "
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
        ArchitectureError,
        match=r"^stages\[0\]\.blocks\[0\]\.mlp: unknown field; known: norm, norm_bias, norm_eps, mixer, ",
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
        ArchitectureError, match=rf"^stages\[0\]\.blocks\[0\]\.mixer\.kind: .* is unknown; known: {', '.join(MIXERS)}; "
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
