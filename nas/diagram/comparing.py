"""What sets two architectures apart, part by part; differences that a row of blocks shares are said once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from nas.architecture import Architecture, Block, Stage
from nas.checked import Checked
from nas.costs import cost
from nas.diagram.lines import brief
from nas.diagram.words import field_words, map_size
from nas.mixers import Mixer
from nas.tally import Place

_BLOCK = re.compile(r"(stages\[\d+\]\.blocks)\[(\d+)\](.*)")
_BLOCKS = re.compile(r"stages\[(\d+)\]\.blocks\[(\d+)(?::(\d+))?\]\.?(.*)")
_STAGE = re.compile(r"stages\[(\d+)\]\.?(.*)")


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing in which two architectures differ.

    Attributes:
        path: as in "stages[1].blocks[0].mixer.kernel"; "blocks[0:3]" are the first three, as a slice. "costs.params"
            and the other costs come last. "stages" and "stages[1].blocks" are how many there are.
        left, right: a number, a word, a flag, or a mixer or a stage in a few words; None where it is not there.
    """

    path: str
    left: Any
    right: Any

    @property
    def where(self) -> str:
        """The path in words, as in "stage 2, blocks 1 to 3: kernel"."""
        if found := _BLOCKS.fullmatch(self.path):
            stage, first, stop, field = found.groups()
            many = f"blocks {int(first) + 1} to {stop}" if stop else f"block {int(first) + 1}"
            return f"stage {int(stage) + 1}, {many}: {field_words(field)}"
        if found := _STAGE.fullmatch(self.path):
            stage, field = found.groups()
            return f"stage {int(stage) + 1}" + (f": {field_words(field)}" if field else "")
        return field_words(self.path)


def differences(
    left: Architecture, right: Architecture, *, num_classes: int = 1000, in_channels: int = 3
) -> tuple[Difference, ...]:
    """What differs in the networks and, for so many classes and channels, in their costs; empty for equal ones.

    Blocks are compared in their order, as many as both stages have. What a network makes no use of, such as the
    epsilon of a norm that it has not, is no difference.
    """
    if left.digest == right.digest:
        return ()
    shape = {"num_classes": num_classes, "in_channels": in_channels}
    ours, theirs = cost(left, **shape), cost(right, **shape)
    costs = [
        Difference(f"costs.{field.name}", getattr(ours, field.name), getattr(theirs, field.name))
        for field in dataclasses.fields(ours)
        if getattr(ours, field.name) != getattr(theirs, field.name)
    ]
    return (*folded(block_by_block(left, right)), *costs)


def block_by_block(left: Architecture, right: Architecture) -> list[Difference]:
    """The differences of the networks, each block for itself."""
    found: list[Difference] = []
    if left.resolution != right.resolution:
        found.append(Difference("resolution", left.resolution, right.resolution))
    if len(left.stages) != len(right.stages):
        found.append(Difference("stages", len(left.stages), len(right.stages)))
    for index in range(max(len(left.stages), len(right.stages))):
        path = f"stages[{index}]"
        if index < min(len(left.stages), len(right.stages)):
            found += _stage(path, (left.stages[index], left.places[index]), (right.stages[index], right.places[index]))
        else:
            found.append(Difference(path, _stage_words(left, index), _stage_words(right, index)))
    return [*found, *_fields("head", left.head, right.head)]


def folded(found: Sequence[Difference]) -> list[Difference]:
    """Equal differences of blocks in a row as one, in the place of the first."""
    rows: list[list[Difference]] = []
    latest: dict[tuple[str, str, str, str], tuple[int, list[Difference]]] = {}
    for each in found:
        row = [each]
        if match := _BLOCK.fullmatch(each.path):
            blocks, field, index = match[1], match[3], int(match[2])
            told = (blocks, field, repr(each.left), repr(each.right))
            before, earlier = latest.get(told, (-2, row))
            latest[told] = (index, earlier if before == index - 1 else row)
            if before == index - 1:
                earlier.append(each)
                continue
        rows.append(row)
    return [_row(row) for row in rows]


def _row(row: Sequence[Difference]) -> Difference:
    match = _BLOCK.fullmatch(row[0].path)
    if match is None or len(row) == 1:
        return row[0]
    blocks, first, field = match.groups()
    return dataclasses.replace(row[0], path=f"{blocks}[{first}:{int(first) + len(row)}]{field}")


def _stage(path: str, left: tuple[Stage, Place], right: tuple[Stage, Place]) -> Iterator[Difference]:
    (ours, our_place), (theirs, their_place) = left, right
    if our_place.side != their_place.side:
        yield Difference(f"{path}.side", our_place.side, their_place.side)
    if ours.width != theirs.width:
        yield Difference(f"{path}.width", ours.width, theirs.width)
    yield from _fields(f"{path}.embedding", ours.embedding, theirs.embedding)
    if ours.position != theirs.position:
        yield Difference(f"{path}.position", ours.position, theirs.position)
    if len(ours.blocks) != len(theirs.blocks):
        yield Difference(f"{path}.blocks", len(ours.blocks), len(theirs.blocks))
    for index, (block, other) in enumerate(zip(ours.blocks, theirs.blocks, strict=False)):
        if block is not other and block != other:
            yield from _fields(f"{path}.blocks[{index}]", block, other)


def _fields(path: str, left: Checked, right: Checked) -> Iterator[Difference]:
    if isinstance(left, Mixer) and isinstance(right, Mixer) and left.kind != right.kind:
        yield Difference(path, brief(left), brief(right))
        return
    idle = (_idle(left) & _idle(right)) | ({"norm_eps"} & (_idle(left) | _idle(right)))
    for field in dataclasses.fields(left):
        ours, theirs = getattr(left, field.name), getattr(right, field.name)
        if ours == theirs or field.name in idle:
            continue
        if isinstance(ours, Checked):
            yield from _fields(f"{path}.{field.name}", ours, theirs)
        else:
            yield Difference(f"{path}.{field.name}", ours, theirs)


def _idle(spec: Checked) -> set[str]:
    """Fields that this part makes no use of."""
    idle: set[str] = set()
    if isinstance(spec, Block) and spec.layout == "pre_norm" and not spec.mlp_ratio:
        idle.add("activation")
    if getattr(spec, "norm", None) in {"none", "affine"}:
        idle.add("norm_eps")
    return idle


def _stage_words(architecture: Architecture, index: int) -> str | None:
    if index >= len(architecture.stages):
        return None
    depth = len(architecture.stages[index].blocks)
    return f"{map_size(architecture.places[index])}, {depth} block{'' if depth == 1 else 's'}"
