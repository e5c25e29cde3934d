"""The names that a library gives to the parts of a network, as a table that can be read both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

from nas.architecture import Architecture, Block


@dataclasses.dataclass(frozen=True)
class Theirs:
    """Where they keep what we keep in one place.

    Attributes:
        names: their prefixes; more than one when they keep apart what we keep joined by rows.
        way: of `nas.pretrained.ways.WAYS`.
        shares: rows of each of `names`, as a proportion.
        leaves: our last names that they spell differently ("weight": "gamma").
        head_width: of attention whose heads are an axis of their own; 0 where they are not.
    """

    names: tuple[str, ...]
    way: str = "same"
    shares: tuple[int, ...] = (1,)
    leaves: Mapping[str, str] = dataclasses.field(default_factory=dict)
    head_width: int = 0


Table = Mapping[str, str | Theirs]


@dataclasses.dataclass(frozen=True)
class Naming:
    """The names of one family in one library; every text may hold the fields that `_fields` gives.

    Attributes:
        stem, embedding: parts of the first and of the later embeddings, by our names.
        block: prefix of a block. inside: its parts by our names, which may depend on the block.
        end: the last norm and the classifier.
        separator: between the parts of their names.
        default: way and leaves of what is written as plain text.
    """

    stem: Table
    block: str
    inside: Table | Callable[[Block], Table]
    end: Table
    embedding: Table = dataclasses.field(default_factory=dict)
    separator: str = "."
    default: Theirs = Theirs(())

    def parts(self, architecture: Architecture) -> Iterator[tuple[str, Theirs]]:
        """Every part of the network: our prefix, and where they keep it."""
        places = _places(architecture)
        last = {"s": len(places) - 1, "s1": len(places), "end": len(architecture.stages[0].blocks) + 5}
        for s, stage in enumerate(architecture.stages):
            fields = {"s": s, "s1": s + 1, **places[s]}
            for ours, theirs in (self.stem if s == 0 else self.embedding or self.stem).items():
                yield f"stages.{s}.0.{ours}", self._filled(theirs, "", fields)
            for b, block in enumerate(stage.blocks):
                here = {**fields, "b": b, "b3": b + 3}
                table = self.inside(block) if callable(self.inside) else self.inside
                prefix = self.block.format(**here)
                for ours, theirs in table.items():
                    yield f"stages.{s}.{b + 1}.{ours}", self._filled(theirs, prefix + self.separator, here)
        for ours, theirs in self.end.items():
            yield ours, self._filled(theirs, "", last)

    def _filled(self, theirs: str | Theirs, prefix: str, fields: Mapping[str, int]) -> Theirs:
        if isinstance(theirs, str):
            theirs = dataclasses.replace(self.default, names=(theirs,))
        return dataclasses.replace(theirs, names=tuple(prefix + name.format(**fields) for name in theirs.names))


def _places(architecture: Architecture) -> list[dict[str, int]]:
    """Places of a stage in PoolFormer's one list of down-samplings, position tables and bodies."""
    places, index = [], 0
    for s, stage in enumerate(architecture.stages):
        place = {"down": index}
        index += s > 0
        place["table"] = index
        index += stage.position == "learned"
        place["body"] = index
        index += 1
        places.append(place)
    return places


def fused(*names: str, shares: tuple[int, ...] | None = None, way: str = "same", **leaves: str) -> Theirs:
    """Parts that we keep joined by rows."""
    return Theirs(names, way, shares or (1,) * len(names), leaves)


def at(name: str, way: str, **leaves: str) -> Theirs:
    """One part with a way or leaves of its own."""
    return Theirs((name,), way, (1,), leaves)


MLP: Table = {"mlp.1.0": "mlp.fc1", "mlp.1.2": "mlp.fc2"}
NORMS: Table = {"mix.0": "norm1", "mlp.0": "norm2"}
END: Table = {"norm": "norm", "classifier": "head"}
TOKENS: Table = {"class_token": "cls_token", "position": "pos_embed"}
