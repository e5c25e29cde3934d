"""The compiled form of a template: a tree that builds, matches, counts and draws values by gene."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
import operator
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from nas.checked import Checked
from nas.errors import SpaceError
from nas.template import Scalar, alike

Genome = tuple[int, ...]

KEPT = 2048  # values that a group remembers having built
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclasses.dataclass(frozen=True)
class Gene:
    """One choice of a space.

    Attributes:
        path: where it sits, and its name everywhere.
        options: what SQL and people see of its options: the scalars themselves, or names.
        ordered: whether the options are in an order: rising numbers, or what the author calls ordered.
        parent, when: the gene, and its option, under which this gene is used; None for always.
    """

    path: str
    options: tuple[Scalar, ...]
    ordered: bool
    parent: int | None
    when: int | None

    def index(self, label: Scalar) -> int:
        """The option with that label. Raises: SpaceError listing the options."""
        for index, option in enumerate(self.options):
            if alike(option, label):
                return index
        raise SpaceError(f"{self.path}: {label!r} is no option; known: {', '.join(map(repr, self.options))}")

    def near(self, option: int) -> tuple[int, ...]:
        """The options next to one: below and above it in an ordered gene, all others elsewhere."""
        if self.ordered:
            return tuple(other for other in (option - 1, option + 1) if 0 <= other < len(self.options))
        return self.others(option)

    def others(self, option: int) -> tuple[int, ...]:
        """All options but one."""
        return tuple(other for other in range(len(self.options)) if other != option)


class Draw(enum.Enum):
    """How genes are drawn: each option of a choice alike (in the choices taken, or everywhere), or each genome alike.

    With genomes alike, a mixer with many settings of its own would crowd out those with none.
    """

    CHOICES = "choices"
    EVERYWHERE = "everywhere"
    GENOMES = "genomes"


class Node(Protocol):
    """What every part of a compiled template can do. `match` returns None, or where and why a value does not fit."""

    @property
    def count(self) -> int:
        """Different genomes below here, legal or not."""

    @property
    def may_be_illegal(self) -> bool:
        """Whether some combination may be refused when built."""

    def genes_below(self) -> Iterator[int]:
        """Indices of the genes that say what is built."""

    def build(self, genome: Sequence[int]) -> Any:
        """The value."""

    def match(self, value: Any, found: dict[int, int], path: str) -> str | None:
        """Fill `found` (gene index to option) with what makes `value`."""

    def draw(self, rng: random.Random, options: list[int], how: Draw) -> None:
        """Set the genes used."""

    def enumerate(self, genes: int) -> Iterator[Genome]:
        """Every canonical genome."""

    def describe(self) -> Any:
        """JSON that is equal for equal nodes."""


class _Base:
    def enumerate(self, genes: int) -> Iterator[Genome]:
        for pairs in self.assignments():
            chosen = dict(pairs)
            yield tuple(chosen.get(index, 0) for index in range(genes))

    def assignments(self) -> Iterator[tuple[tuple[int, int], ...]]:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Const(_Base):
    """A value without choices."""

    value: Any
    count: int = 1
    may_be_illegal: bool = False

    def genes_below(self) -> Iterator[int]:
        yield from ()

    def build(self, genome: Sequence[int]) -> Any:  # noqa: ARG002
        return self.value

    def match(self, value: Any, found: dict[int, int], path: str) -> str | None:  # noqa: ARG002
        return None if alike(value, self.value) else f"{path or 'value'}: {value!r} is not {self.value!r}"

    def draw(self, rng: random.Random, options: list[int], how: Draw) -> None:
        pass

    def assignments(self) -> Iterator[tuple[tuple[int, int], ...]]:
        yield ()

    def describe(self) -> Any:
        value = self.value
        if isinstance(value, Checked):
            return {type(value).__name__: value.as_json()}
        plain = isinstance(value, Scalar) and not (isinstance(value, float) and not math.isfinite(value))
        return value if plain else getattr(value, "__qualname__", None) or _shown(value)


@dataclasses.dataclass(frozen=True)
class Group(_Base):
    """Named parts that make a dict, a list, a tuple, or a value of a class."""

    cls: type
    parts: Mapping[Any, Any]

    @cached_property
    def count(self) -> int:
        return math.prod(part.count for part in self.parts.values())

    @cached_property
    def may_be_illegal(self) -> bool:
        refuses = hasattr(self.cls, "__post_init__")  # as every Checked does
        return refuses or any(part.may_be_illegal for part in self.parts.values())

    def genes_below(self) -> Iterator[int]:
        for part in self.parts.values():
            yield from part.genes_below()

    @cached_property
    def _options_below(self) -> Callable[[Sequence[int]], Any]:
        genes = tuple(self.genes_below())
        return operator.itemgetter(*genes) if genes else lambda genome: ()  # noqa: ARG005

    @cached_property
    def _built(self) -> dict[Any, Any]:
        return {}

    def build(self, genome: Sequence[int]) -> Any:
        if not issubclass(self.cls, Checked) or not genome:
            return self._build(genome)
        options = self._options_below(genome)  # what cannot be changed may be part of many candidates
        if options not in self._built:
            if len(self._built) >= KEPT:
                self._built.clear()
            self._built[options] = self._build(genome)
        return self._built[options]

    def _build(self, genome: Sequence[int]) -> Any:
        values = {name: part.build(genome) for name, part in self.parts.items()}
        if self.cls is dict:
            return values
        if self.cls in (list, tuple):
            return self.cls(values.values())
        return self.cls(*values.values()) if issubclass(self.cls, tuple) else self.cls(**values)

    def match(self, value: Any, found: dict[int, int], path: str) -> str | None:
        if type(value) is not self.cls:
            return f"{path or 'value'}: {type(value).__name__} is not {self.cls.__name__}"
        given = self._given(value)
        if given.keys() != self.parts.keys():
            odd = sorted(map(str, given.keys() ^ self.parts.keys()))
            return f"{path or 'value'}: {odd[0]} is on one side only"
        for name, part in self.parts.items():
            if misfit := part.match(given[name], found, f"{path}.{name}" if path else str(name)):
                return str(misfit)
        return None

    def _given(self, value: Any) -> dict[Any, Any]:
        if self.cls is dict:
            return dict(value)
        if issubclass(self.cls, list | tuple):
            return dict(enumerate(value))
        cls: Any = self.cls
        defaults = {field.name: _default(field) for field in dataclasses.fields(cls)}
        given = {name: getattr(value, name) for name in defaults}
        return {name: item for name, item in given.items() if name in self.parts or item != defaults[name]}

    def draw(self, rng: random.Random, options: list[int], how: Draw) -> None:
        for part in self.parts.values():
            part.draw(rng, options, how)

    def assignments(self) -> Iterator[tuple[tuple[int, int], ...]]:
        for combination in itertools.product(*(tuple(part.assignments()) for part in self.parts.values())):
            yield tuple(itertools.chain.from_iterable(combination))

    def describe(self) -> Any:
        return {self.cls.__name__: [[name, part.describe()] for name, part in self.parts.items()]}


@dataclasses.dataclass(frozen=True)
class Pick(_Base):
    """A gene and its options.

    Attributes:
        order: what the author says of the order, where it is not what the labels say by themselves.
    """

    gene: int
    labels: tuple[Scalar, ...]
    options: tuple[Any, ...]
    order: bool | None = None

    @cached_property
    def count(self) -> int:
        return sum(option.count for option in self.options)

    @cached_property
    def may_be_illegal(self) -> bool:
        return any(option.may_be_illegal for option in self.options)

    @cached_property
    def _bounds(self) -> tuple[int, ...]:
        return tuple(itertools.accumulate(option.count for option in self.options))

    def genes_below(self) -> Iterator[int]:
        yield self.gene
        for option in self.options:
            yield from option.genes_below()

    def build(self, genome: Sequence[int]) -> Any:
        return self.options[genome[self.gene]].build(genome)

    def match(self, value: Any, found: dict[int, int], path: str) -> str | None:
        misfits = []
        for index, option in enumerate(self.options):
            trial: dict[int, int] = {}
            misfit = option.match(value, trial, path)
            if misfit is None:
                found.update(trial)
                found[self.gene] = index
                return None
            misfits.append(str(misfit))
        if all(isinstance(option, Const) for option in self.options):
            return f"{path or 'value'}: {value!r} is none of {', '.join(map(repr, self.labels))}"
        return max(misfits, key=lambda misfit: misfit.partition(":")[0].count("."))

    def draw(self, rng: random.Random, options: list[int], how: Draw) -> None:
        if how is Draw.GENOMES:
            ticket = rng.randrange(self.count)
            index = next(index for index, bound in enumerate(self._bounds) if ticket < bound)
        else:
            index = rng.randrange(len(self.options))
        options[self.gene] = index
        for option in self.options if how is Draw.EVERYWHERE else (self.options[index],):
            option.draw(rng, options, how)

    def assignments(self) -> Iterator[tuple[tuple[int, int], ...]]:
        for index, option in enumerate(self.options):
            for below in option.assignments():
                yield ((self.gene, index), *below)

    def describe(self) -> Any:
        body: dict[str, Any] = {
            "one_of": [[label, option.describe()] for label, option in zip(self.labels, self.options, strict=True)]
        }
        return body if self.order is None else body | {"ordered": self.order}  # without it digests stay what they were


@dataclasses.dataclass(frozen=True)
class Times(_Base):
    """A tuple of equal items."""

    item: Any
    length: Any

    @cached_property
    def count(self) -> int:
        return int(self.item.count * self.length.count)

    @cached_property
    def may_be_illegal(self) -> bool:
        return bool(self.item.may_be_illegal)

    def genes_below(self) -> Iterator[int]:
        yield from self.length.genes_below()
        yield from self.item.genes_below()

    def build(self, genome: Sequence[int]) -> Any:
        return (self.item.build(genome),) * self.length.build(genome)

    def match(self, value: Any, found: dict[int, int], path: str) -> str | None:
        if not isinstance(value, tuple) or not value:
            return f"{path}: {value!r} is not a tuple of items"
        if not all(alike(item, value[0]) for item in value):
            return f"{path}: the items differ, and this space repeats one"
        misfit: str | None = self.length.match(len(value), found, f"{path}.length")
        return misfit or _text(self.item.match(value[0], found, f"{path}.0"))

    def draw(self, rng: random.Random, options: list[int], how: Draw) -> None:
        self.length.draw(rng, options, how)
        self.item.draw(rng, options, how)

    def assignments(self) -> Iterator[tuple[tuple[int, int], ...]]:
        for length, item in itertools.product(tuple(self.length.assignments()), tuple(self.item.assignments())):
            yield (*length, *item)

    def describe(self) -> Any:
        return {"repeat": [self.length.describe(), self.item.describe()]}


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _shown(value: Any) -> str:
    """The same text in every process: without addresses, and sets in one order."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}({sorted(map(_shown, value))})"
    return ADDRESS.sub("", repr(value))


def _text(misfit: Any) -> str | None:
    return None if misfit is None else str(misfit)
