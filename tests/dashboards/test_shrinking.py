"""The course of a space that shrank, in a report."""

import json
import re
from xml.etree import ElementTree

import pytest
from accounts import TRAINED, account, trial

from dashboards.drawing import BLUE, VERMILION
from dashboards.findings import findings
from dashboards.report import render
from dashboards.shrinking import MOST, course_of, course_picture
from nas import Space, one_of
from nas.errors import InputError
from nas.supernet.shrinking import Course, Judged, OptionScore, Phase, Rule, shrink

EVIL = "<script>alert(1)</script>|`$x$"
WORTH = {"pool": 0.1, "conv": 0.3, "mlp": 0.0, 3: 0.0, 5: 0.1, 16: 0.0, 32: 0.05, EVIL: 0.02, "fine": 0.02}


def course(classes=10, ended=None, name="flavour", weight=0.01):
    """Of planted worth: of the mixers mlp dies first, and with it its ratio."""
    mixer = one_of(pool="pool", conv={"kernel": one_of(3, 5)}, mlp={"ratio": one_of(1.0, 2.0)})
    space = Space({"mixer": mixer, "width": one_of(16, 32), name: one_of(EVIL, "fine")})

    def judge(left, genomes, classes):
        return [Judged(each, sum(WORTH.get(label, 0) for label in left.params(each).values()), 1e6) for each in genomes]

    phases = shrink(space, range(classes), train=lambda *told: None, judge=judge, rule=Rule(cost_weight=weight, z=0.0))
    return Course(tuple(phases)[:ended], classes, "macs", weight)


def report(found, form="html", **settings):
    trials = [trial(0, accuracy=0.5, macs=1e6), trial(1, accuracy=0.6, macs=2e6)]
    return render(findings(account(trials, **TRAINED, **settings, shrinking=found.as_json())), form)


def section(page):
    return re.search(r'<section id="shrinking".*?</section>', page, re.DOTALL)[0]


def test_the_section_is_there_for_a_study_whose_space_shrank_and_for_no_other():
    plain = render(findings(account([trial(0, accuracy=0.5)], **TRAINED)), "html")

    assert 'id="shrinking"' not in plain
    assert 'id="shrinking"' not in report(Course((), 10))
    assert '<a href="#shrinking">How the space shrank</a>' in report(course())


def test_it_tells_what_was_dropped_in_words_in_tables_and_in_a_picture_with_a_name():
    found = course()
    part = section(report(found))

    dropped = [sum(not each.kept for each in phase.scores) for phase in found.phases]
    assert dropped[0] >= 1
    assert f"{dropped[0]} option{'s' * (dropped[0] > 1)} died in phase 1" in part
    assert "and 2 that hang on one of these went with them" in part
    assert "was trained with 3 of 10 classes at first" in part
    assert "less 0.01 times the logarithm of its macs" in part
    assert "It has not ended" not in part
    assert re.search(r'role="img" aria-label="[^"]{20,}"', part)
    for fate in ("dropped", "kept", "gone with the option that it hangs on", "kept: as good as one that is kept"):
        assert f'<td class="text">{fate}</td>' in part


def test_a_course_that_was_broken_off_is_said_not_to_have_ended():
    assert "It has not ended: the last phase had 6 of 10 classes." in section(report(course(ended=2)))


def test_without_a_cost_term_none_is_spoken_of():
    assert "logarithm" not in section(report(course(weight=0.0)))


def test_names_that_are_markup_stay_text():
    found = course(name=EVIL)

    page, text = report(found), report(found, "md")

    assert "<script>" not in page
    assert "&lt;script&gt;" in section(page)
    ElementTree.fromstring(course_picture(found).svg())
    for row in re.findall(r"((?:^\|.*\n)+)", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in row.splitlines()}) == 1


def test_marks_differ_in_shape_and_every_score_is_written():
    found = course()
    drawn = course_picture(found).svg()

    texts = set(re.findall(r"<text[^>]*>([^<]*)</text>", drawn))
    assert {"mixer.conv.kernel", "conv", "32", "phase 1", "3", "kept to the last", "dropped"} <= texts
    assert {f"{each.score:.3f}" for phase in found.phases for each in phase.scores} <= texts
    assert BLUE in drawn
    assert VERMILION in drawn
    assert drawn == course_picture(course()).svg()


def test_of_too_many_choices_those_that_differ_least_are_in_the_table_only():
    def scores(gene, apart):
        return [OptionScore(gene, label, 0.5 + apart * label, 0.01, 0.5, 1.0, 9) for label in range(10)]

    genes = [f"g{index}" for index in range(9)]
    found = tuple(each for index, gene in enumerate(genes) for each in scores(gene, 0.001 * ((index * 4) % 9)))
    picture = course_picture(Course((Phase(1, (0, 1), 5, 10**9, 10**9, found),), 2))

    shown = set(re.findall(r"<text[^>]*>(g\d)</text>", picture.svg()))
    assert shown == {gene for index, gene in enumerate(genes) if (index * 4) % 9 > 1}
    assert len(shown) == MOST / 10
    assert "The 20 options of choices that differ least are in the table only." in picture.caption
    assert len(picture.numbers.rows) == 90


def test_options_that_were_never_judged_are_drawn_without_a_score():
    phase = Phase(1, (0,), 1, 4, 4, tuple(OptionScore("g", label, None, None, None, None, 0) for label in ("a", None)))
    picture = course_picture(Course((phase,), 1))

    assert "<text" in picture.svg()
    assert picture.numbers.rows[1] == ("g", "None", "1", "0", "-", "-", "-", "-", "kept")
    assert "None was dropped." in picture.caption


def test_json_holds_the_course_and_the_settings_do_not_show_it_twice():
    found = course()

    body = json.loads(report(found, "json"))

    assert Course.from_json(body["shrinking"]) == found
    page = report(found)
    assert "settings of the study" in page
    assert '<td class="text">shrinking</td>' not in page


@pytest.mark.parametrize("damaged", [[], {"phases": [{}]}, "x"])
def test_a_damaged_course_is_refused_in_one_line(damaged):
    with pytest.raises(InputError, match=r"^shrinking[^\n]*$"):
        course_of({"shrinking": damaged})
