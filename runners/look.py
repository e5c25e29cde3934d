"""The commands that look at costs and spaces."""

from __future__ import annotations

import dataclasses
import inspect
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.table import Table

import search_spaces
from nas import zoo
from nas.costs import Cost, parts
from nas.costs import cost as cost_by_formula
from nas.errors import ArchitectureError, InputError
from nas.mixers import outside
from nas.wording import quantity
from runners.job_setup import read_architecture
from runners.tables import print_json

RESOLUTIONS = (8, 28, 32, 224)


def cost_of(
    name: str,
    resolution: int | None,
    classes: int | None,
    channels: int,
    *,
    audit: bool,
    timed: tuple[str, int] | None,
    as_json: bool,
    out: Console,
) -> None:
    """`nas cost`; `timed` on this device with this batch.

    Raises: InputError for an unknown network, a resolution that it does not take, a device that is not there.
    """
    architecture = read_architecture(name)
    if classes is None:
        classes = zoo.PUBLISHED[name].classes if name in zoo.PUBLISHED else 1000
    try:
        architecture = architecture.at(architecture.resolution if resolution is None else resolution)
    except ArchitectureError as error:
        raise InputError(f"{name} does not take {resolution} pixels: {error}") from error
    total = cost_by_formula(architecture, num_classes=classes, in_channels=channels)
    traced = _traced(architecture, classes, channels) if audit else None
    latency = _latency(architecture, classes, channels, *timed) if timed else None
    stages = parts(architecture, num_classes=classes, in_channels=channels)
    if as_json:
        body = {"name": name, "resolution": architecture.resolution, "classes": classes, **total.as_dict()}
        body["frozen_params"] = total.frozen_params
        body["parts"] = {
            part: {"params": tally.params, "macs": tally.macs, "activation_bytes": 4 * tally.saved}
            for part, tally in stages.items()
        }
        print_json(body | ({"traced_macs": traced} if audit else {}) | ({"latency": latency} if latency else {}))
        return
    table = Table("part", title=f"{name} at {architecture.resolution} px, {classes} classes", title_justify="left")
    for column in ("map", "params", "MACs", "activations"):
        table.add_column(column, justify="right")
    places = [*architecture.places, None]
    for (part, tally), place in zip(stages.items(), places, strict=True):
        size = f"{place.side}x{place.side}x{place.width}" if place else ""
        table.add_row(part, size, *_figures(Cost(tally.params, tally.macs, 4 * tally.saved)))
    table.add_section()
    table.add_row("all", "", *_figures(total))
    out.print(table)
    if total.frozen_params:
        out.print(f"and {total.frozen_params:,} parameters that are drawn once and never trained", highlight=False)
    if traced is not None:
        out.print(f"traced by fvcore: {traced:,} MACs, by formula {total.macs:,}", highlight=False)
    if latency is not None:
        out.print(
            f"a forward pass of {latency['batch']} image(s) on {latency['device']}: {latency['median_ms']:.3f} ms "
            f"(median of {latency['repeats']}; {latency['p10_ms']:.3f} to {latency['p90_ms']:.3f}), float32, 1 thread",
            highlight=False,
            soft_wrap=True,
        )


def _figures(cost: Cost) -> tuple[str, str, str]:
    return f"{cost.params:,}", quantity(cost.macs), f"{cost.activation_bytes / 2**20:.2f} MiB"


def _traced(architecture: Any, classes: int, channels: int) -> int:
    from nas.audit import traced_macs
    from nas.model import build

    model = build(architecture, in_channels=channels, num_classes=classes)
    return traced_macs(model, resolution=architecture.resolution, in_channels=channels)


def _latency(architecture: Any, classes: int, channels: int, device: str, batch: int) -> dict[str, Any]:
    from nas.latency import device_name, measure

    size = {"resolution": architecture.resolution, "in_channels": channels, "num_classes": classes}
    found = measure(architecture, **size, device=device, batch=batch)
    return {**dataclasses.asdict(found), "device": device_name(device), "batch": batch, "threads": 1}


def spaces(name: str | None, resolution: int | None, *, as_json: bool, out: Console) -> None:
    """`nas spaces`."""
    if name is None:
        _all_spaces(resolution, as_json=as_json, out=out)
        return
    space = search_spaces.get(name, resolution or 32)
    if as_json:
        genes = [{"path": gene.path, "options": gene.options, "ordered": gene.ordered} for gene in space.genes]
        print_json({"space": name, "resolution": resolution or 32, "candidates": space.count().value, "genes": genes})
        return
    table = Table(
        "gene", "options", title=f"{name} at {resolution or 32} px: {space.count()} architectures", title_justify="left"
    )
    for gene in space.genes:
        table.add_row(gene.path, ", ".join(map(str, gene.options)))
    out.print(table)


def _all_spaces(resolution: int | None, *, as_json: bool, out: Console) -> None:
    sizes = (resolution,) if resolution else RESOLUTIONS
    outside()  # so that a module of the user's that cannot be imported is an error here
    rows: dict[str, dict[int, Any]] = {name: {} for name in search_spaces.SPACES}
    for name, row in rows.items():
        for size in sizes:
            with suppress(InputError):  # a space need not take every size
                space = search_spaces.get(name, size)
                row[size] = (len(space), space.count())
    if as_json:
        print_json(
            [
                {"space": name, "resolution": size, "genes": genes, "candidates": count.value, "exact": count.exact}
                for name, row in rows.items()
                for size, (genes, count) in row.items()
            ]
        )
        return
    table = Table("space", *(f"{size} px" for size in sizes))
    for name, row in rows.items():
        figures = [f"{row[size][1]}\n{row[size][0]} genes" if size in row else "" for size in sizes]
        table.add_row(name, *figures)
        table.add_section()
    out.print(table)
    for name in rows:
        said = inspect.getdoc(search_spaces.SPACES[name]) or ""
        out.print(f"{name}: {' '.join(said.split())}", highlight=False)
