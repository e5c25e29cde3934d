"""Small relatives of large networks, and folders that hold a network as a file of its own with its weights."""

import dataclasses
import itertools

import torch
from safetensors.torch import save_file

from nas.errors import ArchitectureError
from nas.model import build
from nas.standalone import source


def small(architecture):
    """The same kinds of blocks at a part of the width, on small images, at most three blocks a stage."""
    for part, resolution in itertools.product((8, 4, 1), (32, 64, 96, architecture.resolution)):
        try:
            stages = tuple(_small_stage(stage, part) for stage in architecture.stages)
            return dataclasses.replace(architecture, stages=stages, resolution=resolution)
        except ArchitectureError:
            continue
    raise AssertionError(architecture)


def _small_stage(stage, part):
    blocks = tuple(
        dataclasses.replace(block, mixer=dataclasses.replace(block.mixer, head_width=block.mixer.head_width // part))
        if hasattr(block.mixer, "head_width")
        else block
        for block in (*stage.blocks[:2], *stage.blocks[2:][-1:])
    )
    return dataclasses.replace(stage, width=max(1, stage.width // part), blocks=blocks)


def standing(folder, architecture, *, seed=0, channels=3, classes=7, **more):
    """Write model.py and model.safetensors; what `run` takes, and the logits that it must give."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    model = build(architecture, in_channels=channels, num_classes=classes, init="level")
    for name, value in model.state_dict().items():
        if "running" in name:  # batch norms that have seen something
            value.uniform_(0.5, 1.5)
    text = source(architecture, in_channels=channels, num_classes=classes, **more)
    (folder / "model.py").write_text(text, encoding="utf-8")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    images_BCHW = torch.randn(2, channels, architecture.resolution, architecture.resolution)
    with torch.inference_mode():
        return (folder, images_BCHW), model.eval()(images_BCHW)


def executed(text):
    """What a file of its own defines."""
    names = {"__name__": "model", "__file__": "model.py"}
    exec(compile(text, "model.py", "exec"), names)
    return names
