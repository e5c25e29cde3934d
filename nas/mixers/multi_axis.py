"""A gated MLP along two axes of the map, windows and a dilated grid: the mixer of MAXIM (arXiv 2201.02973)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from nas.checked import Fault, whole
from nas.mixers.base import Mixer
from nas.tally import Place, Tally, activation, linear, norm

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiAxisMlp(Mixer):
    """Linear C to 2C, GELU, halves; one is gated across a grid, one inside windows; both joined, linear 2C to C.

    Each branch is x + linear(a (1 + T(norm b))) with a, b the halves of GELU(linear(norm x)) and T a linear layer
    across the positions of an axis. Its parameters do not depend on the size of the map, unlike gMLP's.

    Attributes:
        block: side of the windows, whose positions mix with each other.
        grid: side of the grid of cells; equal positions of all cells mix with each other.
    """

    kind: ClassVar[str] = "multi_axis_mlp"
    block: int = whole(1, 64, default=8)
    grid: int = whole(1, 64, default=8)

    def faults_at(self, place: Place) -> Iterator[Fault]:
        """A map that windows or grid do not divide."""
        yield from super().faults_at(place)
        for field in ("block", "grid"):
            size = getattr(self, field)
            if place.side % size:
                yield field, f"the {place.side}x{place.side} map is no multiple of {size}"

    def cost_at(self, place: Place) -> Tally:
        """10C^2 + 17C + b^4 + b^2 + g^4 + g^2 parameters."""
        width, tokens = place.width, place.tokens
        numbers, layer = tokens * width, norm("layer", place)
        branch = layer.plus(
            linear(tokens, width, 2 * width),
            activation("gelu", 2 * numbers),
            layer._replace(saved=2 * numbers + 2 * tokens),
            linear(tokens, width, width),
        )
        gates = [Tally(axis * axis + axis, axis * numbers, 2 * numbers) for axis in (self.grid**2, self.block**2)]
        return linear(tokens, width, 2 * width).plus(
            activation("gelu", 2 * numbers), branch.times(2), *gates, linear(tokens, 2 * width, width)
        )

    def module(self, place: Place) -> nn.Module:
        """`nas.layers.multi_axis.MultiAxisMixer`."""
        from nas.layers.multi_axis import MultiAxisMixer

        return MultiAxisMixer(place.width, place.side, self.block, self.grid)
