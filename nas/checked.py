"""Frozen values that cannot be built wrong: field rules, and JSON that is the same for equal values.

A value class derives from `Checked`, is a frozen keyword-only dataclass, and states its rules where its fields are::

    @dataclass(frozen=True, kw_only=True)
    class Pooling(Mixer):
        size: int = whole(1, 63, odd=True, default=3)

Canonical JSON leaves out fields that have their default, so a new field with a default changes no old digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, Self

from nas.errors import ArchitectureError

Fault = tuple[str, str]
Rule = Callable[[Any], str | None]


def _field(rule: Rule, default: Any, **more: Any) -> Any:
    metadata = {"rule": rule, "convert": None, "part": None, "many": False, **more}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def whole(low: int, high: int, *, odd: bool = False, default: Any = dataclasses.MISSING) -> Any:
    """A field that holds an int in [low, high], odd if asked."""

    def rule(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"{value!r} is not a whole number"
        if not low <= value <= high:
            return f"{value} is outside [{low}, {high}]"
        return f"{value} is even, and an even size has no centre" if odd and value % 2 == 0 else None

    return _field(rule, default)


def real(low: float, high: float, *, default: Any = dataclasses.MISSING) -> Any:
    """A field that holds a finite float in [low, high]; an int is stored as the float it equals."""

    def rule(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, float) or not math.isfinite(value):
            shown = repr(value)
            return f"{shown if len(shown) <= 40 else shown[:37] + '...'} is not a finite number"
        return None if low <= value <= high else f"{value} is outside [{low}, {high}]"

    return _field(rule, default, convert=float)


def word(*options: str, default: Any = dataclasses.MISSING) -> Any:
    """A field that holds one of `options`."""

    def rule(value: Any) -> str | None:
        return None if value in options else f"{value!r} is unknown; known: {', '.join(options)}"

    return _field(rule, default)


def flag(*, default: Any = dataclasses.MISSING) -> Any:
    """A field that holds True or False."""

    def rule(value: Any) -> str | None:
        return None if isinstance(value, bool) else f"{value!r} is neither true nor false"

    return _field(rule, default)


def child(kind: type[Checked], *, default: Any = dataclasses.MISSING) -> Any:
    """A field that holds a value of `kind`."""

    def rule(value: Any) -> str | None:
        return None if isinstance(value, kind) else f"{value!r} is not a {kind.__name__}"

    return _field(rule, default, part=kind)


def children(kind: type[Checked], *, most: int) -> Any:
    """A field that holds a tuple of 1 to `most` values of `kind`."""

    def rule(value: Any) -> str | None:
        if not isinstance(value, tuple):
            return f"{type(value).__name__} is not a tuple of {kind.__name__}"
        if not 1 <= len(value) <= most:
            return f"{len(value)} of them, and 1 to {most} are allowed"
        bad = next((index for index, item in enumerate(value) if not isinstance(item, kind)), None)
        return None if bad is None else f"item {bad} is {value[bad]!r}, not a {kind.__name__}"

    return _field(rule, dataclasses.MISSING, part=kind, many=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """Base of the frozen values. Building one that breaks a rule raises `ArchitectureError` with every fault."""

    def __post_init__(self) -> None:
        self._normalise()
        faults = list(self.faults())
        if faults:
            raise ArchitectureError(faults)
        object.__setattr__(self, "_sound", True)  # and stays so: a parent need not look again

    def faults(self) -> Iterator[Fault]:
        """Every fault of this value and its children as (path, message)."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            message = field.metadata["rule"](value)
            if message:
                yield field.name, message
            elif isinstance(value, Checked):
                if not value.sound:
                    yield from ((f"{field.name}.{path}", text) for path, text in value.faults())
            elif isinstance(value, tuple):
                seen: set[int] = set()
                for index, item in enumerate(value):
                    if id(item) not in seen and not item.sound:
                        seen.add(id(item))
                        yield from ((f"{field.name}[{index}].{path}", text) for path, text in item.faults())

    @property
    def sound(self) -> bool:
        """Whether it was found without a fault when it was built."""
        return "_sound" in self.__dict__

    def own_faults(self) -> bool:
        """Whether one of this value's own fields breaks its rule (children apart)."""
        return self._own_faults

    @cached_property
    def _own_faults(self) -> bool:
        return any(field.metadata["rule"](getattr(self, field.name)) for field in dataclasses.fields(self))

    @classmethod
    def class_of(cls, body: dict[str, Any]) -> type[Checked]:  # noqa: ARG003 - the signature is the contract's
        """The class that a JSON object stands for; a class with kinds takes the kind out of `body`.

        Raises: ArchitectureError for an unknown kind.
        """
        return cls

    @classmethod
    def unchecked(cls, fields: dict[str, Any]) -> tuple[Self, list[Fault]]:
        """Build without checking, so that a parent can report the faults of all its parts at once.

        Returns the value and the faults of its shape: fields that are missing (None in the value) or unknown.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        faults = [(name, f"unknown field; known: {', '.join(known)}") for name in fields if name not in known]
        value = object.__new__(cls)
        for name, field in known.items():
            given = fields.get(name, field.default)
            if given is dataclasses.MISSING:
                faults.append((name, "missing"))
            object.__setattr__(value, name, None if given is dataclasses.MISSING else given)
        value._normalise()
        return value, faults

    def _normalise(self) -> None:
        for field in dataclasses.fields(self):
            convert, value = field.metadata["convert"], getattr(self, field.name)
            if convert is float and isinstance(value, int | float) and not isinstance(value, bool):
                with suppress(OverflowError):
                    object.__setattr__(self, field.name, float(value) + 0.0)  # -0.0 becomes 0.0

    def as_json(self) -> dict[str, Any]:
        """This value as JSON types; fields that have their default are left out."""
        body: dict[str, Any] = {}
        if kind := getattr(self, "kind", None):
            body["kind"] = kind
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                body[field.name] = _jsonable(value)
        return body


def read(cls: type[Checked], body: Any, path: str, faults: list[Fault]) -> Any:
    """Build `cls` unchecked from JSON; what is wrong with its shape is added to `faults`, and None stands in for it."""
    if not isinstance(body, dict):
        faults.append((path, f"an object is expected, not {body!r}"))
        return None
    body = dict(body)
    try:
        cls = cls.class_of(body)
    except ArchitectureError as error:
        faults += [(f"{path}.{name}", message) for name, message in error.faults]
        return None
    parts = {field.name: field.metadata for field in dataclasses.fields(cls) if field.metadata["part"]}
    for name, value in body.items():
        if metadata := parts.get(name):
            reader = _read_list if metadata["many"] else read
            body[name] = reader(metadata["part"], value, f"{path}.{name}" if path else name, faults)
    value, shape = cls.unchecked(body)
    faults += [(f"{path}.{name}" if path else name, message) for name, message in shape]
    return value


def _read_list(part: type[Checked], value: Any, path: str, faults: list[Fault]) -> Any:
    if not isinstance(value, list):
        faults.append((path, f"a list is expected, not {value!r}"))
        return None
    values: list[Any] = []
    for index, body in enumerate(value):  # equal neighbours are one value, whose faults are told once
        same = index > 0 and body == value[index - 1]
        values.append(values[-1] if same else read(part, body, f"{path}[{index}]", faults))
    return tuple(values)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Checked):
        return value.as_json()
    return [_jsonable(item) for item in value] if isinstance(value, tuple) else value


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no blanks, no NaN.

    Raises: ValueError for NaN and infinities, TypeError for what JSON cannot hold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """The identity of a JSON value: the first 32 hex digits of the SHA-256 of its canonical text."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]
