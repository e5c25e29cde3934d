"""`nas studies`, `nas enqueue` and `nas doctor`: studies as a whole."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nas.config import read_config
from nas.errors import ArchitectureError, InputError
from nas.nearest import starting_point
from nas.store import doctor as doctors
from nas.store import managing
from nas.store.database import storage_url
from nas.store.reading import read_study, study_names
from nas.wording import quantity
from runners.job_setup import Setup, full_side, prepare, pricing_of, read_architecture

STOP_S = 60.0  # that `nas studies stop` waits for the driver to end


def _json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")


def table(storage: str | None, *, as_json: bool, out: Console) -> None:
    """`nas studies`."""
    found = managing.summaries(storage_url(storage))
    if as_json:
        _json([{**dataclasses.asdict(study), "counts": dict(study.counts)} for study in found])
        return
    shown = Table("study", "objectives", "trials", "best", "driven by")
    for study in found:
        counts = ", ".join(f"{count} {state}" for state, count in study.counts.items())
        best = "" if study.best is None else quantity(study.best)
        shown.add_row(study.name, ", ".join(study.objectives), counts, best, study.driver or "nobody")
    if found:
        out.print(shown)
    else:
        out.print("no study yet; `nas search` makes one")


def delete(name: str, storage: str | None, *, yes: bool, checkpoints: bool, out: Console) -> None:
    """`nas studies delete`. Raises: InputError."""
    url = storage_url(storage)
    count = len(read_study(url, name).trials)
    if not yes and not _agreed(f"delete study {name!r} with its {count} trials?"):
        raise InputError(f"study {name!r} was not deleted; --yes deletes without asking")
    roots = managing.delete_study(url, name)
    out.print(f"study {name} deleted; its complete evaluations stay for --reuse", highlight=False, soft_wrap=True)
    for root in roots:
        if checkpoints:
            shutil.rmtree(root, ignore_errors=True)
        out.print(f"checkpoints {'left' if root.exists() else 'deleted'}: {root}", highlight=False, soft_wrap=True)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def stop(name: str, storage: str | None, *, out: Console) -> None:
    """`nas studies stop`. Raises: InputError when nobody drives it, or the driver does not end."""
    url = storage_url(storage)
    who = managing.stop_study(url, name)
    deadline = time.monotonic() + STOP_S
    while managing.driver_now(url, name) is not None:
        if time.monotonic() > deadline:
            raise InputError(f"study {name!r}: {who} was asked to end and has not within {STOP_S:.0f} s")
        time.sleep(0.5)
    out.print(f"study {name}: {who} has ended; the same `nas search` goes on", highlight=False, soft_wrap=True)


def enqueue(name: str, what: str, storage: str | None, *, as_json: bool, out: Console) -> None:
    """`nas enqueue`. Raises: InputError for what is not in the space of the study, or cannot be scaled into it."""
    url = storage_url(storage)
    otherwise = "optuna's `study.enqueue_trial` with the parameters of a candidate does the same"
    setup = setup_of(read_study(url, name).settings, name, otherwise)
    value, pricing = _candidate(what), pricing_of(setup)
    if isinstance(value, Mapping):
        genome = setup.space.encode(value)
        start, exact = genome, True
    else:
        value = _at_size(value, setup)
        found = starting_point(pricing, value)
        start, exact = found.genome, found.exact
    priced = pricing.price(start)
    if priced.excess:
        broken = [str(limit) for limit in pricing.limits if limit.excess(priced.costs) > 0]
        raise InputError(f"{what} is over the limit {', '.join(broken)} of study {name!r}")
    number = managing.enqueue(url, name, setup.space.params(start))
    if as_json:
        _json({"study": name, "trial": number, "exact": exact, "params": setup.space.params(start)})
        return
    scaled = "" if exact else ", scaled into the space and the limits"
    out.print(
        f"{what} is trial {number} of study {name}{scaled}: the search that runs takes it within seconds, or the next",
        highlight=False,
        soft_wrap=True,
    )


def _candidate(what: str) -> Any:
    """A published network, an architecture file, or a JSON file that holds a candidate of another space."""
    if what.endswith(".json"):
        try:
            body = json.loads(Path(what).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{what}: {error.strerror}") from error
        except ValueError as error:
            raise InputError(f"{what}: no JSON ({error})") from error
        if isinstance(body, dict) and "stages" not in body:
            return body
    return read_architecture(what)


def _at_size(value: Any, setup: Setup) -> Any:
    if setup.training is None:
        return value
    try:
        return value.at(setup.training.data.resolution)
    except ArchitectureError:
        return value  # it is scaled below


def setup_of(settings: Mapping[str, Any], name: str, otherwise: str) -> Setup:
    """The search that a study was made by.

    Raises: InputError when it was made from Python, with what to do `otherwise`, or by `nas confirm` or `nas retrain`.
    """
    if "confirms" in settings:
        raise InputError(f"study {name!r} holds what `nas confirm` trained of {settings['confirms']!r}; name that one")
    if "retrains" in settings:
        raise InputError(f"study {name!r} holds what `nas retrain` trained of {settings['retrains']!r}; name that one")
    if "space" not in settings or "evaluate" not in settings or not isinstance(settings.get("source") or {}, dict):
        raise InputError(f"study {name!r} was made from Python, whose space is not known here; {otherwise}")
    source, recipe = settings.get("source") or {}, settings.get("recipe") or {}
    rungs = dict(settings.get("rungs") or {})
    scale = rungs.pop("rung_scale", None)
    given: dict[str, Any] = {
        "space": settings["space"],
        "objectives": settings["objectives"],
        "limits": settings["limits"],
        "epochs": ":".join(map(str, settings["epochs"])),
        **rungs,
    }
    if source:
        given |= {"data": source["data"], "resolution": source["resolution"], "subset": recipe.get("subset", 1.0)}
    else:
        given |= {"evaluate": settings["evaluate"], "costs": settings.get("costs")}
    setup = prepare(read_config(None, {key: value for key, value in given.items() if value is not None}))
    if settings.get("shrinking"):
        from nas.supernet.course import Course

        setup = dataclasses.replace(setup, space=Course.from_json(settings["shrinking"]).narrowed(setup.space))
    if scale is None:
        return setup
    changed = setup.config.model_copy(update={"rung_resolution": round(scale * full_side(setup))})
    return dataclasses.replace(setup, config=changed)


def doctor(name: str | None, storage: str | None, *, repair: bool, as_json: bool, out: Console) -> int:
    """`nas doctor`; the exit code: 0 when every promise holds, 1 when one is broken. Raises: InputError, StoreError."""
    url = storage_url(storage)
    done: dict[str, list[str]] = {}
    reports = []
    for each in [name] if name else study_names(url):
        if repair:
            done[each], report = doctors.repair(url, each)
        else:
            report = doctors.examine(url, each)
        reports.append(report)
    broken = any(report.findings for report in reports)
    if as_json:
        rows = [
            {**dataclasses.asdict(report), "clean": not report.findings, "repaired": done.get(report.study, [])}
            for report in reports
        ]
        _json(rows[0] if name else rows)
        return int(broken)
    for report in reports:
        _tell(report, done.get(report.study, []), out)
    if not reports:
        out.print("no study yet; nothing to examine")
    return int(broken)


def _tell(report: doctors.Report, done: list[str], out: Console) -> None:
    def say(line: str) -> None:
        out.print(line, highlight=False, markup=False, soft_wrap=True)

    for line in done:
        say(f"repaired: {line}")
    verdict = f"{len(report.findings)} broken promise(s)" if report.findings else "every promise holds"
    say(f"study {report.study}: {report.trials} trials, {verdict}")
    for finding in report.findings:
        where = "the study" if finding.trial is None else f"trial {finding.trial}"
        say(f"  {where}: {finding.found} ({finding.promise}){'; --repair mends it' if finding.repairable else ''}")
    for note in report.notes:
        say(f"  {note}")
