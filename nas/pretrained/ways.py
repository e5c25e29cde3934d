"""How a tensor of theirs becomes one of ours, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Way:
    """A translation of one tensor.

    Attributes:
        to_ours: of their tensor. to_theirs: its inverse; None where theirs needs facts that ours has lost.
    """

    to_ours: Callable[[Tensor], Tensor]
    to_theirs: Callable[[Tensor], Tensor] | None


def _square_map(x_1NC: Tensor) -> Tensor:
    side = math.isqrt(x_1NC.shape[1])
    return x_1NC.transpose(1, 2).reshape(1, -1, side, side)


WAYS: dict[str, Way] = {
    "same": Way(lambda x: x, lambda x: x),
    # their pointwise convolution is our linear layer
    "pointwise": Way(lambda x: x.flatten(1) if x.ndim == 4 else x, lambda x: x[:, :, None, None] if x.ndim == 2 else x),
    # vectors that they keep in the shape they broadcast with
    "row": Way(lambda x: x.flatten(), lambda x: x[None, None]),
    "channel": Way(lambda x: x.flatten(), lambda x: x[None, :, None, None]),
    # a position table as a map (1, C, H, W)
    "map": Way(lambda x: x.flatten(2).transpose(1, 2), _square_map),
    # Flax: kernels are (in, out), convolutions (H, W, in, out), attention (in, heads, d) and (heads, d, out)
    "dense": Way(lambda x: x.T if x.ndim == 2 else x, lambda x: x.T if x.ndim == 2 else x),
    "hwio": Way(
        lambda x: x.permute(3, 2, 0, 1) if x.ndim == 4 else x, lambda x: x.permute(2, 3, 1, 0) if x.ndim == 4 else x
    ),
    "heads_in": Way(lambda x: x.flatten(1).T if x.ndim == 3 else x.flatten(), None),
    "heads_out": Way(lambda x: x.flatten(0, 1).T if x.ndim == 3 else x, None),
}


def split(tensor: Tensor, shares: Sequence[int]) -> list[Tensor]:
    """Cut our fused tensor into theirs along the rows, in the given proportions."""
    unit = tensor.shape[0] // sum(shares)
    return list(torch.split(tensor, [unit * share for share in shares]))
