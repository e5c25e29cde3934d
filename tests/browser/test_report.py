"""The report of a real search in a real browser: on a desk, on a phone, on paper."""

import shutil
from pathlib import Path

import pytest
from conftest import require

from nas.companions import BASELINE

PICTURES = Path(__file__).resolve().parent.parent.parent / "build" / "screenshots"
WIDTHS = {"desk": 1280, "phone": 390}


def shrunk(space):
    """The course of a shrinking whose scores are planted: the number of each option, so that the first ones die."""
    from nas.supernet.shrinking import Course, Judged, Rule, shrink

    def judge(left, genomes, classes):
        return [Judged(each, sum(each) / 100, 1e5) for each in genomes]

    phases = shrink(space, range(10), train=lambda *told: None, judge=judge, rule=Rule(z=0.0))
    return Course(tuple(phases), 10).as_json()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, digits):
    """A report of a few small networks that were really trained, and of random search beside them."""
    import search_spaces
    from dashboards.findings import findings
    from dashboards.report import render
    from nas import search
    from nas.recipe import Recipe
    from nas.store.accounts import read_account
    from nas.training import TrainAndValidate
    from runners.job_setup import NetworkCosts

    folder = tmp_path_factory.mktemp("report")
    url = f"sqlite:///{folder}/nas.db"
    recipe = Recipe(epochs=2, subset=0.1)
    space = search_spaces.get("metaformer", 8)
    told = {"evaluate": "train and validate", "space": "metaformer", "data": "digits (8 px)", "shrinking": shrunk(space),
            "source": {"data": "digits", "resolution": None, "digest": digits.digest}}  # fmt: skip
    for name, sampler in (("digits", "evolution"), (f"digits{BASELINE}", "random")):
        search(
            space, TrainAndValidate(digits, recipe), objectives=["accuracy:max"],
            costs=NetworkCosts(10, 1), constraints=["params<=15000", "macs<=300000"], trials=4, sampler=sampler,
            storage=url, study=name, runner="inline", epochs=(1, 2), checkpoints=folder, settings=told,
        )  # fmt: skip
    path = folder / "report.html"
    path.write_text(render(findings(read_account(url, "digits")), "html"))
    return path


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    require(chromium, "Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(params=WIDTHS)
def opened(request, browser, page_file):
    """The page at a width, what the console said, and what was asked of the network."""
    page = browser.new_page(viewport={"width": WIDTHS[request.param], "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda sent: asked.append(sent.url))
    page.goto(page_file.as_uri(), wait_until="load")
    yield request.param, page, said, asked
    page.close()


def test_nothing_runs_over_the_edge_nothing_is_asked_for_and_the_console_is_silent(opened, page_file):
    name, page, said, asked = opened
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"report-{name}.png", full_page=True)

    for summary in page.query_selector_all("summary"):  # the tables too
        summary.click()

    assert page.evaluate("document.documentElement.scrollWidth") == WIDTHS[name]
    assert said == []
    assert asked == [page_file.as_uri()]
    page.screenshot(path=PICTURES / f"report-{name}-open.png", full_page=True)


def test_drawings_are_named_as_wide_as_their_place_and_their_letters_can_be_read(opened):
    _, page, *_ = opened

    drawings = page.query_selector_all("figure > [role=img]")

    assert len(drawings) >= 6
    for drawing in drawings:
        assert len(drawing.get_attribute("aria-label")) > 20
        assert drawing.query_selector("svg").bounding_box()["height"] > 60
    heights = page.evaluate(
        "[...document.querySelectorAll('figure svg text')].map(e => e.getBoundingClientRect().height)"
    )
    assert min(heights) >= 7


def test_the_course_of_a_space_that_shrank_is_drawn_beside_its_tables(opened):
    _, page, *_ = opened

    section = page.query_selector("#shrinking")

    drawing = section.query_selector("figure > [role=img] svg")
    assert drawing.bounding_box()["width"] > 200
    assert "died" in section.inner_text()


def test_sections_are_reached_by_keyboard_and_headings_are_in_order(opened):
    _, page, *_ = opened

    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert set(levels[1:]) == {2}
    page.keyboard.press("Tab")
    target = page.evaluate("document.activeElement.getAttribute('href')")
    assert page.query_selector(target) is not None
    assert page.evaluate(
        "[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.getAttribute('href')))"
    )


def test_letters_are_told_from_the_ground_by_day_and_by_night(browser, page_file):
    def luminance(colour):
        parts = [int(each) / 255 for each in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(page_file.as_uri())
        ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for what in ("p", "figcaption", "summary", "caption", ".card dt", "footer p"):
            ink = luminance(page.evaluate(f"getComputedStyle(document.querySelector('{what}')).color"))
            assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, (scheme, what)
        page.close()


def test_on_paper_it_has_a_few_pages_and_closed_tables_are_left_out(browser, page_file):
    page = browser.new_page()
    page.goto(page_file.as_uri())
    PICTURES.mkdir(parents=True, exist_ok=True)
    paper = page.pdf(path=PICTURES / "report.pdf", format="A4")

    page.emulate_media(media="print")

    assert 2 <= paper.count(b"/Type /Page\n") <= 12
    assert not page.is_visible("details")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
