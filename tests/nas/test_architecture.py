"""Architectures as values: one text, one digest, and every fault with its path."""

import dataclasses
import json
import subprocess
import sys

import pytest
from networks import MODERN, PYRAMID, body_of, network, patch, stage

from nas import zoo
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
)

# -- one text, one digest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.names())
def test_a_published_network_survives_its_json_text(name):
    architecture = zoo.get(name)

    again = Architecture.from_json(architecture.to_json())

    assert again == architecture
    assert again.to_json() == architecture.to_json()
    assert again.digest == architecture.digest


@pytest.mark.parametrize("architecture", [PYRAMID, MODERN], ids=["pyramid", "modern"])
def test_a_network_with_every_kind_of_field_survives_its_json_text(architecture):
    text = architecture.to_json()

    again = Architecture.from_json(text)

    assert again == architecture
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


# From before norms without bias, residual scales and the mixers after them: what was written then is read as it was.
OLD_TEXT = (
    '{"format":"mixer-nas/architecture/1","head":{"pool":"class_token"},"resolution":32,"stages":[{"blocks":['
    '{"layer_scale":0.1,"mixer":{"kind":"pooling","size":5},"mlp_ratio":3.0,"norm":"batch"},{"layer_scale":0.1,"mixer":'
    '{"head_width":16,"kind":"conv_attention","kv_stride":1},"mlp_ratio":3.0,"norm":"batch"}],"embedding":{"kernel":4,'
    '"stride":4},"width":32},{"blocks":[{"mixer":{"kernel":5,"kind":"separable_conv"}},{"mixer":{"kind":"token_mlp",'
    '"ratio":0.25}}],"embedding":{"activation":"relu","kernel":2,"norm":"group","stride":2},"width":48},{"blocks":['
    '{"mixer":{"head_width":8,"kind":"attention"}}],"embedding":{"kernel":3,"padding":1,"stride":2},"position":"learned",'
    '"width":64}]}'
)
OLD_DIGESTS = {
    "convmixer-1536-20": "ae109bbb1570ef839d3a45c31a493be5",
    "convmixer-256-8-cifar10": "b21d31b605411bbded87ec1d65359e92",
    "poolformer-s12": "44edfa3ecd6b494bb49430f977345794",
    "poolformer-m48": "702f8e00acfb47a3b1d138cb0a5487a8",
    "cvt-13": "5df53f9a6f5b693869695b47d7943bd1",
    "cvt-w24": "1edf918066c46c49900344b14bc2b191",
}


def test_a_text_from_before_the_type_grew_is_the_same_value_with_the_same_text_and_digest():
    again = Architecture.from_json(OLD_TEXT)

    assert again == PYRAMID
    assert again.to_json() == OLD_TEXT
    assert again.digest == "fcab7569498c0dd24e0671c7e1034ae1"


@pytest.mark.parametrize("name", OLD_DIGESTS)
def test_a_published_network_whose_description_did_not_change_has_the_digest_that_it_had(name):
    architecture = zoo.get(name)

    assert architecture.digest == OLD_DIGESTS[name]


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
        network(base, norm_bias=False),
        network(base, norm_eps=1e-6),
        network(base, norm_last=True),
        network(base, mlp_ratio=4),
        network(base, base_half := stage(embedding=patch(2))),
        network(base_half, base),
        network(dataclasses.replace(base, width=48)),
        network(dataclasses.replace(base, position="learned")),
        network(dataclasses.replace(base, blocks=base.blocks * 2)),
        network(dataclasses.replace(base, embedding=patch(8))),
        network(dataclasses.replace(base, embedding=patch(4, norm="layer"))),
        network(dataclasses.replace(base, embedding=patch(4, norm="layer", norm_first=True))),
        network(dataclasses.replace(base, embedding=patch(4, norm="layer", norm_bias=False))),
        network(dataclasses.replace(base, embedding=patch(4, activation="relu"))),
        network(dataclasses.replace(base, embedding=Embedding(kernel=4, stride=4, padding=1))),
        *(
            network(dataclasses.replace(base, blocks=(dataclasses.replace(base.blocks[0], **field),)))
            for field in (
                {"mlp_ratio": 2.5},
                {"norm": "group"},
                {"activation": "relu"},
                {"layer_scale": 1e-6},
                {"norm": "affine"},
                {"norm": "std_layer"},
                {"norm_bias": False},
                {"norm_eps": 1e-6},
                {"activation": "star_relu"},
                {"activation": "squared_relu"},
                {"mlp_bias": False},
                {"residual_scale": 1.0},
                {"mixer": Attention(head_width=16)},
                {"mixer": Attention(head_width=16, qkv_bias=False)},
                {"mixer": Attention(head_width=16, out_bias=False)},
                {"mixer": Attention(head_width=16, reduction=2)},
                {"mixer": ConvAttention(head_width=8)},
                {"mixer": ConvAttention(head_width=16, q_kernel=1)},
                {"mixer": ConvAttention(head_width=16, kv_kernel=1)},
                {"mixer": ConvAttention(head_width=16, q_stride=2)},
                {"mixer": ConvAttention(head_width=16, kv_stride=1)},
                {"mixer": ConvAttention(head_width=16, scale="head")},
                {"mixer": ConvAttention(head_width=16, shared_kv=True)},
                {"mixer": ConvAttention(head_width=16, qkv_bias=False)},
                {"mixer": SeparableConv()},
                {"mixer": SeparableConv(activation="star_relu")},
                {"mixer": SeparableConv(bias=False)},
                {"mixer": TokenLinear()},
                {"mixer": TokenLinear(bias=False)},
                {"mixer": RandomMixing()},
                {"mixer": GatedMlp()},
                {"mixer": GatedMlp(ratio=4)},
                {"mixer": MultiAxisMlp(block=4)},
                {"mixer": MultiAxisMlp(grid=4)},
            )
        ),
    ]

    digests = [architecture.digest for architecture in changed]

    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 32 and set(digest) <= set("0123456789abcdef") for digest in digests)


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


@pytest.mark.parametrize(
    ("said", "unsaid"),
    [
        ({"norm": "none", "norm_eps": 1e-3}, {"norm": "none"}),
        ({"norm": "affine", "norm_eps": 1e-3}, {"norm": "affine"}),
        ({"mlp_ratio": 0, "activation": "relu"}, {"mlp_ratio": 0}),
    ],
)
def test_what_is_said_of_a_norm_or_an_mlp_that_is_not_there_makes_no_other_network(said, unsaid):
    def network(fields):
        stage = Stage(embedding=Embedding(kernel=2, stride=2), width=8, blocks=(Block(mixer=Identity(), **fields),) * 2)
        return Architecture(resolution=8, stages=(stage,))

    first, second = network(said), network(unsaid)

    assert first != second
    assert first.digest == second.digest
    assert Architecture.from_json(first.to_json()) == first


@pytest.mark.parametrize(
    ("said", "unsaid"),
    [
        ({"norm_eps": 1e-3}, {}),
        ({"activation": "relu"}, {}),
        (
            {"mlp_ratio": 0, "layout": "conv_mixer", "activation": "relu"},
            {"mlp_ratio": 0, "layout": "conv_mixer"},
        ),
    ],
)
def test_what_is_used_makes_another_network(said, unsaid):
    def network(fields):
        stage = Stage(embedding=Embedding(kernel=2, stride=2), width=8, blocks=(Block(mixer=Pooling(), **fields),))
        return Architecture(resolution=8, stages=(stage,))

    assert network(said).digest != network(unsaid).digest
