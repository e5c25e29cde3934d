"""Tables and short texts about trials, spaces and costs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nas.architecture import Architecture, Stage
from nas.errors import InputError
from nas.objectives import Limit, Objective
from nas.ranking import broken
from nas.replicates import network_of
from nas.trial import State, Trial

SHORT = {
    "identity": "id",
    "pooling": "pool",
    "depthwise_conv": "dw",
    "separable_conv": "sep",
    "random_mixing": "rand",
    "token_mlp": "mlp",
    "token_linear": "lin",
    "gated_mlp": "gmlp",
    "multi_axis_mlp": "axes",
    "attention": "attn",
    "conv_attention": "cvt",
}


def quantity(value: float) -> str:
    """A number as people read it: 0.9812, 12.5, 146,890, 1.25M, 4.57G."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value):,}"
    for bound, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= bound:
            return f"{value / bound:.3g}{unit}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"


def short_network(trial: Trial) -> str:
    """A candidate in a few words; of a network, the mixer, width x depth of every stage."""
    candidate = trial.candidate
    if isinstance(candidate, Architecture):
        return short_architecture(candidate)
    if isinstance(network_of(candidate), Architecture):
        return f"{short_architecture(network_of(candidate))}, seed {candidate.get('replicate')}"
    return (
        " ".join(f"{name}={_short(value)}" for name, value in candidate.items())
        if isinstance(candidate, Mapping)
        else str(candidate)
    )


def _short(value: Any) -> str:
    return short_architecture(value) if isinstance(value, Architecture) else str(value)


def short_architecture(architecture: Architecture) -> str:
    """The mixer, width x depth of every stage; what differs from block to block, block by block."""
    return " | ".join(_short_stage(stage) for stage in architecture.stages)


def _short_stage(stage: Stage) -> str:
    kinds = dict.fromkeys(SHORT.get(block.mixer.kind, block.mixer.kind) for block in stage.blocks)
    mixer = stage.blocks[0].mixer
    sizes = [str(getattr(mixer, name)) for name in ("kernel", "size", "kv_kernel") if hasattr(mixer, name)]
    short = f"{'/'.join(kinds)}{''.join(sizes[:1])} {stage.width}x{len(stage.blocks)}"
    strides = [str(getattr(block.mixer, "kv_stride", 0)) for block in stage.blocks]
    ratios = [f"{block.mlp_ratio:g}" for block in stage.blocks]
    return short + "".join(
        f" {name}{''.join(each)}" for name, each in (("kv", strides), ("r", ratios)) if len(set(each)) > 1
    )


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
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("trial", justify="right")
    names = [objective.name for objective in objectives]
    wanted = dict.fromkeys((*(limit.name for limit in limits), "params", "macs"))
    extra = [name for name in wanted if name not in names and any(name in t.metrics for t in trials)]
    for name in (*names, *extra):
        table.add_column(name, justify="right")
    if progress:
        table.add_column("state")
        table.add_column("epochs", justify="right")
    table.add_column("s", justify="right")
    table.add_column("what" if labels else "from")
    table.add_column("network", overflow="fold")
    for trial, label in zip(trials, labels or [trial.origin for trial in trials], strict=True):
        values = [_value(trial, name) for name in (*names, *extra)]
        seconds = f"{trial.seconds:.1f}" if trial.ended and trial.seconds is not None else str(trial.state)
        if progress:
            values += [str(trial.state), str(trial.epochs)]
            seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
        over = ", ".join(map(str, broken(trial, limits)))
        shown = trial.reason or f"{f'(over {over}) ' if over else ''}{short_network(trial)}"
        table.add_row(str(trial.number), *values, seconds, label, escape(shown))
    return table


def _value(trial: Trial, name: str) -> str:
    """Of its end or, where it did not come so far, of the last rung or report with the epochs."""
    if name in trial.metrics:
        return quantity(trial.metrics[name])
    reached = last(trial)
    return f"{quantity(reached[name])} at {trial.epochs}" if name in reached else "-"


def last(trial: Trial) -> Mapping[str, float]:
    """What a trial that has not come to its end reported last; nothing for one that failed."""
    return {} if trial.state in (State.COMPLETE, State.FAIL) else trial.curve.get(trial.epochs, {})


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
    return value if value is None or isinstance(value, str | int | float) else str(value)


def save_picture(recorded: Console, path: Path, title: str) -> None:
    """What a recording console printed, as SVG. Raises: InputError when the file cannot be written."""
    write_picture(recorded.export_svg(title=title), path)


def write_picture(svg: str, path: Path) -> None:
    """Write a picture whole or not at all, in a directory that is made. Raises: InputError when that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # /dev/stdout, and a directory, which says so itself
            path.write_text(svg, encoding="utf-8")
            return
        whole = path.resolve()  # what a link points to is replaced, not the link
        scratch = whole.with_name(f".nas-picture-{os.getpid()}")
        try:
            scratch.write_text(svg, encoding="utf-8")
            scratch.replace(whole)
        finally:
            scratch.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError
        raise InputError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
