"""Why trials failed: reasons that differ in numbers only are one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from nas.trial import State, Trial

SHOWN = 5  # trials that are named with a reason
NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclasses.dataclass(frozen=True)
class Failure:
    """A reason as the first trial gave it, how many gave it, and the first of them."""

    reason: str
    count: int
    trials: tuple[int, ...]


def failures(trials: Sequence[Trial]) -> tuple[Failure, ...]:
    """The most frequent first."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.state is State.FAIL:
            groups.setdefault(NUMBER.sub("#", trial.reason), []).append(trial)
    found = [
        Failure(members[0].reason or "no reason was given", len(members), tuple(map(_number, members[:SHOWN])))
        for members in groups.values()
    ]
    return tuple(sorted(found, key=lambda failure: (-failure.count, failure.trials)))


def _number(trial: Trial) -> int:
    return trial.number
