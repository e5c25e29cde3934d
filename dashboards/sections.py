"""The sections of a report after the first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dashboards import figures, gene_figures
from dashboards.findings import Findings
from dashboards.pages import Picture, Section, Table
from dashboards.shrinking import shrinking_section
from dashboards.winner import network_section
from nas.objectives import Objective
from nas.supernet.course import SETTING
from nas.wording import quantity

LONG = 300  # letters of a failure's reason that are shown


def sections(found: Findings) -> tuple[Section, ...]:
    """Those that have something to say."""
    parts = (
        network_section(found), _front(found), _progress(found), _rungs(found), _genes(found), _short(found),
        _scores(found), shrinking_section(found.shrinking), _failures(found), _provenance(found),
    )  # fmt: skip
    return tuple(part for part in parts if part is not None)


def _pictures(*found: Picture | None) -> tuple[Picture, ...]:
    return tuple(picture for picture in found if picture is not None)


def _front(found: Findings) -> Section | None:
    title = "Front"
    if found.front is None:
        if not found.states["complete"]:
            return None
        return Section("front", title, ("No cost of the networks is known, so there is nothing to set them against.",))
    goal = Objective.parse(found.headline.objective)
    way = "more is better" if goal.maximize else "less is better"
    picture = figures.front_picture(found.front, way)
    return None if picture is None else Section("front", title, pictures=(picture,))


def _progress(found: Findings) -> Section | None:
    pictures = _pictures(
        figures.progress_picture(found.courses, by="trainings"), figures.progress_picture(found.courses, by="hours")
    )
    if not pictures:
        return None
    lines = ["A training is a trial that ended, however it did; those taken over from other studies are none."]
    if len(found.objectives) > 1:
        lines.append(
            "The hypervolume is that between the front and a reference point a tenth of the range worse than the worst "
            "of the first ten complete trials, in units of their range."
        )
    return Section("progress", "Progress", tuple(lines), pictures)


def _rungs(found: Findings) -> Section | None:
    pictures = _pictures(figures.rungs_picture(found.climb), figures.curves_picture(found.climb))
    if not pictures:
        return None
    rungs = found.climb.rungs
    line = (
        f"Trials were set aside after {', '.join(_epochs(rung.epochs) for rung in rungs[:-1])}, and the best of a rung "
        f"were promoted to the next, up to {rungs[-1].epochs}."
        if len(rungs) > 1
        else f"There were no rungs: every trial was trained for up to {_epochs(rungs[0].epochs)} at once."
    )
    return Section("rungs", "Rungs and training curves", (line,), pictures)


def _genes(found: Findings) -> Section | None:
    if not found.effects:
        return None
    metric = Objective.parse(found.headline.objective).name
    where = f"after {_epochs(found.level)}" if len(found.climb.rungs) > 1 else "after full training"
    where = "by inherited weights" if found.by_supernet else where
    lines = [f"All of this is about {metric} {where}, which {found.judged:,} networks have."]
    if found.importance.r2 is None:
        lines.append(f"Importance of genes: {found.importance.verdict}.")
    elif not found.importance.better:
        lines.append(f"The ranking of the genes is {found.importance.verdict}.")
    pictures = _pictures(
        gene_figures.importance_picture(found.importance, metric),
        gene_figures.effects_picture(found.effects, found.importance, metric, where),
    )
    table = Table(
        "what every choice did",
        ("gene", "option", "networks", f"mean {metric}", "95 % interval", "median", "best", "trial"),
        tuple(
            (
                effect.gene,
                each.label,
                f"{each.count:,}",
                quantity(each.mean),
                "-" if each.low is None or each.high is None else f"{quantity(each.low)} to {quantity(each.high)}",
                quantity(each.median),
                quantity(each.best),
                str(each.trial),
            )
            for effect in found.effects
            for each in effect.options
        ),
        frozenset({2, 3, 4, 5, 6, 7}),
    )
    return Section("genes", "What the choices did", tuple(lines), pictures, folded=(table,))


def _short(found: Findings) -> Section | None:
    if not found.short or not found.states["complete"]:
        return None
    metric = Objective.parse(found.headline.objective).name
    picture = gene_figures.short_picture(found.short, metric)
    if picture is None:
        few = "Too few networks were trained both for short and fully to say whether a short training ranks them alike."
        return Section("short", "Short and full training", (few,))
    lines = ["Spearman's rank correlation, with a bootstrap interval, over the networks that have both."]
    if len(found.climb.rungs) > 1:
        lines.append(
            "Only those that were promoted have both, and they are alike in being good: over all networks the "
            "correlation would be higher."
        )
    return Section("short", "Short and full training", tuple(lines), (picture,))


def _scores(found: Findings) -> Section | None:
    if found.scores is None:
        return None
    metric = Objective.parse(found.headline.objective).name
    picture = gene_figures.scores_picture(found.scores, metric)
    few = ("Too few networks carry scores to say what they are worth.",) if picture is None else ()
    return Section("scores", "Scores without training", few, _pictures(picture))


def _failures(found: Findings) -> Section | None:
    if not found.failures:
        return None
    total = found.states["fail"]
    table = Table(
        "reasons; those that differ in numbers only are one",
        ("trials", "reason", "as in trial"),
        tuple(
            (
                f"{each.count:,}",
                _cut(each.reason),
                ", ".join(map(str, each.trials)) + (", ..." * (each.count > len(each.trials))),
            )
            for each in found.failures
        ),
        frozenset({0}),
    )
    kinds = "one reason" if len(found.failures) == 1 else f"{len(found.failures)} different reasons"
    line = f"{total:,} of {sum(found.states.values()):,} trials failed, for {kinds}."
    return Section("failures", "Failures", (line,), tables=(table,))


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _cut(text: str) -> str:
    said = " ".join(text.split())
    return said if len(said) <= LONG else said[: LONG - 3] + "..."


def _provenance(found: Findings) -> Section:
    told = found.provenance
    rows = [
        ("data", told.data or "not told"),
        ("space", told.space or "from Python"),
        ("evaluation", told.evaluate or "from Python"),
        ("recipe", _pairs(told.recipe) or "of the evaluation itself"),
        ("seed of the search", "not told" if told.seed is None else f"{told.seed}; trial n has seed {told.seed} + n"),
        ("proposed by", _counts(told.origins)),
        ("devices", _counts(told.devices)),
        ("hosts", _counts(told.hosts)),
        *(("versions", f"{_pairs(versions)} ({count:,} attempts)") for versions, count in told.versions),
        ("study made by", f"mixer-nas {told.version}"),
        ("first attempt began", f"{told.began} UTC" if told.began else "-"),
        ("last attempt ended", f"{told.ended} UTC" if told.ended else "-"),
    ]
    lines = (
        (f"As far as the study tells; {told.untold}.",)
        if told.commands
        else ("The study was made from Python; its settings are below.",)
    )
    settings = Table(
        "settings of the study",
        ("setting", "value"),
        tuple(
            (name, value if isinstance(value, str) else json.dumps(value))
            for name, value in told.settings.items()
            if name != SETTING  # which has its own section
        ),
    )
    table = Table("where the numbers come from", ("what", "value"), tuple((what, value or "-") for what, value in rows))
    return Section("again", "To have it again", lines, tables=(table,), folded=(settings,), commands=told.commands)


def _pairs(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _counts(facts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in facts.items())
