"""The notes of the dashboard, in Markdown: of a trial, and of a study. Made when asked for, never stored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dashboards.markdown import block, code, plain
from dashboards.resume import command
from nas.companions import BEGUN
from nas.store.listing import Attempt, Header, Row
from nas.supernet.course import SETTING

LINE = 64  # characters of a digest or a host that are shown
ENDS = {"complete": "Complete", "fail": "Failed", "pruned": "Stopped", "paused": "Paused", "running": "Running"}


def number(value: float) -> str:
    """A number to read: whole ones in full, others to six digits."""
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def trial_note(row: Row, *, full: int, curves: bool, picture: str = "", text: str = "", drawing: str = "") -> str:
    """What is known about a trial beyond its parameters and values.

    Args:
        row: the trial.
        full: epochs of the whole budget.
        curves: whether to tell the metrics by epoch, where Optuna has no intermediate values.
        picture: address of its picture; empty for none.
        text: address of the same as text; empty for none.
        drawing: the same as text, if it shall be in the note.
    """
    if not row.attempts:
        return "Run by another program through Optuna; `nas search` on this study takes it in.\n"
    last = row.attempts[-1]
    lines = [_state(row, last, full), _metrics(last), _limits(row), _who(row, last), *_lost(row.attempts)]
    if curves:
        lines.append(_curve(row.attempts))
    if picture:
        lines.append(f"![network of trial {row.number}]({picture})")
    if drawing:
        lines.append(block(drawing))
    elif text:
        lines.append(f"[The same as text]({text})")
    return "\n\n".join(line for line in lines if line) + "\n"


def _state(row: Row, last: Attempt, full: int) -> str:
    epochs = max((int(step) for attempt in row.attempts for step in attempt.curve), default=0)
    if row.state in ("FAIL", "PRUNED") and last.state in ("running", "paused", "lost"):
        return f"**{'Failed' if row.state == 'FAIL' else 'Stopped'}** by another program"
    word = ENDS.get(last.state, "Running")
    if last.state == "lost":
        return f"**Waits** for its next attempt, after epoch {epochs}: {plain(last.reason)}"
    why = f": {plain(last.reason)}" if last.reason else ""
    if last.state == "complete":
        return f"**{word}** after {last.stop} {_plural('epoch', last.stop)}{_source(last)}"
    if last.state == "pruned" and not why:
        why = ": others of its rung were better"
    return f"**{word}** at epoch {epochs} of {full}{why}"


def _source(last: Attempt) -> str:
    words = {"reused": ", taken from another study, not trained here", "adopted": ", run by another program"}
    return words.get(last.source, "")


def _metrics(last: Attempt) -> str:
    return " · ".join(f"{plain(name)} {plain(number(value))}" for name, value in last.metrics.items())


def _limits(row: Row) -> str:
    marked = {key.partition(":")[2]: value for key, value in row.system_attrs.items() if key.startswith("constraints:")}
    over = [f"{code(name)} by {number(value)}" for name, value in marked.items() if value > 0]
    return f"**Over its limit** {', '.join(over)}" if over else ""


def _who(row: Row, last: Attempt) -> str:
    said = [f"from {code(row.origin)}", f"seed {last.seed}", f"attempt {last.attempt}"]
    if (parent := row.user_attrs.get("parent")) is not None:
        said.append(f"began with the weights of trial {plain(str(parent))}")
    said += [f"on {code(last.host[:LINE])} ({plain(last.device)})"] if last.host else []
    said += [f"{last.seconds:.1f} s"] if last.seconds is not None else []
    return " · ".join([*said, f"network `{row.digest[:12]}`"])


def _lost(attempts: Sequence[Attempt]) -> list[str]:
    return [
        f"Attempt {attempt.attempt} was lost: {plain(attempt.reason)}"
        for attempt in attempts[:-1]
        if attempt.state == "lost"
    ]


def _curve(attempts: Sequence[Attempt]) -> str:
    """The first of the reported metrics that are also results, by epoch."""
    steps = {int(step): metrics for attempt in attempts for step, metrics in attempt.curve.items()}
    name = next((name for name in ("accuracy", *attempts[-1].metrics) if any(name in of for of in steps.values())), "")
    told = [f"{step}: {number(of[name])}" for step, of in sorted(steps.items()) if name in of]
    return f"{plain(name)} by epoch: {', '.join(told[-12:])}" if told else ""


WEIGHTS = {"inherit": "those of the nearest trained trial", "supernet": "those of a supernet; nothing is trained"}


def study_note(header: Header, origins: Counter[str], seeds: Iterable[int], versions: Iterable[str], where: str) -> str:
    """What is searched for and where, by whom, and how to go on.

    Args:
        header: the study.
        origins: how many trials each proposer made.
        seeds: of the trials.
        versions: of the programs that ran them, as JSON.
        where: ` --storage URL`, or empty.
    """
    told = dict(header.settings)
    rungs = told.get("rungs")
    low, high = told.get("epochs", (1, 1))
    budget = f"{high} {_plural('epoch', high)}" if low == high else f"{low} to {high} epochs"
    if rungs:
        budget += " on rungs, one in " + number(rungs.get("factor", 3)) + " goes on"
    facts = {
        "space": code(str(told.get("space", ""))),
        "data": plain(str(told.get("data", ""))),
        "evaluation": plain(str(told.get("evaluate", ""))),
        "objectives": ", ".join(code(each) for each in told.get("objectives", ())),
        "limits": ", ".join(code(each) for each in told.get("limits", ())) or "none",
        "budget of a trial": budget,
        "weights to begin with": WEIGHTS.get(str(told.get("weights")), BEGUN.get(str(told.get("from")), "")),
        "proposed by": ", ".join(f"{code(name)} {count}" for name, count in origins.most_common()),
        "seeds of the trials": _range(seeds),
        "space shrank": "in phases, while a supernet was trained; `nas report` draws it" if told.get(SETTING) else "",
        "measured on": plain(str(told.get("measured_on", ""))),
        "driven now": _driver(header.driver),
        "made with": plain(f"mixer-nas {header.version}"),
        "run with": _versions(versions),
    }
    table = ["| | |", "|---|---|", *(_cells(name, value) for name, value in facts.items() if value)]
    parts = ["\n".join(table), "To go on, to a total of N trials:", block(command(header.name, told, where, origins))]
    rest = {name: value for name, value in told.items() if isinstance(value, Mapping) and name != SETTING}
    said = [_cells(plain(name), plain(_words(value))) for name, value in rest.items()]
    parts += ["\n".join(["| settings | a search with others is refused |", "|---|---|", *said])] if said else []
    return "\n\n".join(parts) + "\n"


def _cells(name: str, value: str) -> str:
    bar = r"\|"
    return f"| {name.replace('|', bar)} | {value.replace('|', bar)} |"


def _words(value: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {each if isinstance(each, str) else json.dumps(each)}" for name, each in value.items())


def _driver(driver: Mapping[str, Any] | None) -> str:
    if driver is None:
        return "by nobody"
    return f"by process {driver.get('pid', '?')} on {code(str(driver.get('host', '?')))}"


def _range(seeds: Iterable[int]) -> str:
    found = sorted(set(seeds))
    if len(found) > 8:
        return f"{len(found)} of them, {found[0]} to {found[-1]}"
    return ", ".join(map(str, found))


def _versions(told: Iterable[str]) -> str:
    every = [json.loads(each) for each in sorted(set(told)) if each]
    names = list(dict.fromkeys(name for each in every for name in each))
    return plain(
        "; ".join(f"{name} {', '.join(sorted({each[name] for each in every if name in each}))}" for name in names)
    )


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
