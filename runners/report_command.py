"""`nas report`: write what a study came to into a file that can be mailed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from nas.errors import InputError
from nas.store.database import storage_url
from runners.screen import plain
from runners.tables import write_whole

if TYPE_CHECKING:
    from dashboards.report import Format

ENDINGS: dict[str, Format] = {".html": "html", ".htm": "html", ".md": "md", ".json": "json"}
BEGINNING = 1000  # letters by which a report of ours is known


def write_report(
    study: str, storage: str | None, *, to: Path | None, form: str | None, force: bool, out: Console
) -> None:
    """`nas report`. Raises: InputError for a file that may not be replaced or cannot be written, StoreError."""
    chosen = _format(to, form)
    if to is not None:
        check_target(to, force=force)
    from nas.store.accounts import read_account

    account = read_account(storage_url(storage), study)
    from dashboards.findings import findings
    from dashboards.report import render

    text = plain(render(findings(account), chosen))
    if to is None:
        sys.stdout.write(text)
        return
    write_whole(text, to)
    size = len(text.encode()) / 1e6
    out.print(f"report of {study} in {to} ({size:.1f} MB)", highlight=False, markup=False, soft_wrap=True)


def _format(to: Path | None, form: str | None) -> Format:
    """As told, else by the ending of the file. Raises: InputError."""
    known: dict[str, Format] = {"html": "html", "md": "md", "json": "json"}
    if form is not None and form not in known:
        raise InputError(f"--format {form}: html, md or json is expected")
    if form is None and to is not None and to.suffix.lower() not in ENDINGS:
        raise InputError(f"--to {to}: its ending does not say what it shall be; --format html, md or json does")
    chosen = known[form] if form is not None else ENDINGS[to.suffix.lower()] if to is not None else None
    if chosen is None:
        raise InputError("--to FILE.html is needed; without it, --format md or --format json print the report")
    if to is None and chosen == "html":
        raise InputError("--format html: --to FILE.html is needed with it; md and json can be printed")
    return chosen


def check_target(path: Path, *, force: bool) -> None:
    """Raises: InputError for a file that is there and is no report of ours, unless `force`."""
    from dashboards.report import is_report

    if path.is_dir():
        raise InputError(f"--to {path}: a directory; a file is expected")
    if path.exists() and not path.is_file():  # /dev/stdout
        return
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            ours = is_report(file.read(BEGINNING))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"--to {path}: {error.strerror}") from error
    if not (ours or force):
        raise InputError(f"--to {path}: exists and is no report of ours; --force replaces it")
