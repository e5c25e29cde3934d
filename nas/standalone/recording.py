"""How a network was made: the constructor calls of its modules, watched while it is built."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import nn

from nas.architecture import Architecture
from nas.model import Backbone


@dataclasses.dataclass(frozen=True)
class Calls:
    """The modules of a network with the arguments that each was made with.

    Attributes:
        model: on the meta device where its mixers allow that, so it has shapes and no numbers.
        arguments: by the id of a module, parameter to value in the order of the signature.
    """

    model: Backbone
    arguments: Mapping[int, Mapping[str, Any]]

    def of(self, module: nn.Module) -> Mapping[str, Any]:
        """The arguments of `module`."""
        return self.arguments[id(module)]


def record(architecture: Architecture, in_channels: int, num_classes: int) -> Calls:
    """Build the network and note what every module was made with."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return _record(architecture, in_channels, num_classes)
        except (RuntimeError, TypeError, ValueError):  # a mixer of the user's own that computes with numbers
            return _record(architecture, in_channels, num_classes)


def _record(architecture: Architecture, in_channels: int, num_classes: int) -> Calls:
    seen: dict[int, Mapping[str, Any]] = {}
    alive: list[nn.Module] = []  # so that no id is given twice
    with _watching(seen, alive):
        model = Backbone(architecture, in_channels, num_classes, 0.0)
    return Calls(model.eval(), {id(module): seen[id(module)] for module in model.modules()})


@contextmanager
def _watching(seen: dict[int, Mapping[str, Any]], alive: list[nn.Module]) -> Iterator[None]:
    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_code.co_name != "__init__" or not frame.f_code.co_argcount:
            return
        made = frame.f_locals.get(frame.f_code.co_varnames[0])
        if isinstance(made, nn.Module) and id(made) not in seen:  # the first is that of its own class
            alive.append(made)
            seen[id(made)] = _arguments(frame)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)


def _arguments(frame: FrameType) -> dict[str, Any]:
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return {name: frame.f_locals[name] for name in code.co_varnames[1:count]}
