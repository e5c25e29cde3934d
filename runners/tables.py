"""Tables and short texts about trials, spaces and costs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nas.architecture import Architecture
from nas.errors import InputError
from nas.objectives import Limit, Objective
from nas.ranking import broken
from nas.trial import State, Trial
from nas.wording import quantity, short_network
from nas.writing import written_whole
from runners.screen import plain


def trial_table(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    title: str,
    labels: Sequence[str] = (),
    limits: Sequence[Limit] = (),
    *,
    progress: bool = False,
) -> Table:
    """One row a trial: objectives, what is limited, known costs, who proposed it (or `labels`), what it is.

    A trial over one of the limits says which. What a trial has come to on its way stands with its epochs, as in
    "0.8714 at 3". With `progress` there are columns for state and epochs.
    """
    table = Table(title=Text(plain(title), style="table.title"), title_justify="left", header_style="bold")
    table.add_column("trial", justify="right", no_wrap=True)
    names = shown_metrics(trials, objectives, limits)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    if progress:
        table.add_column("state")
        table.add_column("epochs", justify="right")
    table.add_column("s", justify="right")
    table.add_column("what" if labels else "from")
    table.add_column("network", overflow="fold")
    for trial, label in zip(trials, labels or [trial.origin for trial in trials], strict=True):
        values = [value_text(trial, name) for name in names]
        seconds = f"{trial.seconds:.1f}" if trial.ended and trial.seconds is not None else str(trial.state)
        if progress:
            values += [str(trial.state), str(trial.epochs)]
            seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
        table.add_row(str(trial.number), *values, seconds, Text(plain(label)), Text(plain(what_it_is(trial, limits))))
    return table


def shown_metrics(trials: Sequence[Trial], objectives: Sequence[Objective], limits: Sequence[Limit]) -> list[str]:
    """The objectives; of what is limited and the known costs, those that a trial has."""
    names = [objective.name for objective in objectives]
    wanted = dict.fromkeys((*(limit.name for limit in limits), "params", "macs"))
    return [*names, *(name for name in wanted if name not in names and any(name in t.metrics for t in trials))]


def what_it_is(trial: Trial, limits: Sequence[Limit]) -> str:
    """Why it failed, or its network, with the limits that it is over."""
    over = ", ".join(map(str, broken(trial, limits)))
    return trial.reason or f"{f'(over {over}) ' if over else ''}{short_network(trial)}"


def value_text(trial: Trial, name: str) -> str:
    """Of its end or, where it did not come so far, of the last rung or report with the epochs."""
    if name in trial.metrics:
        return quantity(trial.metrics[name])
    reached = last(trial)
    return f"{quantity(reached[name])} at {trial.epochs}" if name in reached else "-"


def last(trial: Trial) -> Mapping[str, float]:
    """What a trial that has not come to its end reported last; nothing for one that failed."""
    return {} if trial.state in (State.COMPLETE, State.FAIL) else trial.curve.get(trial.epochs, {})


def print_json(value: Any, *, flush: bool = False) -> None:
    """One JSON value on a line of standard output. Raises: ValueError for NaN and infinities, which JSON has not."""
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")
    if flush:
        sys.stdout.flush()


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial as JSON types."""
    return {
        "number": trial.number,
        "state": trial.state.value,
        "origin": trial.origin,
        "attempt": trial.attempt,
        "digest": trial.digest,
        "metrics": dict(trial.metrics),
        "source": trial.source.value,
        "parent": trial.parent,
        "epochs": trial.epochs,
        "last": dict(last(trial)),
        "seconds": trial.seconds,
        "host": trial.host,
        "reason": trial.reason,
        "candidate": _plain(trial.candidate),
    }


def _plain(value: Any) -> Any:
    """A user's candidate as JSON types; what JSON cannot hold is shown as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Architecture):
        return value.as_json()
    finite = not isinstance(value, float) or math.isfinite(value)
    return value if value is None or (isinstance(value, str | int | float) and finite) else str(value)


def save_picture(recorded: Console, path: Path, title: str) -> None:
    """What a recording console printed, as SVG. Raises: InputError when the file cannot be written."""
    write_whole(recorded.export_svg(title=title), path)


def write_whole(text: str, path: Path) -> None:
    """Write a file whole or not at all, in a directory that is made. Raises: InputError when that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # /dev/stdout, and a directory, which says so itself
            path.write_text(text, encoding="utf-8")
            return
        with written_whole(path.resolve()) as file:  # what a link points to is replaced, not the link
            file.write(text.encode())
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError
        raise InputError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
