"""The model card: what the hub reads from its head, figures that are those of the files, snippets that run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from networks import network, patch, stage
from PIL import Image

from nas import checkpoint
from nas.costs import cost
from nas.data import load
from nas.export import FORMATS, export
from nas.export.facts import public_name
from nas.jobs import Budget
from nas.mixers import Pooling
from nas.model import build
from nas.trial import State, Trial

SETTINGS = {
    "space": "m<b>y|space",
    "objectives": ["accuracy:max"],
    "limits": ["params<=3e4"],
    "recipe": {"lr": 0.004, "ema": 0.998, "batch_size": 0},
}


def trained(data, folder):
    """A complete trial whose network was never trained."""
    torch.manual_seed(0)
    architecture = network(stage(Pooling(), width=8, embedding=patch(4)), resolution=data.resolution)
    model = build(architecture, in_channels=data.channels, num_classes=len(data.classes))
    checkpoint.save(folder, {"average": {f"module.{name}": value for name, value in model.state_dict().items()}})
    budget = Budget(0, 3, 7, "cpu", str(folder))
    return Trial(5, (), architecture, architecture.digest, State.COMPLETE, "tpe", 1, {"accuracy": 0.1}, budget)


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    base = tmp_path_factory.mktemp("card")
    study = "s # \N{GRINNING FACE} --- <img src=x onerror=alert(1)> [a](b) | \"q'"
    export(
        trained(digits, base / "ck"), digits, base / "m", study=study, formats=tuple(FORMATS), settings=SETTINGS,
        licence="mit",
    )  # fmt: skip
    return base / "m"


def split_card(folder):
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), body


def test_its_head_is_what_the_hub_reads(folder):
    from huggingface_hub import ModelCard

    data = ModelCard.load(folder / "README.md").data

    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "mixer-nas", "image-classification")
    assert {"safetensors", "onnx", "mixer-nas"} <= set(data.tags)
    metrics = json.loads((folder / "metrics.json").read_text())
    found = {result.dataset_split: result.metric_value for result in data.eval_results}
    assert found == pytest.approx({split: metrics[split]["accuracy"] for split in ("test", "validation")}, abs=1e-6)


def test_its_figures_are_those_of_the_files(folder, digits):
    _, body = split_card(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    architecture = trained(digits, folder.parent / "again").candidate

    for split in ("validation", "test"):
        low, high = metrics["accuracy_95"][split]
        row = f"| {split} | {digits.counts[split]} | {metrics[split]['accuracy']:.4f} | {low:.4f} to {high:.4f} |"
        assert row in body
    assert f"| parameters | {cost(architecture, num_classes=10, in_channels=1).params:,} |" in body
    for said in (
        "| seed | 7 |",
        "| batch size | 32 |",
        "| trained for | 3 epochs on cpu |",
        "limits | params&lt;=3e4",
        "is mit, as its author says",
    ):
        assert said in body


def test_text_of_the_user_is_text(folder):
    head, body = split_card(folder)

    assert (
        head["model-index"][0]["name"]
        == "trial 5 of s # \N{GRINNING FACE} --- <img src=x onerror=alert(1)> [a](b) | \"q'"
    )
    assert "<img" not in body
    assert "<b>" not in body
    assert r"m&lt;b&gt;y\|space" in body


def test_its_snippets_run_and_agree(folder, tmp_path, digits):
    _, body = split_card(folder)
    blocks = re.findall(r"```python\n(.*?)```", body, re.DOTALL)
    Image.fromarray(digits.images("test")[3, :, :, 0]).resize((50, 41)).save(tmp_path / "picture.png")
    (tmp_path / "code.py").write_text(
        "import os, sys, torch\nsys.path.insert(0, '.')\n" + blocks[0].replace("picture.png", str(tmp_path / "picture.png"))
        + blocks[2] + "\nfirst = logits\nimages = torch.from_numpy(images)\n" + blocks[1]
        + "second = logits.detach().numpy()\n" + blocks[3] + "third = logits.detach().numpy()\n"
        + "print(max(abs(first - second).max(), abs(third - second).max()))\n"
    )  # fmt: skip

    done = subprocess.run(
        [sys.executable, "-B", "-I", tmp_path / "code.py"], cwd=folder, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 1e-5


def test_no_file_says_where_it_was_written(folder, tmp_path):
    here = [str(Path(__file__).parent.parent.parent).encode(), str(folder.parent).encode(), b"site-packages"]
    for path in folder.iterdir():
        assert not [word for word in here if word in path.read_bytes()], path.name


def test_a_data_set_of_this_machine_is_called_by_its_last_name_only(tmp_path):
    secret = tmp_path / "home" / "birds"
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (secret / name).mkdir(parents=True)
        for index in range(10):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(secret / name / f"{index}.png")
    data = load(f"folder:{secret}")

    export(trained(data, tmp_path / "ck"), data, tmp_path / "m", study="s", settings={"source": {"data": str(secret)}})

    for path in (tmp_path / "m").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name
    assert json.loads((tmp_path / "m" / "export.json").read_text())["data"] == "folder:birds"


@pytest.mark.parametrize(
    ("name", "public"),
    [("digits", "digits"), ("hf:org/name", "org/name"), ("folder:/a/b/", "folder:b"), ("hf:.", "folder:data")],
)
def test_names_of_data(name, public):
    assert public_name(name).removeprefix("hf:") == public
