"""The course of a shrinking space: which option of which choice was dropped when, and at what score."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from nas.errors import InputError
from nas.narrow import narrowed
from nas.space import Space
from nas.template import Scalar

SETTING = "shrinking"  # of a study, where its course is kept
REASONS = {
    "": "",
    "few": "judged too rarely to be dropped",
    "tie": "as good as one that is kept",
    "noise": "not worse than the best by more than its error",
}


@dataclasses.dataclass(frozen=True)
class OptionScore:
    """What an option came to in a phase.

    Attributes:
        gene, label: which option.
        score: accuracy less the cost term, with the best settings that the option has; None for an option that was
            never judged. error: its standard error; None where too few were judged to tell.
        accuracy: mean of its candidates. cost: geometric mean of its candidates, in the unit they were judged in. Both
            are adjusted for the company that its candidates happened to have.
        judged: how many candidates use it. kept: whether it lives on.
        why: why it is kept although it is among the weakest: a key of `REASONS`; empty for all others.
    """

    gene: str
    label: Scalar
    score: float | None
    error: float | None
    accuracy: float | None
    cost: float | None
    judged: int
    kept: bool = True
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Phase:
    """A phase: the classes it was trained with, for how many epochs, and what came of every option.

    Attributes:
        number: from 1. classes: easiest first. before, after: how many candidates the space had (perhaps estimated).
    """

    number: int
    classes: tuple[int, ...]
    epochs: int
    before: int
    after: int
    scores: tuple[OptionScore, ...]

    @property
    def kept(self) -> dict[str, tuple[Scalar, ...]]:
        """The labels that live on, by gene."""
        found: dict[str, tuple[Scalar, ...]] = {}
        for each in self.scores:
            found[each.gene] = found.get(each.gene, ()) + ((each.label,) if each.kept else ())
        return found

    @property
    def dropped(self) -> tuple[OptionScore, ...]:
        """Those that died in it."""
        return tuple(each for each in self.scores if not each.kept)


@dataclasses.dataclass(frozen=True)
class Course:
    """All phases that have ended, in order.

    Attributes:
        cost: what the cost is called, such as "macs". cost_weight: accuracy that a cost e times as high must bring.
        classes: of the whole data set.
    """

    phases: tuple[Phase, ...]
    classes: int
    cost: str = "cost"
    cost_weight: float = 0.0

    def narrowed(self, space: Space) -> Space:
        """What is left of the space that it began with. Raises: InputError where it is another space."""
        for phase in self.phases:
            space = narrowed(space, phase.kept)
        return space

    def as_json(self) -> dict[str, Any]:
        """As JSON types."""
        body = dataclasses.asdict(self)
        for phase in body["phases"]:
            phase["classes"], phase["scores"] = list(phase["classes"]), list(phase["scores"])
        return body | {"phases": list(body["phases"])}

    @classmethod
    def from_json(cls, body: Any) -> Course:
        """The inverse of `as_json`. Raises: InputError saying what is wrong with the body, and where."""
        where = SETTING
        rows = _items(_get(body, "phases", where), f"{where}.phases")
        phases = tuple(_phase(row, f"{where}.phases[{index}]") for index, row in enumerate(rows))
        for index, phase in enumerate(phases):
            _hold(phase.number == index + 1, f"{where}.phases[{index}].number", phase.number, f"{index + 1}")
        return cls(
            phases,
            _whole(body, "classes", where, least=1),
            _text(body, "cost", where),
            _number(_get(body, "cost_weight", where), f"{where}.cost_weight"),
        )


def _phase(body: Any, where: str) -> Phase:
    given = _items(_get(body, "classes", where), f"{where}.classes")
    classes = tuple(_whole({"": one}, "", f"{where}.classes", least=0) for one in given)
    scores = _items(_get(body, "scores", where), f"{where}.scores")
    found = tuple(_score(row, f"{where}.scores[{index}]") for index, row in enumerate(scores))
    phase = Phase(
        _whole(body, "number", where, least=1),
        classes,
        _whole(body, "epochs", where, least=0),
        _whole(body, "before", where, least=0),
        _whole(body, "after", where, least=0),
        found,
    )
    _hold(len({*classes}) == len(classes) > 0, f"{where}.classes", list(classes), "one or more different classes")
    for gene, labels in phase.kept.items():
        _hold(bool(labels), f"{where}.scores", f"no option of {gene}", "at least one option kept")
    return phase


def _score(body: Any, where: str) -> OptionScore:
    label, kept, why = (_get(body, name, where) for name in ("label", "kept", "why"))
    _hold(label is None or isinstance(label, str | int | float), f"{where}.label", label, "text or a number")
    _hold(isinstance(kept, bool), f"{where}.kept", kept, "true or false")
    _hold(isinstance(why, str) and why in REASONS, f"{where}.why", why, f"one of {', '.join(map(repr, REASONS))}")
    numbers = {
        name: None if (value := _get(body, name, where)) is None else _number(value, f"{where}.{name}")
        for name in ("score", "error", "accuracy", "cost")
    }
    return OptionScore(
        gene=_text(body, "gene", where),
        label=label,
        judged=_whole(body, "judged", where, least=0),
        kept=kept,
        why=why,
        **numbers,
    )


def _hold(good: bool, where: str, given: Any, right: str) -> None:  # noqa: FBT001 - what must hold
    if not good:
        raise InputError(f"{where}: {right} is expected, not {given!r:.60}")


def _get(body: Any, name: str, where: str) -> Any:
    _hold(isinstance(body, Mapping), where, body, "an object")
    if name not in body:
        raise InputError(f"{where}: {name!r} is missing")
    return body[name]


def _items(value: Any, where: str) -> list[Any]:
    _hold(isinstance(value, list | tuple), where, value, "a list")
    return list(value)


def _text(body: Any, name: str, where: str) -> str:
    value = _get(body, name, where)
    _hold(isinstance(value, str), f"{where}.{name}", value, "text")
    return str(value)


def _whole(body: Any, name: str, where: str, *, least: int) -> int:
    value = _get(body, name, where)
    good = isinstance(value, int) and not isinstance(value, bool) and value >= least
    _hold(good, f"{where}.{name}".rstrip("."), value, f"a whole number of at least {least}")
    return int(value)


def _number(value: Any, where: str) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    _hold(good, where, value, "a finite number")
    return float(value)
