"""`nas zoo`, `nas zoo show` and `nas import-weights`."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from nas import diagram, zoo
from nas.costs import cost
from nas.errors import ArchitectureError, InputError
from nas.wording import quantity
from nas.zoo.comparison import COMPARISON
from runners.job_setup import read_architecture
from runners.tables import write_whole


def table(family: str | None, *, compare: bool, as_json: bool, out: Console) -> None:
    """`nas zoo`. Raises: InputError for an unknown family."""
    rows = [*_ours(), *(_others() if compare else ())]
    known = list(dict.fromkeys(row["family"] for row in rows))
    if family is not None:
        wanted = {name.lower(): name for name in known}.get(family.lower())
        if wanted is None:
            raise InputError(f"unknown family {family!r}; known: {', '.join(known)}")
        rows = [row for row in rows if row["family"] == wanted]
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    columns: list[tuple[str, dict[str, Any]]] = [("name", {"no_wrap": True})]
    columns += [("family", {})] if out.width >= 90 else []
    columns += [(name, {"justify": "right"}) for name in ("year", "params", "MACs", "pixels", "top-1")]
    columns += [("source", {"no_wrap": True, "overflow": "ellipsis"})] if out.width >= 120 else []
    shown = Table(box=box.SIMPLE)
    for name, style in columns:
        shown.add_column(name, **style)
    for row in rows:
        cells = _cells(row)
        shown.add_row(*(cells[name] for name, _ in columns), style=None if row["in_zoo"] else "dim")
    out.print(shown)
    out.print(
        "params and MACs of ours by formula (+: frozen); top-1 as reported on ImageNet-1k (CIFAR-10 where the name "
        "says so), trained on what `nas zoo show NAME` says" + ("; dim rows as others report them" if compare else ""),
        highlight=False,
    )


def _cells(row: dict[str, Any]) -> dict[str, str]:
    def figure(name: str) -> str:
        return "" if row[name] is None else quantity(row[name])

    frozen = f" +{quantity(row['frozen_params'])}" if row["frozen_params"] else ""
    return {
        "name": row["name"], "family": row["family"], "year": str(row["year"]), "params": figure("params") + frozen,
        "MACs": figure("macs"), "pixels": figure("resolution"),
        "top-1": "" if row["top1"] is None else f"{row['top1']:.2f}", "source": row["source"],
    }  # fmt: skip


def _ours() -> Iterator[dict[str, Any]]:
    for name in zoo.names():
        entry, architecture = zoo.entry(name), zoo.get(name)
        known = cost(architecture, num_classes=entry.classes)
        yield {
            "name": name, "family": entry.family, "year": entry.year, "params": known.params,
            "frozen_params": known.frozen_params, "macs": known.macs, "resolution": architecture.resolution,
            "top1": entry.top1, "trained": entry.trained, "source": entry.source, "in_zoo": True,
        }  # fmt: skip


def _others() -> Iterator[dict[str, Any]]:
    for row in COMPARISON:
        yield {
            "name": row.name, "family": row.family, "year": row.year, "params": row.params, "frozen_params": 0,
            "macs": None if row.macs is None else round(row.macs), "resolution": row.resolution, "top1": row.top1,
            "trained": None, "source": row.source, "in_zoo": False,
        }  # fmt: skip


def show(
    name: str, resolution: int | None, classes: int | None, *, svg: Path | None, as_json: bool, out: Console
) -> None:
    """`nas zoo show`.

    Raises: InputError for an unknown network, a resolution that it does not take, a picture that cannot be written.
    """
    architecture = read_architecture(name)
    entry = zoo.PUBLISHED.get(name)
    try:
        architecture = architecture.at(architecture.resolution if resolution is None else resolution)
    except ArchitectureError as error:
        raise InputError(f"{name} does not take {resolution} pixels: {error}") from error
    outputs = classes or (entry.classes if entry else 1000)
    if svg is not None:
        title = name if entry else Path(name).name
        write_whole(diagram.svg(architecture, num_classes=outputs, title=title), svg)
    if as_json:
        sys.stdout.write(architecture.to_json() + "\n")
        return
    if entry is not None:
        top1 = "" if entry.top1 is None else f", top-1 {entry.top1:g}"
        out.print(
            f"{name}: {entry.family} ({entry.year}, {entry.source}); {entry.trained}{top1}",
            highlight=False,
            soft_wrap=True,
        )
    drawing = diagram.text(architecture, num_classes=outputs, width=out.width)
    out.print(drawing, highlight=False, markup=False, soft_wrap=True)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def import_weights(
    name: str, file: Path, source: str | None, to: Path, *, force: bool, as_json: bool, out: Console
) -> None:
    """`nas import-weights`. Raises: InputError for a file or checkpoint that does not fit, or a target that exists."""
    from nas import pretrained
    from nas.export import check_target, write_model

    pretrained.check_source(zoo.entry(name).family, source)
    check_target(to, force=force)
    model = pretrained.load(name, pretrained.read(file), source)
    facts = {
        "network": name,
        "origin": file.name,
        "sha256": _digest(file),
        "classes": [str(index) for index in range(model.num_classes)],
        "channels": model.in_channels,
        "resolution": model.architecture.resolution,
    }
    write_model(model, facts, to, force=force)
    params = sum(parameter.numel() for parameter in model.parameters())
    if as_json:
        sys.stdout.write(json.dumps({"folder": str(to), "params": params, **facts}) + "\n")
        return
    out.print(
        f"{name} with {params:,} parameters and {model.num_classes} classes written to {to}: "
        f"{', '.join(sorted(path.name for path in to.iterdir()))}",
        highlight=False,
        soft_wrap=True,
    )
