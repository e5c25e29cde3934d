"""The course of a shrinking space in words and columns, for terminals and reports."""

from __future__ import annotations

from nas.supernet.course import REASONS, Course, OptionScore, Phase
from nas.wording import quantity

DIED = "x"
MARKS = {"tie": "=", "noise": "~", "few": "?"}
NAMED = 12  # classes that are named


def phase_line(phase: Phase, classes: int) -> str:
    """One line about a phase; `classes`: of the whole data set."""
    count = len(phase.classes)
    which = "all" if count == classes else ", ".join(map(str, phase.classes[:NAMED]))
    more = ", ..." if count > NAMED and count < classes else ""
    epochs = "1 epoch" if phase.epochs == 1 else f"{phase.epochs} epochs"
    gone = len(phase.dropped)
    change = (
        f"{gone} of {len(phase.scores)} options dropped, {quantity(phase.before)} -> {quantity(phase.after)} candidates"
        if gone
        else f"no option dropped, {quantity(phase.after)} candidates"
    )
    return f"phase {phase.number}: {count} of {classes} classes ({which}{more}), {epochs}: {change}"


def course_text(course: Course) -> str:
    """A line for each phase, then a row for each option with its score in each phase and what became of it."""
    if not course.phases:
        return "no phase has ended"
    lines = [phase_line(phase, course.classes) for phase in course.phases]
    rows = [("gene", "option", *(f"phase {phase.number}" for phase in course.phases))]
    last = ""
    for scores in by_option(course):
        cells = tuple(_cell(scores.get(phase.number)) for phase in course.phases)
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


def legend(course: Course) -> list[str]:
    """What the score is, and what the marks mean that occur."""
    used = {each.why for phase in course.phases for each in phase.scores}
    weight = f" less {course.cost_weight:g} ln({course.cost} / its mean)" if course.cost_weight else ""
    lines = [f"score: mean accuracy with inherited weights{weight}, in average company"]
    if any(phase.dropped for phase in course.phases):
        lines.append(f"{DIED}  dropped")
    return lines + [
        f"{mark}  kept though among the weakest: {REASONS[why]}" for why, mark in MARKS.items() if why in used
    ]


def _cell(each: OptionScore | None) -> str:
    if each is None:
        return ""
    score = "-" if each.score is None else f"{each.score:.4f}"
    return f"{score} {MARKS.get(each.why, '') if each.kept else DIED}".rstrip()
