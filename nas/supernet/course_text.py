"""The course of a shrinking space in words and columns, for terminals and reports."""

from __future__ import annotations

from collections.abc import Mapping

from nas.space import Count
from nas.supernet.course import REASONS, Course, OptionScore, Phase

DIED, GONE = "x", "^"
MARKS = {"tie": "=", "noise": "~", "few": "?"}
NAMED = 12  # classes that are named


def phase_line(phase: Phase, classes: int) -> str:
    """One line about a phase; `classes`: of the whole data set."""
    count = len(phase.classes)
    which = "all" if count == classes else ", ".join(map(str, phase.classes[:NAMED]))
    more = ", ..." if count > NAMED and count < classes else ""
    epochs = "1 epoch" if phase.epochs == 1 else f"{phase.epochs} epochs"
    gone = len(phase.dropped)
    left = candidates(phase.after)
    change = (
        f"{gone} of {len(phase.scores)} options dropped, {candidates(phase.before)} -> {left} candidates"
        if gone
        else f"no option dropped, {left} candidates"
    )
    return f"phase {phase.number}: {count:,} of {classes:,} classes ({which}{more}), {epochs}: {change}"


def candidates(count: int) -> str:
    """A number of candidates: 1,200 or 2.87e+10."""
    return str(Count(count, exact=True))


def course_text(course: Course) -> str:
    """A line for each phase, then a row for each option with its score in each phase and what became of it."""
    if not course.phases:
        return "no phase has ended"
    lines = [phase_line(phase, course.classes) for phase in course.phases]
    rows = [("gene", "option", *(f"phase {phase.number}" for phase in course.phases))]
    last = ""
    for scores in by_option(course):
        cells = tuple(
            _cell(scores, phase.number, gone=vanished(course, scores, phase.number)) for phase in course.phases
        )
        option = next(iter(scores.values()))
        rows.append(("" if option.gene == last else option.gene, str(option.label), *cells))
        last = option.gene
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines += [
        "",
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
    ]
    return "\n".join([*lines, "", *legend(course)])


def by_option(course: Course) -> list[dict[int, OptionScore]]:
    """Of each option, in the order of the space, the score of each phase that it was in, by number."""
    found: dict[tuple[str, str], dict[int, OptionScore]] = {}
    for phase in course.phases:
        for each in phase.scores:
            found.setdefault((each.gene, repr(each.label)), {})[phase.number] = each  # True is not 1
    return list(found.values())


def vanished(course: Course, scores: Mapping[int, OptionScore], number: int) -> bool:
    """Whether an option was kept in a phase and is gone in the next, with the option that it hangs on."""
    return number in scores and scores[number].kept and number < len(course.phases) and number + 1 not in scores


def fate(each: OptionScore, *, gone: bool) -> str:
    """What became of an option in a phase, in words; `gone`: whether it vanished with another."""
    if not each.kept:
        return "dropped"
    if gone:
        return "gone with the option that it hangs on"
    return f"kept: {REASONS[each.why]}" if each.why else "kept"


def legend(course: Course) -> list[str]:
    """What the score is, and what the marks mean that occur."""
    used = {each.why for phase in course.phases for each in phase.scores}
    weight = f" less {course.cost_weight:g} ln({course.cost} / its mean)" if course.cost_weight else ""
    lines = [f"score: mean accuracy with inherited weights{weight}, in average company and with its best settings"]
    if any(phase.dropped for phase in course.phases):
        lines.append(f"{DIED}  dropped")
    return lines + [
        f"{mark}  kept though among the weakest: {REASONS[why]}" for why, mark in MARKS.items() if why in used
    ]


def _cell(scores: Mapping[int, OptionScore], number: int, *, gone: bool) -> str:
    if number not in scores:
        return ""
    each = scores[number]
    score = "-" if each.score is None else f"{each.score:.4f}"
    mark = DIED if not each.kept else GONE if gone else MARKS.get(each.why, "")
    return f"{score} {mark}".rstrip()
