"""Counting by formula: what a layer adds to parameters, multiply-accumulates and saved activations.

Conventions, for one image: MACs are the multiply-accumulates of convolutions, linear layers, attention products and
token mixing; biases, norms, activations and pooling are not counted. `saved` counts the float32 numbers that autograd
keeps for the backward pass: the input of every weighted layer, norm and smooth activation, and q, k, v of attention.
"""

from __future__ import annotations

from typing import NamedTuple

NORMS = ("none", "layer", "batch", "group", "affine", "std_layer")
ACTIVATIONS = ("gelu", "quick_gelu", "relu", "star_relu", "squared_relu")
_KEPT_BY_NORMS = {  # copies of the tokens, numbers a token, numbers a channel, numbers in all
    "layer": (1, 2, 0, 0),
    "std_layer": (2, 2, 0, 0),
    "batch": (1, 0, 2, 0),
    "group": (1, 0, 0, 2),
    "affine": (1, 0, 0, 0),
}
_KEPT_BY_ACTIVATIONS = {"none": 0, "relu": 0, "gelu": 1, "squared_relu": 1, "quick_gelu": 2, "star_relu": 2}


class Place(NamedTuple):
    """Where a layer sits: channels, side of the square map in positions, class tokens beside it (0 or 1)."""

    width: int
    side: int
    extra: int = 0

    @property
    def tokens(self) -> int:
        """Positions of the map plus the class token."""
        return self.side * self.side + self.extra


class Tally(NamedTuple):
    """Trainable parameters, MACs, saved numbers and frozen parameters of a part of a network."""

    params: int = 0
    macs: int = 0
    saved: int = 0
    frozen: int = 0

    def plus(self, *others: Tally) -> Tally:
        """The sum with `others`."""
        params, macs, saved, frozen = self
        for other in others:
            params += other[0]
            macs += other[1]
            saved += other[2]
            frozen += other[3]
        return Tally(params, macs, saved, frozen)

    def times(self, count: int) -> Tally:
        """This part `count` times."""
        return Tally(self.params * count, self.macs * count, self.saved * count, self.frozen * count)


def linear(tokens: int, wide_in: int, wide_out: int, *, bias: bool = True) -> Tally:
    """A linear layer over `tokens` positions."""
    return Tally(wide_in * wide_out + bias * wide_out, tokens * wide_in * wide_out, tokens * wide_in)


def convolution(
    side_in: int, side_out: int, wide_in: int, wide_out: int, kernel: int, *, groups: int = 1, bias: bool = True
) -> Tally:
    """A square convolution from a `side_in` map to a `side_out` map."""
    weights = wide_in // groups * wide_out * kernel * kernel
    return Tally(weights + bias * wide_out, weights * side_out * side_out, wide_in * side_in * side_in)


def norm(kind: str, place: Place, *, bias: bool = True) -> Tally:
    """A norm with a scale, and with `bias` a shift, per channel; it keeps its input and its statistics."""
    if kind == "none":
        return Tally()
    tokens, width = place.tokens, place.width
    copies, by_token, by_channel, once = _KEPT_BY_NORMS[kind]
    kept = copies * tokens * width + by_token * tokens + by_channel * width + once
    return Tally((1 + bias) * width, 0, kept)


def activation(kind: str, numbers: int) -> Tally:
    """An activation over `numbers` values; ReLU keeps its output, which the next layer keeps anyway."""
    return Tally(2 if kind == "star_relu" else 0, 0, _KEPT_BY_ACTIVATIONS[kind] * numbers)


def out_side(side: int, kernel: int, stride: int, padding: int) -> int:
    """Side of the map that a convolution makes of a `side` map (0 or less: it does not fit)."""
    return (side + 2 * padding - kernel) // stride + 1
