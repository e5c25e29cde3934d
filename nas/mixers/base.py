"""What every token mixer states about itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from nas.checked import Checked, Fault
from nas.tally import Place, Tally


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixer(Checked):
    """A token mixer as a value: its fields, where it fits, what it costs. Its module is built by `nas.layers`.

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


def head_faults(head_width: int, width: int) -> Iterator[Fault]:
    """The fault of a width that is no multiple of an attention head."""
    if width % head_width:
        yield "head_width", f"{width} is not a multiple of {head_width}, one attention head"
