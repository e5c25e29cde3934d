"""What every token mixer states about itself, and the mapping from kind to class."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from nas.checked import Checked, Fault
from nas.errors import ArchitectureError, InputError, NasError
from nas.tally import Place, Tally

if TYPE_CHECKING:
    from torch import nn

MODULES_VARIABLE = "NAS_MIXERS"  # modules with mixers of the user's own, separated by commas
ENTRY_POINTS = "mixer_nas.mixers"  # the same for installed packages


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixer(Checked):
    """A token mixer as a value: its fields, where it fits, what it costs, and its module.

    Attributes:
        kind: the name in JSON, in gene paths and in messages.
        takes_class_token: whether it can mix a class token along with the map.
    """

    kind: ClassVar[str]
    takes_class_token: ClassVar[bool] = False

    def faults_at(self, place: Place) -> Iterator[Fault]:
        """What forbids this mixer at `place`, as (field, message); field '' means the mixer as a whole."""
        if place.extra and not self.takes_class_token:
            yield "", f"{self.kind} cannot mix a class token"

    def cost_at(self, place: Place) -> Tally:
        """Parameters, MACs and saved numbers at `place`, by formula."""
        raise NotImplementedError

    def module(self, place: Place) -> nn.Module:
        """The module that mixes BNC tokens at `place` (N = place.tokens, C = place.width) to BNC tokens."""
        raise NotImplementedError

    @classmethod
    def choices(cls) -> Any:
        """What the spaces offer of a mixer from outside: a value, or a template with choices in it."""
        return cls()

    @classmethod
    def class_of(cls, body: dict[str, Any]) -> type[Checked]:
        """The class of a kind. Raises: ArchitectureError naming the known kinds."""
        kind = body.pop("kind", None)
        if isinstance(kind, str) and kind not in MIXERS:
            load_outside()
        if not isinstance(kind, str) or kind not in MIXERS:
            hint = f"; a mixer of your own is found through {MODULES_VARIABLE}"
            raise ArchitectureError([("kind", f"{kind!r} is unknown; known: {', '.join(MIXERS)}{hint}")])
        return MIXERS[kind]


MIXERS: dict[str, type[Mixer]] = {}
_OUTSIDE: list[type[Mixer]] = []
M = TypeVar("M", bound=Mixer)


def register(cls: type[M]) -> type[M]:
    """Make a mixer of your own known by its kind (a class decorator).

    A process that reads architectures must have imported it: list its module in NAS_MIXERS, or name it in the
    entry-point group `mixer_nas.mixers` of an installed package. Raises: InputError for a kind that is taken or is no
    name, and for a class that is no dataclass of checked fields.
    """
    name = f"{cls.__module__}.{cls.__qualname__}"
    kind = getattr(cls, "kind", None)
    if not isinstance(kind, str) or not kind.isidentifier():
        raise InputError(f"token mixer {name}: kind {kind!r} is no name such as 'shift'")
    if "__dataclass_fields__" not in vars(cls):
        raise InputError(f"token mixer {name} is no dataclass(frozen=True, kw_only=True); @register goes above it")
    if plain := [field.name for field in dataclasses.fields(cls) if "rule" not in field.metadata]:
        raise InputError(
            f"token mixer {name}: {plain[0]} has no rule; whole(...), real(...), word(...) or flag(...) is one"
        )
    known = MIXERS.get(kind)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError(f"token mixer {name}: the kind {kind!r} is already {known.__module__}.{known.__qualname__}")
    MIXERS[cls.kind] = cls
    if not cls.__module__.startswith("nas.mixers."):
        _OUTSIDE[:] = [*(other for other in _OUTSIDE if other.kind != cls.kind), cls]
    return cls


def outside() -> tuple[type[Mixer], ...]:
    """The registered mixers that are not ours, in the order of their registration."""
    load_outside()
    return tuple(_OUTSIDE)


@cache
def load_outside() -> None:
    """Import what NAS_MIXERS and the entry points name, once; modules of the working directory count too.

    Raises: InputError for what cannot be imported.
    """
    for name in filter(None, (part.strip() for part in os.environ.get(MODULES_VARIABLE, "").split(","))):
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.append(here)
        _loaded(partial(importlib.import_module, name), f"{MODULES_VARIABLE}: module {name!r} cannot be imported")
    for point in entry_points(group=ENTRY_POINTS):
        _loaded(point.load, f"{ENTRY_POINTS}: {point.name} = {point.value} cannot be imported")


def _loaded(load: Callable[[], object], failed: str) -> None:
    try:
        load()
    except NasError:
        raise
    except ImportError as error:
        raise InputError(f"{failed}: {error}") from error
    except Exception as error:  # a module of somebody else's may raise anything
        raise InputError(f"{failed}: {type(error).__name__}: {error}") from error


def head_faults(head_width: int, width: int) -> Iterator[Fault]:
    """The fault of a width that is no multiple of an attention head."""
    if width % head_width:
        yield "head_width", f"{width} is not a multiple of {head_width}, one attention head"
