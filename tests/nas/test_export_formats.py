"""Every mixer and every published network in every format: the same logits from torch's program and from onnxruntime."""

import dataclasses

import pytest
import torch
from formulas import shaken
from networks import MODERN, PYRAMID, network, patch, stage

from nas import zoo
from nas.errors import ArchitectureError
from nas.export import FORMATS, opened, write_model
from nas.export.equality import compared
from nas.export.formats import ONNX, PT2, write_formats
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
def test_every_mixer_gives_the_same_logits_in_every_format(kind, tmp_path):
    mixer = SMALL.get(kind) or MIXERS[kind]()
    architecture = network(stage(mixer, width=64, embedding=patch(2)), resolution=8)

    assert differences(architecture, tmp_path / "model").keys() == {ONNX, PT2}


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
