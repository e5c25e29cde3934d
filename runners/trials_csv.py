"""Trials as CSV (RFC 4180, but with a line feed alone), for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.errors import InputError
from nas.trial import Trial
from runners.screen import plain
from runners.trials_chosen import Columns

USUAL = ("number", "state", "origin", "source", "epochs", "attempt", "seconds", "host", "digest", "network", "reason")
FORMULA = ("=", "+", "-", "@")  # at the beginning of a text: a spreadsheet would compute it


def write_csv(trials: Sequence[Trial], names: Sequence[str], known: Columns, where: str) -> None:
    """The columns of these names, or the usual ones with all metrics, into a file, or for "-" to standard output.

    Numbers stand as they are, without rounding; what a trial has not is empty; texts are quoted. A text that a
    spreadsheet would take for a formula has an apostrophe before it.

    Raises: InputError when the file cannot be written.
    """
    parents = ["parent"] if any(trial.parent is not None for trial in trials) else []
    header = list(names) or list(dict.fromkeys([*USUAL[:5], *parents, *known.metrics, *USUAL[5:]]))
    text = io.StringIO()
    rows = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    rows.writerow([_safe(name) for name in header])
    for trial in trials:
        rows.writerow([_safe(known.value(trial, name)) for name in header])
    if where == "-":
        sys.stdout.write(text.getvalue())
        return
    try:
        Path(where).write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {where}: {error.strerror}") from error


def _safe(value: Any) -> Any:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value) if isinstance(value, bool) else value
    shown = plain(value)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA) else shown
