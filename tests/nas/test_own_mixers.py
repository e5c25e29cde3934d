"""Token mixers of one's own: registered by a class decorator, named in NAS_MIXERS or by an installed package."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import pytest

from nas.architecture import Architecture, Block, Embedding, Stage
from nas.errors import ArchitectureError, InputError
from nas.mixers import MIXERS, Attention, Mixer, base, outside, register
from nas.tally import Tally

SHIFTING = """
from dataclasses import dataclass
from typing import ClassVar

from nas.checked import whole
from nas.mixers import Mixer, register
from nas.tally import Place, Tally, linear


@register
@dataclass(frozen=True, kw_only=True)
class Shift(Mixer):
    kind: ClassVar[str] = "shift"
    by: int = whole(1, 9, default=1)

    def cost_at(self, place):
        return linear(place.tokens, place.width, place.width)

    def module(self, place):
        from torch import nn

        class Shifted(nn.Linear):
            def forward(self, x_BNC):
                return super().forward(x_BNC.roll(by, dims=1))

        by = self.by
        return Shifted(place.width, place.width)
"""
NETWORK = {
    "resolution": 8,
    "stages": [
        {
            "embedding": {"kernel": 2, "stride": 2},
            "width": 6,
            "blocks": [{"mixer": {"kind": "shift", "by": 3}, "mlp_ratio": 0}],
        }
    ],
}
READING = f"""
from nas import Architecture, build, cost
from nas.mixers import MIXERS, outside

text = {json.dumps(json.dumps(NETWORK))}
early = "shift" in MIXERS
architecture = Architecture.from_json(text)

import torch

model = build(architecture, num_classes=3)
image = torch.randn(2, 3, 8, 8)
tokens_BNC = model.stages[0][0](image)
branch, block = model.stages[0][1].mix, model.stages[0][1]
print(early, [mixer.kind for mixer in outside()], architecture.stages[0].blocks[0].mixer)
print(cost(architecture, num_classes=3).params == sum(p.numel() for p in model.parameters()))
rolled_BNC = branch[0](tokens_BNC)[:, [13, 14, 15, *range(13)]]
print(torch.allclose(block(tokens_BNC), tokens_BNC + rolled_BNC @ branch[1].weight.T + branch[1].bias, atol=1e-6))
print(Architecture.from_json(architecture.to_json()) == architecture, tuple(model(image).shape))
"""
READ = ["False ['shift'] Shift(by=3)", "True", "True", "True (2, 3)"]


@pytest.fixture
def registry():
    """The mixers as they are, put back afterwards."""
    known, of_others = dict(MIXERS), list(base._OUTSIDE)
    yield MIXERS
    MIXERS.clear()
    MIXERS.update(known)
    base._OUTSIDE[:] = of_others


def run(code, path, *flags, **environment):
    paths = os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )


def own(name="Free", kind="free"):
    fields = {"kind": kind, "cost_at": lambda self, place: Tally(7, 11), "__module__": __name__}
    return dataclasses.dataclass(frozen=True, kw_only=True)(type(name, (Mixer,), fields))


def network(mixer):
    stage = Stage(embedding=Embedding(kernel=2, stride=2), width=6, blocks=(Block(mixer=mixer, mlp_ratio=0),))
    return Architecture(resolution=8, stages=(stage,))


def test_a_registered_mixer_is_read_and_written_by_its_kind(registry):
    mixer = register(own())

    again = Architecture.from_json(network(mixer()).to_json())

    assert again == network(mixer())
    assert type(again.stages[0].blocks[0].mixer) is mixer
    assert registry["free"] is mixer


def test_outside_lists_the_mixers_that_are_not_ours_in_the_order_of_registration(registry):
    before = outside()

    first, second = register(own("First", "first")), register(own("Second", "second"))

    assert outside() == (*before, first, second)
    assert before == ()


def test_the_same_class_may_be_registered_again_as_a_reloaded_module_does(registry):
    register(own())

    again = register(own())

    assert outside() == (again,)
    assert registry["free"] is again


@pytest.mark.parametrize("kind", ["attention", "identity"])
def test_a_kind_of_ours_is_taken(registry, kind):
    taken = own(kind=kind)

    with pytest.raises(
        InputError, match=rf"^token mixer .*: the kind '{kind}' is already nas\.mixers\.{kind}\.{kind.capitalize()}$"
    ):
        register(taken)

    assert registry["attention"] is Attention
    assert outside() == ()


def test_a_kind_of_another_class_of_ones_own_is_taken(registry):
    first = register(own("First"))

    with pytest.raises(
        InputError, match=rf"^token mixer .*Second: the kind 'free' is already {re.escape(__name__)}\.First$"
    ):
        register(own("Second"))

    assert outside() == (first,)


def test_an_unregistered_kind_is_unknown_and_the_registered_ones_are_listed(registry):
    register(own())
    text = network(own("Other", "other")()).to_json()

    with pytest.raises(
        ArchitectureError,
        match=r"mixer\.kind: 'other' is unknown; known: identity, .*, free; a mixer of your own is found through NAS_MIXERS$",
    ):
        Architecture.from_json(text)


def test_a_module_named_in_nas_mixers_is_read_built_and_costed_in_a_process_that_never_imported_it(tmp_path):
    (tmp_path / "shifting.py").write_text(SHIFTING)

    result = run(READING, tmp_path, NAS_MIXERS=" , shifting")

    assert result.stdout.splitlines() == READ, result.stderr


def test_a_module_of_the_working_directory_is_found_where_python_does_not_look_itself(tmp_path):
    (tmp_path / "shifting.py").write_text(SHIFTING)
    code = f"import os; os.chdir({str(tmp_path)!r}); from nas.mixers import outside; print(outside()[0].kind)"

    result = run(code, tmp_path / "elsewhere", "-P", NAS_MIXERS="shifting")

    assert result.stdout == "shift\n", result.stderr


def test_an_installed_package_names_its_mixers_by_entry_point(tmp_path):
    (tmp_path / "shifting.py").write_text(SHIFTING)
    facts = tmp_path / "shifting-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shifting\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[mixer_nas.mixers]\nshift = shifting\n")

    result = run(READING, tmp_path)

    assert result.stdout.splitlines() == READ, result.stderr


def test_describing_a_network_with_a_mixer_of_ones_own_needs_no_torch(tmp_path):
    (tmp_path / "shifting.py").write_text(SHIFTING)
    code = f"""
import sys
from nas import Architecture, cost
cost(Architecture.from_json({json.dumps(json.dumps(NETWORK))}))
print("torch" in sys.modules)
"""

    result = run(code, tmp_path, NAS_MIXERS="shifting")

    assert result.stdout == "False\n", result.stderr


REFUSED = """
from nas.errors import InputError
from nas.mixers import outside
for _ in range(2):
    try:
        outside()
    except InputError as error:
        print(error)
"""


def test_a_module_that_cannot_be_imported_is_named_in_one_error_each_time(tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_package\n")

    for module, reason in (("nowhere", "No module named 'nowhere'"), ("broken", "No module named 'no_such_package'")):
        result = run(REFUSED, tmp_path, NAS_MIXERS=module)

        line = f"NAS_MIXERS: module {module!r} cannot be imported: {reason}"
        assert result.stdout.splitlines() == [line, line], result.stderr


def test_a_module_whose_kind_is_taken_is_refused_naming_who_has_it(tmp_path):
    (tmp_path / "shifting.py").write_text(SHIFTING.replace('"shift"', '"pooling"'))

    result = run(REFUSED, tmp_path, NAS_MIXERS="shifting")

    assert (
        result.stdout.splitlines()
        == ["token mixer shifting.Shift: the kind 'pooling' is already nas.mixers.pooling.Pooling"] * 2
    ), result.stderr


def test_an_unknown_kind_says_which_module_could_not_be_imported_rather_than_that_it_is_unknown(tmp_path):
    code = f"from nas import Architecture; Architecture.from_json({json.dumps(json.dumps(NETWORK))})"

    result = run(code, tmp_path, NAS_MIXERS="shifting")

    assert result.returncode
    assert result.stderr.splitlines()[-1] == (
        "nas.errors.InputError: NAS_MIXERS: module 'shifting' cannot be imported: No module named 'shifting'"
    )
