"""`check_mixer` finds what is broken, and `register` refuses what cannot be a mixer."""

import dataclasses
from typing import ClassVar

import pytest
import torch
from torch import nn

from nas.checked import whole
from nas.errors import InputError
from nas.mixers import MIXERS, Mixer, base, register
from nas.tally import Tally, linear
from nas.testing import check_mixer


@pytest.fixture(autouse=True)
def registry():
    """What a test registers is forgotten after it."""
    before, outside = dict(MIXERS), list(base._OUTSIDE)
    yield
    MIXERS.clear()
    MIXERS.update(before)
    base._OUTSIDE[:] = outside


class Doubled(nn.Module):
    """A linear layer that may do several things wrong."""

    def __init__(self, width, out, *, across=False):
        super().__init__()
        self.linear, self.across = nn.Linear(width, out), across

    def forward(self, x_BNC):
        mixed = self.linear(x_BNC)
        return mixed - mixed.mean(dim=0, keepdim=True) if self.across else mixed


def mixer(**ways):
    """A registered mixer that is right but for `ways`."""

    @register
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Probe(Mixer):
        kind: ClassVar[str] = "probe"
        step: int = whole(1, 3, default=1)

        def faults_at(self, place):
            return iter(()) if ways.get("takes_all") else super().faults_at(place)

        def cost_at(self, place):
            right = linear(place.tokens, place.width, place.width)
            return right.plus(Tally(ways.get("params", 0), ways.get("macs", 0)))

        def module(self, place):
            return Doubled(place.width, place.width + ways.get("wider", 0), across=ways.get("across", False))

    return Probe(step=2)


def test_a_mixer_that_is_right_passes():
    check_mixer(mixer())


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({"params": 1}, "parameters by formula, the module has"),
        ({"macs": 1}, "MACs by formula"),
        ({"wider": 1}, r"\(2, 64, 16\) becomes \(2, 64, 17\)"),
        ({"across": True}, "an image depends on the others of its batch"),
        ({"takes_all": True}, "faults_at lets a class token pass"),
    ],
)
def test_what_is_wrong_is_said(ways, said):
    probe = mixer(**ways)
    torch.manual_seed(0)

    with pytest.raises(AssertionError, match=said):
        check_mixer(probe)


def test_a_class_that_was_not_registered_is_told_so():
    probe = mixer()
    del MIXERS["probe"]

    with pytest.raises(AssertionError, match="put @register above it"):
        check_mixer(probe)


def test_a_field_without_a_rule_is_refused_by_name():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Plain(Mixer):
        kind: ClassVar[str] = "plain"
        step: int = 1

    with pytest.raises(InputError, match=r"^token mixer .*Plain: step has no rule; whole\("):
        register(Plain)


@pytest.mark.parametrize("kind", ["Shift.x", "", "two words", 3])
def test_a_kind_that_is_no_name_is_refused(kind):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Odd(Mixer):
        pass

    Odd.kind = kind

    with pytest.raises(InputError, match="is no name such as 'shift'"):
        register(Odd)


def test_a_class_that_is_no_dataclass_is_refused():
    class Bare(Mixer):
        kind = "bare"

    with pytest.raises(InputError, match="is no dataclass"):
        register(Bare)
