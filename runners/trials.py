"""`nas trials`: the trials of a study as a table, CSV or JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, JustifyMethod
from rich.table import Table

from nas.errors import InputError
from nas.store.database import storage_url
from nas.store.reading import StudyRecord, read_study
from nas.supernet import BY_SUPERNET
from nas.trial import Trial
from nas.wording import quantity
from runners.tables import print_json, shown_metrics, trial_json, value_text, what_it_is
from runners.trials_chosen import NUMBERS, TEXTS, Columns, Wanted, chosen, split
from runners.trials_csv import write_csv

SPARE = ("seconds", "origin", "epochs")  # left out, in this order, where a table is too wide for the terminal
NETWORK_COLUMNS = 24  # that a network shall have at least, before others are left out for it
LONG = frozenset({"network", "reason", "host", "device", "digest"})  # texts that may be broken into lines
BORDER, GAP = 1, 3  # columns that a table takes beside its cells: in all, and for each
HEADINGS = {"number": "trial", "seconds": "s", "origin": "from"}


def trials(
    name: str,
    storage: str | None,
    wanted: Wanted,
    *,
    columns: Sequence[str],
    csv: str | None,
    as_json: bool,
    out: Console,
) -> None:
    """`nas trials`. Raises: InputError for words that name nothing, or a file that cannot be written; StoreError."""
    if csv is not None and as_json:
        raise InputError("--csv and --json: one of them is enough")
    url = storage_url(storage)
    record = read_study(url, name)
    known = Columns(record, url)
    names = list(dict.fromkeys(known.check(column, "column") for column in split(columns)))
    found = chosen(record, wanted, known)
    if as_json:
        print_json([trial_json(trial) for trial in found])
    elif csv is not None:
        write_csv(found, names, known, csv)
    elif not found:
        out.print(_none(record), highlight=False, soft_wrap=True)
    elif names:
        for table in _folded(found, names, known, record, out.width):
            out.print(table)
    else:
        _print_usual(found, record, known, out)


def _none(record: StudyRecord) -> str:
    count = len(record.trials)
    return f"none of the {count} trials of {record.name} is so" if count else f"study {record.name} has no trial yet"


def _print_usual(found: Sequence[Trial], record: StudyRecord, known: Columns, out: Console) -> None:
    metrics = shown_metrics(found, record.objectives, record.limits)
    parents = ["parent"] if any(trial.parent is not None for trial in found) else []
    names = ["number", *metrics, "state", "epochs", "seconds", "origin", *parents]
    cells = {name: [_cell(trial, name, known) for trial in found] for name in names}
    left_out = []
    for spare in SPARE:
        if _wide(cells) + NETWORK_COLUMNS + GAP <= out.width:
            break
        left_out.append(spare)
        del cells[spare]
    cells["network"] = [what_it_is(trial, record.limits) for trial in found]
    out.print(_table(cells, title_of(found, record)))
    if left_out:
        said = f"left out in {out.width} columns: {', '.join(left_out)}; --columns names any, --csv writes all"
        out.print(said, highlight=False, soft_wrap=True)


def title_of(found: Sequence[Trial], record: StudyRecord) -> str:
    """Of which study, how many of how many, and how they were judged where they were not trained."""
    count = len(record.trials)
    how = ", judged by inherited weights" if record.settings.get("weights") == BY_SUPERNET else ""
    return f"{'' if len(found) == count else f'{len(found)} of {count} '}trials of {record.name}{how}"


def _folded(
    found: Sequence[Trial], names: Sequence[str], known: Columns, record: StudyRecord, width: int
) -> list[Table]:
    """What is too wide for one table stands in several, each with the number of the trial."""
    numbers = [str(trial.number) for trial in found]
    parts = [{"number": numbers}]
    for name in names:
        if name == "number":
            continue
        cells = [what_it_is(t, record.limits) if name == "network" else _cell(t, name, known) for t in found]
        needed = NETWORK_COLUMNS if name == "network" else _width(name, cells)
        if len(parts[-1]) > 1 and _wide(parts[-1]) + needed + GAP > width:
            parts.append({"number": numbers})
        parts[-1][name] = cells
    return [_table(part, title_of(found, record) if part is parts[0] else "") for part in parts]


def _cell(trial: Trial, name: str, known: Columns) -> str:
    if name in known.metrics and name not in NUMBERS:
        return value_text(trial, name)
    value = known.value(trial, name)
    if name == "seconds":
        return "" if value is None else f"{value:.1f}"
    if value is None:
        return "-"
    return quantity(value) if isinstance(value, float) else str(value)


def _width(name: str, cells: Sequence[str]) -> int:
    return max(len(HEADINGS.get(name, name)), *(len(line) for cell in cells for line in (cell.splitlines() or [""])))


def _wide(cells: dict[str, list[str]]) -> int:
    return BORDER + sum(_width(name, column) + GAP for name, column in cells.items())


def _table(cells: dict[str, list[str]], title: str) -> Table:
    """Numbers to the right, and never broken; texts to the left, on as many lines as they need."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for name, column in cells.items():
        justify: JustifyMethod = "left" if name in TEXTS or any(cell[:1].isalpha() for cell in column) else "right"
        table.add_column(HEADINGS.get(name, name), justify=justify, no_wrap=name not in LONG, overflow="fold")
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table
