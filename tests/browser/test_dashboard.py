"""`nas dashboard` in a real browser, over studies of every kind; screenshots are kept in build/screenshots."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from browser.studies import MARKUP, make
from conftest import free_port, require

pytestmark = pytest.mark.slow
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
POINTS = ".js-plotly-plot .points path"


@dataclasses.dataclass
class Site:
    """The served studies, their ids by name, a page to look with, and what it complained about."""

    base: str
    ids: dict
    page: object
    complaints: list

    def open(self, path, *, shows, shot):
        """Go there, wait until the page shows a selector, keep a picture; nothing may have gone wrong."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector(shows, timeout=30_000)
        self.page.wait_for_load_state("networkidle")
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{shot}.png", full_page=True)
        assert self.complaints == []
        return self.page.inner_text("body")

    def study(self, name, path="", **how):
        return self.open(f"/dashboard/studies/{self.ids[name]}{path}", **how)

    def data(self, name):
        with urllib.request.urlopen(f"{self.base}/api/studies/{self.ids[name]}?after=0", timeout=30) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    chromium = shutil.which("chromium")
    require(chromium, "Chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    folder = tmp_path_factory.mktemp("browser")
    url = f"sqlite:///{folder}/nas.db"
    ids = make(url, folder)
    port = free_port()
    command = [sys.executable, "-m", "nas", "dashboard", "--storage", url, "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    base = f"http://127.0.0.1:{port}"
    assert base in server.stderr.readline()
    complaints = []
    try:
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: (complaints.append(f"a script ran: {dialog.message}"), dialog.dismiss()))
            page.on("request", lambda asked: _far(asked.url, base) and complaints.append(f"asked for {asked.url}"))
            page.on("response", lambda got: got.status >= 400 and complaints.append(f"{got.status} {got.url}"))
            yield Site(base, ids, page, complaints)
            browser.close()
    finally:
        server.terminate()
        server.wait(timeout=20)


def _far(address, base):
    return not address.startswith((base, "data:", "blob:"))


def test_the_list_of_studies_shows_names_as_text(site):
    shown = site.open("/dashboard", shows="text=front", shot="studies")

    assert MARKUP in shown
    assert site.page.locator("main img[src=x], #dashboard img[src=x]").count() == 0
    assert {name for name in site.ids if name in shown} == set(site.ids)


def test_a_study_shows_its_front_its_history_its_importances_and_our_plot(site):
    shown = site.study("front", shows="text=higher is better", shot="front")

    assert "Pareto Front" in shown
    assert "Hyperparameter Importance" in shown
    assert {"Complete", "Infeasible", "Pruned", "Fail"} <= set(shown.split())  # of the timeline
    site.page.wait_for_selector(".js-plotly-plot .bars path", state="attached")
    ours = site.page.locator("[id='user-defined-plot:nas-accuracy-macs']")
    words = ours.inner_text()
    for word in ("accuracy (higher is better)", "macs (lower is better)", "front", "over a limit", "starting point"):
        assert word in words
    complete = [trial for trial in site.data("front")["trials"] if trial["state"] == "Complete"]
    best = {trial["number"] for trial in site.data("front")["best_trials"]}
    twice = [trial for trial in complete if trial["number"] in best and _attrs(trial)["origin"] == "start"]
    assert ours.locator(".points path").count() == len(complete) + len(twice)  # a star upon its diamond


def _attrs(trial):
    return {attr["key"]: attr["value"] for attr in trial["user_attrs"]}


def test_what_is_over_a_limit_is_shown_as_infeasible_and_is_never_best(site):
    data = site.data("front")
    over = [trial["number"] for trial in data["trials"] if any(excess > 0 for excess in trial["constraints"])]
    best = [trial["number"] for trial in data["best_trials"]]

    shown = site.study("front", f"/trials?numbers={over[0]}", shows="text=Over its limit", shot="infeasible")

    assert "accuracy>=0.91 by 0.0" in shown
    assert not set(over) & set(best)
    assert best


def test_a_trial_has_a_note_and_a_picture_of_its_network(site):
    shown = site.study("front", "/trials?numbers=0", shows="text=Complete after 4 epochs", shot="trial")

    picture = site.page.locator("img[alt='network of trial 0']")
    site.page.wait_for_function("() => document.querySelector('img[alt^=network]').naturalWidth > 100")
    assert picture.is_visible()
    assert "seed 0" in shown
    assert "from start" in shown
    assert "linear to 10" in shown  # of the drawing: what the digits have
    assert "accuracy by epoch: 1: " in shown


def test_a_stopped_trial_says_so(site):
    number = next(trial["number"] for trial in site.data("front")["trials"] if trial["state"] == "Pruned")

    shown = site.study("front", f"/trials?numbers={number}", shows="text=others of its rung were better", shot="pruned")

    assert re.search(r"Stopped at epoch [12] of 4", shown)


def test_the_reason_of_a_failure_is_text_and_no_link_or_picture(site):
    shown = site.study("front", "/trials?numbers=5", shows="text=Failed at epoch", shot="failed-trial")

    assert "<script>alert(2)</script> [link](javascript:alert(3)) ![far](http://evil.example/x.png)" in shown
    assert site.page.locator("a[href^=javascript], img[src*=evil], a[href*=evil]").count() == 0


def test_the_note_of_a_study_says_what_was_searched_and_how_to_go_on(site):
    shown = site.study("front", "/note", shows="text=To go on", shot="note")

    for word in ("accuracy:max", "macs:min", "accuracy>=0.91", "1 to 4 epochs on rungs, one in 2 goes on", "by nobody"):
        assert word in shown
    assert "study='front'" in shown


def test_markup_in_names_of_parameters_objectives_and_options_is_text(site):
    for name in (MARKUP, "running"):
        site.study(name, shows=POINTS, shot=f"markup-top-{site.ids[name]}")
        site.study(name, "/trials?numbers=0", shows="text=trial_id", shot=f"markup-trial-{site.ids[name]}")
        site.page.wait_for_timeout(300)

        assert site.page.locator("img[src=x]").count() == 0
        assert site.complaints == []


def test_the_analytics_page_draws_without_a_violation_of_the_policy(site):
    shown = site.study("front", "/analytics", shows=POINTS, shot="analytics")

    assert all(plot in shown for plot in ("Slice", "Contour", "Rank", "EDF for accuracy", "EDF for macs"))


def test_a_running_study_shows_what_runs(site):
    shown = site.study("running", "/trials?numbers=2", shows="text=Running", shot="running")

    assert "3 Trials" in shown
    assert "Running at epoch" in shown


@pytest.mark.parametrize(
    ("name", "path", "shows"),
    [
        ("empty", "", ".js-plotly-plot"),
        ("empty", "/trials", "text=0 Trials"),
        ("failed", "", "text=Hyperparameter Importance"),
        ("failed", "/trials?numbers=0", "text=nothing works"),
        ("single", "", POINTS),
        ("single", "/trials?numbers=0", "text=Complete after 1 epoch"),
    ],
)
def test_small_and_failed_studies_have_pages_too(site, name, path, shows):
    site.study(name, path, shows=shows, shot=f"{name}{re.sub(r'[^a-z]', '-', path)}")


def test_a_picture_opened_by_itself_runs_nothing(site):
    answer = site.page.goto(f"{site.base}/nas/studies/{site.ids['front']}/trials/0.svg")

    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert site.page.evaluate("document.documentElement.tagName") == "svg"
    assert "front, trial 0" in site.page.content()
