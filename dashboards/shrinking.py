"""The course of a space that shrank while its supernet was trained: which option was dropped when, at what score."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from dashboards.drawing import BLUE, GREY, ORANGE, VERMILION, shortened, svg
from dashboards.pages import Picture, Section, Table
from nas.supernet.course import SETTING, Course, OptionScore, Phase
from nas.supernet.course_text import by_option, candidates, fate, vanished
from nas.wording import quantity

MOST = 70  # options in the picture; the table has all
NUMBERED = 5  # phases up to which every mark has its score beside it
LABEL = 18  # letters of an option
HEADING = 52  # and of a gene
LEFT = 40  # points by which headings begin before the lines


def course_of(settings: Mapping[str, Any]) -> Course | None:
    """None for a study whose space did not shrink. Raises: InputError for a course that is damaged."""
    told = settings.get(SETTING)
    return None if told is None else Course.from_json(told)


def shrinking_section(course: Course | None) -> Section | None:
    """What was dropped, phase by phase."""
    if course is None or not course.phases:
        return None
    first, last = course.phases[0], course.phases[-1]
    dropped = sum(len(phase.dropped) for phase in course.phases)
    gone = sum(vanished(course, option, number) for option in by_option(course) for number in option)
    with_them = f", and {gone} that hang on one of these went with them" if gone else ""
    began = (
        f"The supernet was trained with {len(first.classes):,} of {course.classes:,} classes at first, those that were "
        f"easiest early in training, and then with more. Of {len(first.scores)} options {dropped} were dropped on the "
        f"way{with_them}: of {candidates(first.before)} candidates {candidates(last.after)} are left."
    )
    lines = [began, _score_words(course)]
    if len(last.classes) < course.classes:
        lines.append(f"It has not ended: the last phase had {len(last.classes):,} of {course.classes:,} classes.")
    picture = course_picture(course)
    return Section(SETTING, "How the space shrank", tuple(lines), (picture,), tables=(_phases(course),))


def course_picture(course: Course) -> Picture:
    """A line for every option from its first phase to the one in which it was dropped."""
    shown, left_out = _shown(course)
    rows: list[str | dict[int, OptionScore]] = []
    for gene, options in shown.items():
        rows += [gene, *options]

    caption = (
        "Every option, from phase to phase, with its score: a cross where it was dropped, an arrow where it outlived "
        f"the last phase. {_deaths(course)}"
        + (f" The {left_out} options of choices that differ least are in the table only." if left_out else "")
    )
    label = "Lines by option: the phases that each option of the space lived through, and where it was dropped"
    draw = partial(_draw, course=course, rows=rows)
    return Picture(SETTING, label, caption, partial(svg, SETTING, draw, 1.1 + 0.18 * len(rows)), _numbers(course))


def _shown(course: Course) -> tuple[dict[str, list[dict[int, OptionScore]]], int]:
    """The options of each gene, in the order of the space; of too many, the genes whose scores differ most."""
    genes: dict[str, list[dict[int, OptionScore]]] = {}
    for option in by_option(course):
        genes.setdefault(next(iter(option.values())).gene, []).append(option)

    def apart(gene: str) -> float:
        found = [0.0]
        for phase in course.phases:
            known = [each.score for each in phase.scores if each.gene == gene and each.score is not None]
            found.append(max(known, default=0.0) - min(known, default=0.0))
        return max(found)

    kept: set[str] = set()
    for gene in sorted(genes, key=apart, reverse=True):
        if not kept or sum(len(genes[each]) for each in kept) + len(genes[gene]) <= MOST:
            kept.add(gene)
    shown = {gene: options for gene, options in genes.items() if gene in kept}
    return shown, sum(len(options) for gene, options in genes.items() if gene not in kept)


def _draw(axes: Axes, course: Course, rows: Sequence[str | dict[int, OptionScore]]) -> None:
    last, marks = len(course.phases), set[Mark]()
    options: dict[int, str] = {}
    for place, row in enumerate(rows):
        if isinstance(row, str):  # a heading, over the labels of its options and their lines
            axes.annotate(
                shortened(row, HEADING), (0, place), (-LEFT, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center", fontsize=8, fontweight="bold",
            )  # fmt: skip
            continue
        options[place] = shortened(str(next(iter(row.values())).label), LABEL)
        axes.plot([*row], [place] * len(row), "-", color=BLUE if row.keys() & {last} else GREY, linewidth=1, zorder=1)
        for number, each in row.items():
            mark = _mark(each, ended=number == last, gone=vanished(course, row, number))
            marks.add(mark)
            colour, marker, face = mark
            axes.plot(
                [number],
                [place],
                marker,
                color=colour,
                markerfacecolor=face,
                markersize=5,
                markeredgewidth=1.5,
                zorder=2,
            )
            if last <= NUMBERED and each.score is not None:
                axes.annotate(
                    f"{each.score:.3f}", (number, place), (5, 0), textcoords="offset points", va="center", fontsize=7,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
                )  # fmt: skip
    axes.set_yticks([*options], [*options.values()])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0.8, last + 0.6)
    ticks = [f"phase {phase.number}\n{len(phase.classes):,} classes" for phase in course.phases]
    axes.set_xticks([phase.number for phase in course.phases], ticks)
    axes.tick_params(length=0, labeltop=True)
    axes.set_xlabel("phase, and how many classes it had")
    axes.grid(visible=False, axis="y")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.figure.legend(handles=_legend(marks), loc="outside lower center", ncols=2)


Mark = tuple[str, str, str]  # colour, shape and filling
KEPT, LASTED, SPARED, GONE, DROPPED = (
    (BLUE, "o", BLUE),
    (BLUE, ">", BLUE),
    (ORANGE, "s", "white"),
    (GREY, "o", "white"),
    (VERMILION, "x", VERMILION),
)
WORDS: dict[Mark, str] = {
    KEPT: "kept",
    LASTED: "kept to the last",
    SPARED: "among the weakest, but spared",
    GONE: "gone with the option it hangs on",
    DROPPED: "dropped",
}


def _mark(each: OptionScore, *, ended: bool, gone: bool) -> Mark:
    if not each.kept:
        return DROPPED
    return GONE if gone else SPARED if each.why else LASTED if ended else KEPT


def _legend(used: Collection[Mark]) -> list[Line2D]:
    return [
        Line2D([], [], color=mark[0], marker=mark[1], markerfacecolor=mark[2], linestyle="", label=text, markersize=5)
        for mark, text in WORDS.items()
        if mark in used
    ]


def _score_words(course: Course) -> str:
    cost = (
        f", less {course.cost_weight:g} times the logarithm of its {course.cost} relative to the mean of its choice"
        if course.cost_weight
        else ""
    )
    return (
        f"An option's score is the mean accuracy with inherited weights of the candidates that use it{cost}; the "
        "company that they happened to have is taken out, and an option with choices of its own counts with the best "
        "of them. Such an accuracy is not that of a trained network, and scores of different phases are of different "
        "classes: compare within a phase."
    )


def _deaths(course: Course) -> str:
    told = []
    for phase in course.phases:
        if phase.dropped:
            one = len(phase.dropped) == 1
            told.append(f"{len(phase.dropped)} option{'' if one else 's'} died in phase {phase.number}")
    return f"{', '.join(told)}." if told else "None was dropped."


def _phases(course: Course) -> Table:
    def row(phase: Phase) -> tuple[str, ...]:
        spared = sum(bool(each.why) for each in phase.scores)
        counts = (len(phase.classes), phase.epochs, len(phase.scores), len(phase.dropped), spared)
        return (
            str(phase.number),
            *(f"{count:,}" for count in counts),
            candidates(phase.before),
            candidates(phase.after),
        )

    header = ("phase", "classes", "epochs", "options", "dropped", "spared", "candidates before", "after")
    return Table("phases", header, tuple(map(row, course.phases)), frozenset(range(8)))


def _numbers(course: Course) -> Table:
    def row(option: Mapping[int, OptionScore], number: int) -> tuple[str, ...]:
        each = option[number]
        accuracy, score, error = (
            "-" if value is None else f"{value:.4f}" for value in (each.accuracy, each.score, each.error)
        )
        end = fate(each, gone=vanished(course, option, number))
        cost = "-" if each.cost is None else quantity(each.cost)
        return (each.gene, str(each.label), str(number), f"{each.judged:,}", accuracy, cost, score, error, end)

    header = ("gene", "option", "phase", "judged", "mean accuracy", f"mean {course.cost}", "score", "error", "fate")
    rows = tuple(row(option, number) for option in by_option(course) for number in option)
    return Table("every option in every phase", header, rows, frozenset({2, 3, 4, 5, 6, 7}))
