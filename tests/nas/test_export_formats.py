"""Every mixer and every published network in every format: the same logits from torch's program and from onnxruntime."""

import dataclasses
import json

import pytest
import torch
from formulas import shaken
from networks import MODERN, PYRAMID, network, patch, stage
from torch import nn

from nas import zoo
from nas.errors import ArchitectureError, ExportError, InputError
from nas.export import FORMATS, choose, opened, write_model
from nas.export.equality import compared
from nas.export.formats import ONNX, OPSET, PT2, write_formats
from nas.mixers import MIXERS, MultiAxisMlp
from nas.model import build

SMALL = {"multi_axis_mlp": MultiAxisMlp(block=2, grid=2)}


def facts_of(model):
    return {
        "network": "n", "classes": [str(each) for each in range(model.num_classes)], "channels": model.in_channels,
        "resolution": model.architecture.resolution,
    }  # fmt: skip


def differences(architecture, folder, formats=(ONNX, PT2)):
    """Of each format, the largest difference of a logit from the model in memory; weights are far from their start."""
    torch.manual_seed(0)
    model = shaken(build(architecture, in_channels=3, num_classes=10)).eval()
    side = model.architecture.resolution
    write_model(model, facts_of(model), folder)
    write_formats(model, facts_of(model), formats, folder)
    found = {}
    for form in formats:
        batches = iter([torch.randn(1, 3, side, side), torch.randn(5, 3, side, side)])
        found[form] = compared(model, opened(folder, form), batches, form).largest_difference
    return found


@pytest.mark.parametrize("kind", sorted(MIXERS))
@pytest.mark.slow
def test_every_mixer_gives_the_same_logits_in_every_format(kind, tmp_path):
    mixer = SMALL.get(kind) or MIXERS[kind]()
    architecture = network(stage(mixer, width=64, embedding=patch(2)), resolution=8)

    assert differences(architecture, tmp_path / "model").keys() == {ONNX, PT2}


def test_the_onnx_file_says_its_opset_its_batch_and_its_classes(tmp_path):
    import onnx

    differences(network(stage(width=8), resolution=8), tmp_path / "model", (ONNX,))

    model = onnx.load(tmp_path / "model" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import if each.domain == ""] == [("", OPSET)]
    for value, name, rest in ((model.graph.input[0], "images", [3, 8, 8]), (model.graph.output[0], "logits", [10])):
        sizes = value.type.tensor_type.shape.dim
        assert value.name == name
        assert sizes[0].dim_param == "batch"
        assert [size.dim_value for size in sizes[1:]] == rest
    told = {each.key: json.loads(each.value) for each in model.metadata_props}
    assert told["classes"] == [str(index) for index in range(10)]


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ((), ("safetensors", "py", "onnx", "pt2")),
        (("pt2",), ("safetensors", "pt2")),
        (("py", "py"), ("safetensors", "py")),
    ],
)
def test_safetensors_is_always_written_and_first(asked, chosen):
    assert choose(asked) == (chosen, "")


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(InputError, match="unknown format 'onxx': did you mean onnx"):
        choose(["onxx"])


class Untraceable(nn.Module):
    """What torch cannot take down: it asks for the values of a tensor."""

    def forward(self, x_BNC):
        return x_BNC if float(x_BNC.sum()) > 0 else -x_BNC


def test_what_torch_cannot_take_down_is_left_out_or_an_error_of_one_line(tmp_path):
    model = build(network(stage(width=8), resolution=8), num_classes=10).eval()
    model.norm = Untraceable()
    facts = facts_of(model)

    left_out = write_formats(model, facts, (ONNX, PT2), tmp_path, strict=False)

    assert left_out.keys() == {ONNX, PT2}
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    with pytest.raises(ExportError, match=r"^the model cannot be written as pt2: .*") as raised:
        write_formats(model, facts, (PT2,), tmp_path)
    assert "\n" not in str(raised.value)


def reduced(architecture):
    """Its stages with one block of each kind, on the smallest images that it takes."""
    stages = tuple(
        dataclasses.replace(each, blocks=tuple(dict.fromkeys(each.blocks))[:2]) for each in architecture.stages
    )
    small = dataclasses.replace(architecture, stages=stages)
    for side in (32, 64, 96, 128, 192):
        try:
            return small.at(side)
        except ArchitectureError:
            continue
    return small


@pytest.mark.soak
@pytest.mark.parametrize("name", [*zoo.names(), "pyramid", "modern"])
def test_every_published_network_gives_the_same_logits_in_every_format(name, tmp_path):
    architecture = {"pyramid": PYRAMID, "modern": MODERN}.get(name) or zoo.get(name)

    found = differences(reduced(architecture), tmp_path / "model", tuple(FORMATS))

    print(name, {form: f"{gap:.1e}" for form, gap in found.items()})
    assert found.keys() == set(FORMATS)
