"""`nas proxies`: how far scores of untrained networks agree with what their training came to."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nas.architecture import Architecture
from nas.data import ImageData, load
from nas.errors import InputError
from nas.proxies import BASELINES, PROXIES, chosen
from nas.store.database import storage_url
from nas.store.reading import StudyRecord, read_study
from nas.trial import State, Trial
from runners.screen import Screen
from runners.tables import save_picture


def proxies(
    name: str,
    storage: str | None,
    *,
    names: Sequence[str],
    batch: int,
    seed: int,
    svg: Path | None,
    as_json: bool,
    out: Console,
    err: Console,
) -> None:
    """Score the complete trials of a study and correlate. Raises: InputError."""
    from nas.proxies.correlation import FEWEST, Agreement, agreements, mixer_type

    wanted = tuple(dict.fromkeys((*BASELINES, *(chosen(names) or PROXIES))))
    record = read_study(storage_url(storage), name)
    data = _data(record)
    trials = [trial for trial in record.trials if trial.state is State.COMPLETE]
    if len(trials) < FEWEST:
        raise InputError(
            f"study {name!r} has {len(trials)} complete trial(s); a rank correlation takes at least {FEWEST}"
        )
    goal = record.objectives[0]
    scores, missing = _scored(trials, data, wanted, batch, seed, err)
    goodness = [-goal.loss(trial.metrics) for trial in trials]
    types = [mixer_type(trial.candidate) for trial in trials]
    found: list[Agreement] = agreements(scores, goodness, types, seed=seed)
    counts = dict(sorted(Counter(types).items()))
    if as_json:
        body = {
            "study": name,
            "objective": str(goal),
            "trials": len(trials),
            "types": counts,
            "batch": batch,
            "seed": seed,
            "proxies": [{**dataclasses.asdict(each), "verdict": each.verdict} for each in found],
            "scores": [{"trial": trial.number, **row} for trial, row in zip(trials, scores, strict=True)],
            "missing": missing,
        }
        sys.stdout.write(json.dumps(body, allow_nan=False) + "\n")
        return
    title = f"{name}: {len(trials)} trials, rank correlation of scores before training with {goal}"
    shown = _table(found, counts, title)
    _print(out, shown, missing, batch)
    if svg is not None:
        picture = Screen(record=True, width=150, file=io.StringIO())
        _print(picture, shown, missing, batch)
        save_picture(picture, svg, f"nas proxies {name}")


def _data(record: StudyRecord) -> ImageData:
    """The images of a study. Raises: InputError for one that has none, or whose data changed."""
    source = record.settings.get("source")
    if not isinstance(source, dict) or not all(isinstance(trial.candidate, Architecture) for trial in record.trials):
        raise InputError(
            f"study {record.name!r} evaluates by a function of its own; proxies score architectures on the images they "
            f"were trained on: a study of `nas search --data` is expected"
        )
    data = load(source["data"], resolution=source["resolution"])
    if data.digest != source["digest"]:
        raise InputError(
            f"data {source['data']!r} has changed since study {record.name!r} was made; scores on it say nothing"
        )
    return data


def _scored(
    trials: Sequence[Trial], data: ImageData, names: Sequence[str], batch: int, seed: int, err: Console
) -> tuple[list[Mapping[str, float]], dict[str, dict[str, int]]]:
    """The scores of every trial, and how often each proxy was missing for what reason."""
    from nas.proxies import examine, training_batch

    images, labels = training_batch(data, batch, seed)
    scores: list[Mapping[str, float]] = []
    missing: dict[str, dict[str, int]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        for trial in bar.track(trials, description="scoring"):
            found = examine(trial.candidate, images, labels, names=names, num_classes=len(data.classes), seed=seed)
            scores.append(found.values)
            for name, reason in found.missing.items():
                reasons = missing.setdefault(name, {})
                reasons[reason] = reasons.get(reason, 0) + 1
    return scores, missing


def _table(found: Sequence[Any], counts: Mapping[str, int], title: str) -> Table:
    kinds = [kind for kind in counts if any(kind in each.within for each in found)]
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("proxy", no_wrap=True)
    for column in ("rho", "95 %", "tau", "beyond params", "within types"):
        table.add_column(column, justify="right")
    for kind in kinds:
        table.add_column(f"{kind} ({counts[kind]})", justify="right")
    table.add_column("verdict", overflow="fold")
    for each in found:
        interval = "" if each.interval is None else f"{each.interval[0]:+.2f} {each.interval[1]:+.2f}"
        figures = [each.kendall, each.beyond_params, each.within_types, *(each.within.get(kind) for kind in kinds)]
        table.add_row(each.proxy, _signed(each.spearman), interval, *map(_signed, figures), each.verdict)
    return table


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _print(out: Console, table: Table, missing: Mapping[str, Mapping[str, int]], batch: int) -> None:
    def say(line: str) -> None:
        out.print(line, highlight=False, markup=False, soft_wrap=True)

    out.print(table)
    say(
        f"rho is Spearman's, with a bootstrap interval; tau is Kendall's; on {batch} training images; types with fewer "
        f"than 5 trials have no column"
    )
    for name, reasons in missing.items():
        for reason, count in reasons.items():
            say(f"{name}: {count} trial(s) without: {reason}")
    say("one study of one data set with one recipe: another one may rank them otherwise")
