"""Token mixers of somebody else in a file of its own: what can be taken along, and what is refused."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from networks import MODERN, network, stage
from standing import executed, standing

from nas.errors import ExportError
from nas.mixers import MIXERS, Attention, base
from nas.standalone import run, source

HEAD = """
import dataclasses
from typing import ClassVar
from nas.mixers import Mixer, register
from nas.tally import Place, Tally
import torch
from torch import nn
"""
VALUE = """
@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Mine(Mixer):
    kind: ClassVar[str] = "mine"

    def cost_at(self, place: Place) -> Tally:
        return Tally()

    def module(self, place: Place) -> nn.Module:
        return {made}
"""
DEEP = '''
import math as m
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch.nn.functional as F
from nas.layers.common import Mlp, make_activation
if TYPE_CHECKING:
    from torch import Tensor

HALF, NAMES = 0.5, {"gain": m.sqrt(2)}
UNUSED = open


def halved(x: "Tensor") -> "Tensor":
    return F.relu(x) * HALF * NAMES["gain"]


class Below(nn.Module):
    """With a scale of its own."""

    def __init__(self, width, /, *layers: nn.Module, step: Callable = F.silu, **more):
        super().__init__()
        self.layers, self.step, self.more = nn.ModuleList(layers), step, more
        table = torch.linspace(0, 1, width).tolist()  # no numbers without a real device
        self.register_buffer("table", torch.tensor(table), persistent=False)


class Above(Below):
    def forward(self, x_BNC):
        for layer in self.layers:
            x_BNC = halved(self.step(layer(x_BNC)))
        return x_BNC * self.table * self.more["by"]


class Chosen(Mlp):
    def __init__(self, width, kind="relu"):
        super().__init__(width, width, kind)
        self.last = make_activation(kind)

    def forward(self, x_BNC):
        return self.last(super().forward(x_BNC))
'''


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Import a module of somebody's own from its text; its mixers are forgotten afterwards."""
    known, of_others = dict(MIXERS), list(base._OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(text, name="of_mine"):
        (tmp_path / f"{name}.py").write_text(text)
        names.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield write
    for name in names:
        sys.modules.pop(name)
    MIXERS.clear()
    MIXERS.update(known)
    base._OUTSIDE[:] = of_others


def same(folder, architecture):
    pair, expected = standing(folder, architecture)
    return torch.allclose(run(*pair), expected, rtol=0, atol=1e-6)


def test_the_mixer_of_the_guide_is_taken_along_with_what_it_uses_of_our_layers(written, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", Path("docs/mixers.md").read_text(), re.DOTALL)
    shift = written(code, "guide_shift").Shift(step=2)

    assert same(tmp_path / "m", network(stage(shift, shift, Attention(head_width=8))))

    text = (tmp_path / "m" / "model.py").read_text()
    defined = [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    assert {"ShiftModule", "to_map", "to_tokens"} <= set(defined)
    assert not {"Shift", "Mixer", "check_mixer"} & set(defined)
    assert "ShiftModule(32, side=8, step=2)" in text


def test_bases_functions_constants_and_arguments_of_many_kinds_go_along(written, tmp_path):
    made = "nn.Sequential(Above(place.width, nn.Linear(place.width, place.width), Chosen(place.width), by=(2)))"
    mine = written(HEAD + DEEP + VALUE.format(made=made)).Mine()

    assert same(tmp_path / "m", network(stage(mine, mlp_ratio=2), *MODERN.stages[1:2]))

    text = (tmp_path / "m" / "model.py").read_text()
    assert "UNUSED" not in text
    assert "step" not in text.split("class Model", 1)[1]
    assert 'Mlp(32, hidden=64, activation="gelu")' in text  # ours stay as they are where theirs need them whole


@pytest.mark.parametrize(
    ("text", "made", "why"),
    [
        ("from nas.layers.common import to_map as mapped\nclass A(nn.Module):\n    f = mapped", "A()", "to_map|mapped"),
        ("import numpy\nclass A(nn.Module):\n    f = numpy.ones", "A()", "its module imports numpy from numpy"),
        ("class A(nn.Module):\n    def f(self):\n        import nas.tally", "A()", "of_mine imports nas.tally"),
        (
            "class A(nn.Module):\n    def __init__(self, place):\n        super().__init__()",
            "A(place)",
            "made with Place",
        ),
        ("class A(nn.Module):\n    class B(nn.Module):\n        pass", "A.B()", "A.B is no class of the top level"),
        ("class Model(nn.Module):\n    pass", "Model()", "its Model of of_mine is not the Model that the file has"),
        ("class Mlp(nn.Module):\n    pass", "Mlp()", "Mlp"),
        ("exec('class A(nn.Module): pass')", "A()", "A is not in the source of of_mine"),
    ],
)
def test_what_cannot_stand_alone_is_refused_in_one_line_that_names_the_mixer(text, made, why, written):
    mine = written(HEAD + text + VALUE.format(made=made)).Mine()

    with pytest.raises(ExportError, match=rf"^token mixer 'mine' cannot be written into a file of its own: .*{why}"):
        source(network(stage(Attention(head_width=8), mine)), in_channels=3, num_classes=2)


def test_what_a_module_is_given_after_its_making_is_not_in_the_file_so_running_it_is_the_proof(written, tmp_path):
    body = "class A(nn.Linear):\n    by = 1\n    def forward(self, x):\n        return super().forward(x) * self.by\n"
    body += "def late(width):\n    made = A(width, width)\n    made.by = 3\n    return made\n"
    mine = written(HEAD + body + VALUE.format(made="late(place.width)")).Mine()

    (folder, images_BCHW), expected = standing(tmp_path / "m", network(stage(mine)))

    alone = executed((folder / "model.py").read_text())["load"](folder)
    assert not torch.allclose(alone(images_BCHW), expected, atol=1e-3)


def test_writing_a_file_leaves_the_random_numbers_alone(written):
    body = "class A(nn.Module):\n    def __init__(self):\n        super().__init__()\n        float(torch.rand(1))\n"
    mine = written(HEAD + body + VALUE.format(made="A()")).Mine()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)

    assert "Model" in executed(source(network(stage(mine)), in_channels=3, num_classes=2))
    assert torch.rand(1) == expected
