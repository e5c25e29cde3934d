"""`nas bench`: how fast each format of an exported model is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nas.errors import InputError
from runners.tables import print_json

MOST = 4096  # images in a pass
DATA_ONLY = ("safetensors", "onnx")  # the formats that run nothing of the folder's own
OWN_INTERPRETER = "py"  # starts anew for every batch: a time of it would be that of the start


@dataclasses.dataclass(frozen=True)
class Row:
    """What one format takes for a batch: milliseconds of a pass, and images a second by the median."""

    format: str
    batch: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    repeats: int
    images_per_second: float


def bench(folder: Path, formats: tuple[str, ...], batch: str, *, threads: int, as_json: bool, out: Console) -> None:
    """`nas bench`. Raises: InputError for a folder that is no export of ours, a format that it lacks, a bad batch."""
    import torch

    from nas.export.formats import missing
    from nas.export.reading import formats_in, read_facts
    from nas.latency import device_name

    sizes, facts = _sizes(batch), read_facts(folder)
    if OWN_INTERPRETER in formats:
        raise InputError("--format py: model.py is the code that safetensors is timed with; safetensors, onnx or pt2")
    there = tuple(name for name in DATA_ONLY if name in formats_in(folder) and not (name == "onnx" and missing()))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = [row for name in formats or there for row in _timed(folder, name, sizes, threads)]
    finally:
        torch.set_num_threads(before)
    device = device_name("cpu")
    shape = [facts["channels"], facts["resolution"], facts["resolution"]]
    if as_json:
        body = {"folder": str(folder), "device": device, "threads": threads, "dtype": "float32", "image": shape}
        print_json({**body, "rows": [dataclasses.asdict(row) for row in rows]})
        return
    table = Table("format", title=f"{folder}: milliseconds of a forward pass", title_justify="left")
    for column in ("batch", "median", "p10", "p90", "images/s"):
        table.add_column(column, justify="right")
    for row in rows:
        times = (f"{value:.3f}" for value in (row.median_ms, row.p10_ms, row.p90_ms))
        table.add_row(row.format, str(row.batch), *times, f"{row.images_per_second:,.0f}")
    out.print(table)
    where = (
        f"on {device}, {threads} thread(s), float32, images of {'x'.join(map(str, shape))}, torch {torch.__version__}"
    )
    out.print(where, highlight=False, soft_wrap=True)


def _timed(folder: Path, form: str, sizes: list[int], threads: int) -> list[Row]:
    import torch

    from nas.export import opened
    from nas.export.reading import read_facts
    from nas.latency import timed

    forward, facts = opened(folder, form, threads=threads), read_facts(folder)
    side, rows = facts["resolution"], []
    for size in sizes:
        images_BCHW = torch.randn(size, facts["channels"], side, side, generator=torch.Generator().manual_seed(0))
        found = timed(forward, images_BCHW)
        rows.append(
            Row(form, size, found.median_ms, found.p10_ms, found.p90_ms, found.repeats, 1e3 * size / found.median_ms)
        )
    return rows


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or not all(1 <= size <= MOST for size in sizes):
        raise InputError(f"--batch {text}: whole numbers from 1 to {MOST} with commas are expected, as in 1,8,32")
    return sizes
