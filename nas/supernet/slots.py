"""Which parameters of different networks share weights, and which part of the shared ones each takes.

Two parameters share weights where they sit at the same place of the network (stage, block, branch) in modules of the
same class: one set of weights per token mixer, whatever its sizes. Of what is shared, a network takes the first
channels (weight entanglement of AutoFormer, arXiv 2107.00651, and of slimmable networks, arXiv 1812.08928), the middle
of a kernel (as in Once-for-All, arXiv 1908.09791, without its transformation), and in matrices that hold several, as
those of queries, keys and values, the first channels of each. What counts positions is shared among equal maps only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from torch import Tensor, nn

from nas.layers.blocks import ConvEmbedding
from nas.layers.dense import (
    AttentionMixer,
    ConvAttentionMixer,
    GatedMlpMixer,
    RandomMixer,
    ReducedAttentionMixer,
    TokenLinearMixer,
    TokenMlpMixer,
)
from nas.layers.multi_axis import AxisGate, MultiAxisMixer

T = TypeVar("T")
Fused = tuple[int, int]

FUSED: Mapping[type[nn.Module], Mapping[str, Fused]] = {
    AttentionMixer: {"qkv": (3, 1)},
    ReducedAttentionMixer: {"kv": (2, 1)},
    ConvAttentionMixer: {"kv.linear": (2, 1)},
    GatedMlpMixer: {"widen": (2, 1)},
    AxisGate: {"widen": (2, 1)},
    MultiAxisMixer: {"widen": (2, 1), "narrow": (1, 2)},
}
"""Linear layers that hold several side by side: how many, of their outputs and of their inputs."""

POSITIONAL: Mapping[type[nn.Module], Mapping[str, int]] = {
    ConvEmbedding: {"position": 1},
    TokenMlpMixer: {"0.weight": 1, "2.weight": 0, "2.bias": 0},
    TokenLinearMixer: {"linear.weight": 0, "linear.bias": 0},
    RandomMixer: {"matrix": 0},
    GatedMlpMixer: {"spatial.weight": 0, "spatial.bias": 0},
    AxisGate: {"spatial.weight": 0, "spatial.bias": 0},
}
"""Parameters that are bound to positions, and the dimension that counts these."""

CONTAINERS = (nn.Sequential, nn.ModuleList)  # whose class says nothing about what is inside


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where a parameter takes its weights from.

    Attributes:
        key: equal for parameters that share weights; parts of the path are joined by "/".
        fused: how many outputs and inputs stand side by side in it.
    """

    key: str
    fused: Fused = (1, 1)


def slots(module: nn.Module, path: str = "") -> dict[str, Slot]:
    """The slot of every parameter of a module that sits at `path` of its network, by the parameter's name.

    A mixer's module from outside may say the same of itself by class attributes `fused` and `positional`, which hold
    what `FUSED` and `POSITIONAL` hold of ours; without them its tensors are taken from the front.
    """
    return dict(_slots(module, path, "", {}, {}))


def _slots(
    module: nn.Module, path: str, prefix: str, fused: Mapping[str, Fused], positional: Mapping[str, int]
) -> Iterator[tuple[str, Slot]]:
    kind = type(module)
    fused = {**fused, **FUSED.get(kind, getattr(kind, "fused", {}))}
    positional = {**positional, **POSITIONAL.get(kind, getattr(kind, "positional", {}))}
    if kind not in CONTAINERS:
        path = f"{path}:{kind.__name__}"
    for name, weight in module.named_parameters(recurse=False):
        counted = positional.get(name)
        where = "" if counted is None else f"@{weight.shape[counted]}"
        yield prefix + name, Slot(f"{path}/{name}{where}", fused.get("", (1, 1)))
    for name, child in module.named_children():
        yield from _slots(
            child, f"{path}/{name}" if path else name, f"{prefix}{name}.", _below(fused, name), _below(positional, name)
        )  # fmt: skip


def _below(said: Mapping[str, T], name: str) -> dict[str, T]:
    """What is said of a child and of what is in it, by their names there; "" is the child itself."""
    found = {path.removeprefix(f"{name}."): value for path, value in said.items() if path.startswith(f"{name}.")}
    return {**found, "": said[name]} if name in said else found


def part_of(shared: Tensor, shape: Sequence[int], fused: Fused = (1, 1)) -> Tensor:
    """The part of shared weights that a parameter of `shape` takes, each dimension at most as large as theirs."""
    return window(shared, shape, fused).reshape(tuple(shape))


def window(tensor: Tensor, shape: Sequence[int], fused: Fused = (1, 1)) -> Tensor:
    """A view of that part; a dimension that holds several side by side is two there."""
    sizes = [*shape]
    for dimension in (1, 0):
        count = fused[dimension]
        if count > 1 and dimension < tensor.ndim:
            tensor = tensor.view(*tensor.shape[:dimension], count, -1, *tensor.shape[dimension + 1 :])
            sizes[dimension : dimension + 1] = [count, sizes[dimension] // count]
    kernels = (tensor.ndim - 2, tensor.ndim - 1) if len(shape) == 4 else ()
    for dimension, size in enumerate(sizes):
        whole = tensor.shape[dimension]
        start = (whole - 1) // 2 - (size - 1) // 2 if dimension in kernels else 0
        tensor = tensor.narrow(dimension, start, size)
    return tensor


def inherit(into: Tensor, given: Tensor, fused: Fused = (1, 1)) -> int:
    """Copy what two tensors of one slot have in common, in place; how many numbers that is."""
    shape = [min(mine, theirs) for mine, theirs in zip(into.shape, given.shape, strict=True)]
    mine = window(into, shape, fused)
    mine.copy_(window(given, shape, fused))
    return mine.numel()
