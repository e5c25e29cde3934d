"""Templates: values with choices in them. What a user writes; `nas.space.Space` gives them genes.

    Space(of(Architecture, resolution=32, stages=(of(Stage, width=one_of(32, 64), ...),)))
    Space({f"layer{i}": one_of("skip", "conv3", "conv5") for i in range(8)})

Any dict, list, tuple, scalar or value may hold a choice at any depth; a choice may hold further choices, which count
only where it is taken.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nas.errors import SpaceError

Scalar = str | int | float | bool | None


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some options. Made by `one_of` and `int_range`.

    Attributes:
        order: the author's word on whether the options are in an order; None where it follows from the labels.
    """

    options: tuple[Any, ...]
    labels: tuple[Scalar, ...]
    order: bool | None = None

    @property
    def ordered(self) -> bool:
        """Whether the options are in an order, so that options side by side are alike."""
        return self.rising if self.order is None else self.order

    @property
    def rising(self) -> bool:
        """Whether the labels are numbers in rising order."""
        numbers = [label for label in self.labels if isinstance(label, int | float) and not isinstance(label, bool)]
        return len(numbers) == len(self.labels) and numbers == sorted(numbers)

    def only(self, kept: Sequence[Scalar]) -> Choice:
        """Without the options of other labels; in an order where it was in one."""
        left = [index for index, label in enumerate(self.labels) if any(alike(label, each) for each in kept)]
        options, labels = (tuple(each[index] for index in left) for each in (self.options, self.labels))
        return Choice(options, labels, self.ordered)


@dataclasses.dataclass(frozen=True)
class Make:
    """A value of a class, some of whose fields hold choices. Made by `of`."""

    cls: type
    fields: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Repeat:
    """A tuple of equal items, whose length may be a choice. Made by `repeat`."""

    item: Any
    count: Any


@dataclasses.dataclass(frozen=True)
class Narrow:
    """A template with some options left out. Made by `nas.narrow.narrowed`.

    Attributes:
        kept: the labels that are left, by the path that the gene has where `template` is a space of its own.
    """

    template: Any
    kept: Mapping[str, tuple[Scalar, ...]]


def one_of(*options: Any, ordered: Any = None, **named: Any) -> Choice:
    """A choice between options; keyword options carry the name that gene paths and SQL show.

    Args:
        *options: scalars, or values that may hold further choices.
        ordered: True: the options are in an order, as in one_of("none", "small", "large", ordered=True); False: numbers
            are only names; None: options that are rising numbers are in an order, others are not.
        **named: further options; none can be called `ordered`.

    Raises: SpaceError for no option, for a name twice, for the same option twice without names of their own, or for
        an `ordered` that is an option.
    """
    if ordered is not None and not isinstance(ordered, bool):
        raise SpaceError(
            f"one_of(ordered={ordered!r}): True, False or None says whether the options are in an order; "
            "an option of that name needs another one"
        )
    values = (*options, *named.values())
    labels = (*_labels(options, named), *named)
    if not values:
        raise SpaceError("one_of() has no options")
    for index, label in enumerate(labels):
        twice = any(alike(label, other) for other in labels[:index])
        if twice or (index < len(options) and any(alike(options[index], other) for other in options[:index])):
            raise SpaceError(f"one_of() has the option {label!r} twice")
    return Choice(values, labels, ordered)


def int_range(low: int, high: int, step: int = 1) -> Choice:
    """A choice between low, low + step, ... up to and with high. Raises: SpaceError for an empty range."""
    if step < 1 or low > high:
        raise SpaceError(f"int_range({low}, {high}, {step}) is empty: low <= high and step >= 1 must hold")
    return one_of(*range(low, high + 1, step))


def of(cls: type, **fields: Any) -> Make:
    """A value of `cls` whose fields may hold choices; fields left out have their default.

    Raises: SpaceError for a field that the class does not have.
    """
    known = [field.name for field in dataclasses.fields(cls)]
    if extra := [name for name in fields if name not in known]:
        raise SpaceError(f"of({cls.__name__}): unknown field {extra[0]!r}; known: {', '.join(known)}")
    return Make(cls, dict(fields))


def repeat(item: Any, count: Any) -> Repeat:
    """A tuple of `count` equal items: the item's choices are shared, the count may be `int_range` or `one_of`."""
    return Repeat(item, count)


def _labels(options: Sequence[Any], taken: Iterable[str]) -> list[Scalar]:
    """Scalars name themselves; other options get the name of their kind, numbered where it is taken."""
    labels: list[Scalar] = []
    used = {*taken, *(option for option in options if isinstance(option, str))}
    for option in options:
        if isinstance(option, Scalar):
            labels.append(option)
            continue
        name = _name(option)
        numbered = (f"{name}_{count}" for count in itertools.count(2))
        label = next(text for text in itertools.chain((name,), numbered) if text not in used)
        used.add(label)
        labels.append(label)
    return labels


def alike(value: Any, other: Any) -> bool:
    """Equal, with True and 1 told apart at any depth."""
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        return type(value) is type(other) and len(value) == len(other) and all(map(alike, value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(alike(value[name], other[name]) for name in value)
    if dataclasses.is_dataclass(value) and type(value) is type(other) and value == other:
        return all(alike(getattr(value, field.name), getattr(other, field.name)) for field in dataclasses.fields(value))
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _name(option: Any) -> str:
    cls = option.cls if isinstance(option, Make) else type(option)
    kind = getattr(cls, "kind", None)
    return kind if isinstance(kind, str) else re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
