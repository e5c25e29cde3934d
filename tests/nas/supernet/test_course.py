"""The course as JSON and as text."""

import dataclasses
import json

import pytest

from nas import Space, int_range, one_of
from nas.errors import InputError
from nas.supernet.course import Course, OptionScore, Phase
from nas.supernet.course_text import course_text, phase_line

SPACE = Space({"mixer": one_of("pool", "conv", "mlp", "attention"), "width": one_of(16, 32), "flag": one_of(True, 1), "depth": int_range(1, 2)})  # fmt: skip


def option(gene, label, score, kept=True, why="", judged=20):
    return OptionScore(gene, label, score, None if score is None else 0.01, score, 1e6, judged, kept, why)


@pytest.fixture
def course():
    first = Phase(
        1, (7, 1, 4), 20, 32, 24,
        (
            option("mixer", "pool", 0.5, kept=False), option("mixer", "conv", 0.7), option("mixer", "mlp", 0.61, why="noise"),
            option("mixer", "attention", 0.6, why="tie"), option("width", 16, 0.6), option("width", 32, 0.65),
            option("flag", True, 0.6), option("flag", 1, None, why="few", judged=0), option("depth", 1, 0.6), option("depth", 2, 0.6),
        ),
    )  # fmt: skip
    second = Phase(
        2, tuple(range(10)), 1, 24, 12,
        tuple(
            dataclasses.replace(each, kept=each.label != 16, why="") for each in first.scores if each.kept
        ),
    )  # fmt: skip
    return Course((first, second), 10, "macs", 0.02)


def test_it_comes_back_from_json_as_it_was(course):
    again = Course.from_json(json.loads(json.dumps(course.as_json(), allow_nan=False)))

    assert again == course
    assert [type(each.label) for each in again.phases[0].scores[6:8]] == [bool, int]


def test_what_is_left_of_the_space_is_what_every_phase_kept(course):
    left = {gene.path: gene.options for gene in course.narrowed(SPACE).genes}

    assert left == {"mixer": ("conv", "mlp", "attention"), "width": (32,), "flag": (True, 1), "depth": (1, 2)}
    with pytest.raises(InputError, match="unknown gene 'mixer'"):
        course.narrowed(Space({"a": one_of(1, 2)}))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda body: body.pop("phases"), "^shrinking: 'phases' is missing$"),
        (lambda body: body.update(phases={}), "^shrinking.phases: a list is expected, not {}$"),
        (lambda body: body.update(classes=True), "shrinking.classes: a whole number of at least 1 is expected, not True"),
        (lambda body: body.update(cost_weight="much"), "shrinking.cost_weight: a finite number is expected, not 'much'"),
        (lambda body: body["phases"].reverse(), r"shrinking.phases\[0\].number: 1 is expected, not 2"),
        (lambda body: body["phases"][1].update(classes=[]), r"phases\[1\].classes: one or more different classes"),
        (lambda body: body["phases"][1].update(classes=[0, "1"]), r"phases\[1\].classes: a whole number of at least 0"),
        (lambda body: body["phases"][0].update(epochs=-1), r"phases\[0\].epochs: a whole number of at least 0 is expected, not -1"),
        (lambda body: body["phases"][0]["scores"].append("x"), r"phases\[0\].scores\[10\]: an object is expected, not 'x'"),
        (lambda body: body["phases"][0]["scores"][0].update(kept=1), r"scores\[0\].kept: true or false is expected, not 1"),
        (lambda body: body["phases"][0]["scores"][0].update(why="so"), r"scores\[0\].why: one of .* is expected, not 'so'"),
        (lambda body: body["phases"][0]["scores"][0].update(label=[1]), r"scores\[0\].label: text or a number is expected"),
        (lambda body: body["phases"][0]["scores"][0].update(score="1"), r"scores\[0\].score: a finite number is expected, not '1'"),
        (lambda body: [each.update(kept=False) for each in body["phases"][0]["scores"][:4]], "at least one option kept is expected, not 'no option of mixer'"),
    ],
)  # fmt: skip
def test_damaged_json_is_refused_in_one_line_that_says_where(course, change, told):
    body = course.as_json()
    change(body)

    with pytest.raises(InputError, match=told) as refused:
        Course.from_json(body)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_what_is_no_object_is_no_course(body):
    with pytest.raises(InputError, match="shrinking: an object is expected"):
        Course.from_json(body)


def test_the_text_tells_phases_and_what_became_of_every_option(course):
    text = course_text(course)

    assert text.splitlines() == [
        "phase 1: 3 of 10 classes (7, 1, 4), 20 epochs: 1 of 10 options dropped, 32 -> 24 candidates",
        "phase 2: 10 of 10 classes (all), 1 epoch: 1 of 9 options dropped, 24 -> 12 candidates",
        "",
        "gene   option     phase 1   phase 2",
        "mixer  pool       0.5000 x",
        "       conv       0.7000    0.7000",
        "       mlp        0.6100 ~  0.6100",
        "       attention  0.6000 =  0.6000",
        "width  16         0.6000    0.6000 x",
        "       32         0.6500    0.6500",
        "flag   True       0.6000    0.6000",
        "       1          - ?       -",
        "depth  1          0.6000    0.6000",
        "       2          0.6000    0.6000",
        "",
        "score: mean accuracy with inherited weights less 0.02 ln(macs / its mean), in average company and with its best settings",
        "x  dropped",
        "=  kept though among the weakest: as good as one that is kept",
        "~  kept though among the weakest: not worse than the best by more than its error",
        "?  kept though among the weakest: judged too rarely to be dropped",
    ]


def test_a_course_that_has_not_begun_and_a_phase_without_a_loss_are_told(course):
    assert course_text(Course((), 10)) == "no phase has ended"
    many = Phase(4, tuple(range(40)), 2, 12, 12, course.phases[1].scores[:1])
    assert phase_line(many, 100) == (
        "phase 4: 40 of 100 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...), 2 epochs: no option dropped, 12 candidates"
    )
