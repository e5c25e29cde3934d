"""What the commands share: where they write, and the options that mean the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from runners.screen import Screen

out, err = Screen(), Screen(stderr=True)
Storage = Annotated[
    str | None, typer.Option("--storage", help="Database URL [default: NAS_STORAGE, else sqlite:///nas.db]")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output")]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study in the database")]
