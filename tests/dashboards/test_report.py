"""A report as text: every special case in plain words, nothing of a user's taken for markup, JSON as documented."""

import html.parser
import json
import re
from pathlib import Path

import pytest
from accounts import TRAINED, account, gene, record, trial

from dashboards.drawing import MANY, svg
from dashboards.figures import front_picture
from dashboards.findings import findings
from dashboards.fronts import Front, Point
from dashboards.provenance import commands
from dashboards.report import is_report, render
from dashboards.winner import outputs_of
from nas import zoo
from nas.companions import BASELINE, CONFIRM, PUBLISHED
from nas.costs import cost
from nas.trial import State

ROOT = Path(__file__).resolve().parent.parent.parent
EVIL = '<script>alert("$1$")</script><b>`|'
VOID = {"meta", "br"}


class Tags(html.parser.HTMLParser):
    """The tags of a page, its text, and whether what is opened is closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = set(), [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def told(*trials, **options):
    """All the words of a report."""
    return re.sub(r"\\(.)", r"\1", render(findings(account(trials, **options)), "md"))


def some(count=6, **options):
    """Trials with two genes, curves and a cost."""
    trials = [
        trial(
            number, accuracy=0.5 + number / 100, macs=10.0 + number, stop=3, origin="tpe",
            curve={epoch: {"accuracy": number * epoch / 100} for epoch in (1, 2, 3)},
        )
        for number in range(count)
    ]  # fmt: skip
    choices = [gene("mixer", "pool", "conv"), gene("width", 16, 32, ordered=True)]
    taken = {number: {"mixer": ["pool", "conv"][number % 2], "width": [16, 32][number // 2 % 2]} for number in range(count)}  # fmt: skip
    return account(trials, choices, taken, epochs=[3, 3], **options)


@pytest.mark.parametrize(
    ("trials", "options", "words"),
    [
        ([], {}, "No trial yet: there is nothing to report."),
        ([trial(0, State.FAIL, reason="boom")], {}, "All trials failed; the reasons are below."),
        ([trial(0, State.FAIL, reason="boom")], {}, "1 of 1 trials failed, for one reason."),
        ([trial(0, accuracy=0.5)], {}, "One trial is complete: hardly anything can be said yet."),
        ([trial(0, accuracy=0.5)], {}, "The search had no limits on cost"),
        ([trial(0, State.RUNNING)], {}, "The search has not ended: 1 trials are unfinished"),
        ([trial(0, accuracy=0.5, macs=9.0)], {"limits": ["macs<=5"]}, "There is no best: no trial keeps macs<=5"),
        ([trial(0, accuracy=0.5, macs=9.0)], {"objectives": ["accuracy:max", "macs:min"]}, "the answer is a front"),
        ([trial(0, score=0.5, joules=2.0)], {"objectives": ["score:max", "joules:min"]}, "Score against joules"),
    ],
)
def test_what_is_unusual_is_said_in_plain_words(trials, options, words):
    assert words in told(*trials, **options)


def test_a_study_that_somebody_drives_is_said_to_change():
    driven = {"pid": 12, "host": "node-3"}

    found = findings(account([trial(0, State.RUNNING)], driver=driven))

    assert "driven by process 12 on node-3: all of this may change" in render(found, "md")


@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_the_same_study_gives_the_same_bytes_and_is_known_as_a_report(form):
    first, second = (render(findings(some()), form) for _ in range(2))

    assert first == second
    assert is_report(first[:1000])
    assert not is_report("# mixer-nas report")


def test_names_that_are_markup_stay_text():
    trials = [
        trial(0, accuracy=0.5, macs=1.0, candidate={EVIL: EVIL}, host=EVIL, curve={1: {"accuracy": 0.1}, 2: {"accuracy": 0.3}}),
        trial(1, State.FAIL, reason=EVIL),
        trial(2, accuracy=0.6, macs=2.0, origin=EVIL),
    ]  # fmt: skip
    choices = [gene(EVIL, EVIL, "other")]
    taken = {0: {EVIL: EVIL}, 2: {EVIL: "other"}}
    found = findings(account(trials, choices, taken, name=EVIL, data=EVIL, space=EVIL, **{EVIL: EVIL}))

    page = render(found, "html")

    seen = Tags(page)
    assert not {"script", "b"} & seen.tags
    assert seen.open == []
    assert EVIL in "".join(seen.text)
    assert not re.search(r"(?<!\\)<script", render(found, "md").split("-->", 1)[1])
    assert json.loads(render(found, "json"))["study"] == EVIL


def test_a_page_asks_nothing_of_the_network_and_runs_nothing():
    page = render(findings(some()), "html")

    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert not re.search(r"url\((?!#|data:)", page)
    assert not re.search(r"\son\w+=", page)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'(?:href="#|url\(#)([^")]+)', page):
        assert reference in ids


def test_every_drawing_has_a_name_and_words():
    page = render(findings(some()), "html")

    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert {re.search(r'id="figure-([\w-]+)"', each)[1] for each in figures} == {
        "front", "progress-trainings", "progress-hours", "curves", "effects", "short",
    }  # fmt: skip
    for each in figures:
        assert re.search(r'role="img" aria-label="[^"]{20,}"', each)
        assert len(re.search(r"<figcaption>(.*?)</figcaption>", each, re.DOTALL)[1]) > 60
        assert "<text" in each  # letters stay letters


def test_json_holds_the_findings_with_the_documented_keys():
    found = json.loads(render(findings(some(limits=["macs<=20"])), "json"))

    documented = re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "report.md").read_text(), re.MULTILINE)
    assert [*found] == documented
    assert found["headline"]["winner"]["trial"] == 5
    assert found["courses"][0]["steps"][0] == {"trainings": 1, "hours": 0.01, "value": 0.5, "trial": 0}
    assert found["importance"]["verdict"].startswith("not ranked")


def test_markdown_has_every_section_and_its_tables_are_whole():
    text = render(findings(some()), "md")

    for row in re.findall(r"((?:^\|.*\n)+)", text, re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in row.splitlines()}
        assert len(counts) == 1
    assert "## The best" in text
    assert "## To have it again" in text


def test_a_great_many_points_become_an_image_and_few_stay_shapes():
    def drawn(count):
        points = tuple(Point(n, n % 97 + 1.0, n % 89 / 89, within=True, front=n == 0) for n in range(count))
        return front_picture(
            Front("macs", "accuracy", ("accuracy:max", "macs:min"), None, points, (), (), ()), "more"
        ).svg()

    assert "<image" not in drawn(50)
    many = drawn(5 * MANY)
    assert "<image" in many
    assert len(many) < 200_000


def test_two_drawings_in_a_page_share_no_id():
    first, second = (svg(key, lambda axes: axes.plot([0, 1], [1, 0], "o-")) for key in ("one", "two"))

    names = [set(re.findall(r'id="([^"]+)"', each)) for each in (first, second)]
    assert names[0]
    assert not names[0] & names[1]


def test_the_command_to_repeat_a_study_names_all_that_it_tells():
    settings = {
        **TRAINED, "limits": ["params<=9"], "epochs": [1, 9], "rungs": {"factor": 4, "brackets": 1, "rung_scale": 0.5},
        "recipe": {"lr": 0.01, "subset": 0.5, "batch_size": 0, "augment": "auto"},
    }  # fmt: skip
    trials = [trial(0, accuracy=0.5, origin="spread"), trial(1, accuracy=0.5)]
    again = record([trial(n, genome=(0, n), accuracy=0.5) for n in range(3)])
    beside = {PUBLISHED: record([]), BASELINE: record([]), CONFIRM: again}

    search, confirm = commands(account(trials, companions=beside, name="a b", **settings))

    assert search == (
        "nas search --study 'a b' --space metaformer --data digits --objective accuracy:max --limit 'params<=9' "
        "--epochs 1:9 --factor 4 --rung-resolution 4 --trials 2 --sampler auto --seed 7 --subset 0.5 --lr 0.01 "
        "--published --baseline"
    )
    assert confirm == "nas confirm 'a b' --top 1 --seeds 3"


def test_the_command_can_be_read_by_the_parser_it_is_for():
    import shlex

    from typer.main import get_command

    from runners.cli import app

    (told,) = commands(account([trial(0, accuracy=0.5, origin="tpe")], **TRAINED))
    words = shlex.split(told)
    given = get_command(app).commands["search"].make_context("search", words[2:], resilient_parsing=False).params

    assert (given["sampler"], given["trials"], given["seed"], given["epochs"]) == ("tpe", 1, 7, "1")


def test_a_study_from_python_has_no_command():
    assert commands(account([trial(0, accuracy=0.5)])) == ()
    assert "The study was made from Python" in told(trial(0, accuracy=0.5))


@pytest.mark.parametrize(("channels", "classes"), [(1, 10), (3, 100)])
def test_channels_and_classes_are_told_from_the_costs(channels, classes):
    network = zoo.get("cvt-13").at(224)
    known = cost(network, num_classes=classes, in_channels=channels).as_dict()

    assert outputs_of(network, known) == (channels, classes)
    assert outputs_of(network, {**known, "macs": known["macs"] + 1}) is None
    assert outputs_of(network, {}) is None
