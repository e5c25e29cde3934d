"""The soak in small, and that its checks find what they are there to find."""

import dataclasses
import json
import os
import subprocess
import sys
import time

import pytest
import sqlalchemy
from faults import monkey
from faults.monkey import Search, Settings, Witness

TOLD = [
    {"number": 0, "state": "complete", "attempt": 1, "reason": "", "metrics": {"accuracy": 0.5}, "digest": "a"},
    {"number": 1, "state": "complete", "attempt": 2, "reason": "", "metrics": {"accuracy": 0.7}, "digest": "b"},
]
ROWS = [(0, "complete", 0.5, "a"), (1, "complete", 0.7, "b")]
SEEN = {0: (0.5, 100.0), 1: (0.7, 101.0)}
LEDGER = [
    {"trial": 0, "event": "start", "value": 0.5, "time": 98.0},
    {"trial": 0, "event": "done", "value": 0.5, "time": 99.0},
    {"trial": 1, "event": "start", "value": 0.7, "time": 98.0},
    {"trial": 1, "event": "start", "value": 0.7, "time": 99.5},
    {"trial": 1, "event": "done", "value": 0.7, "time": 100.5},
]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [6, pytest.param(40, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_searches_that_are_killed_again_and_again_lose_nothing_and_do_nothing_twice(kills, tmp_path):
    """The time they take is not looked at: searches of 6 s, killed every 3 s, are mostly starts of Python."""
    settings = Settings(
        folder=tmp_path, url=f"sqlite:///{tmp_path}/nas.db", trials=16, seconds=0.5, between=(1.5, 4), most_ratio=None
    )

    unhurt, searches = monkey.soak(settings, kills, seed=0)

    print(monkey.summary(unhurt, searches))
    assert [fault for search in [unhurt, *searches] for fault in search.wrong] == []
    assert sum(search.kills for search in searches) == kills
    assert all(sum(getattr(search, who) for search in searches) for who in ("drivers_killed", "workers_killed"))


def wrong(rows=ROWS, told=TOLD, seen=SEEN, ledger=LEDGER, trials=2):
    search = Search("s")
    monkey.check_trials(search, rows, told, trials)
    monkey.check_results(search, rows, seen, ledger)
    return search


def test_nothing_is_wrong_with_a_search_whose_records_agree():
    assert wrong().wrong == []


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"trials": 3}, "faults", "3 trials were asked for and the database has 2: [0, 1]"),
        ({"rows": [ROWS[0], (1, "running", None, "b")]}, "faults", "trial 1 is running after the end"),
        ({"rows": ROWS[:1]}, "lost", "trial 1: 0.7 was seen and it is None at the end"),
        ({"rows": [ROWS[0], (1, "complete", 0.6, "b")]}, "lost", "trial 1: 0.7 was seen and it is 0.6 at the end"),
        ({"rows": [ROWS[0], (1, "complete", 0.6, "b")]}, "faults", "only nas trials says (1, 'complete', 0.7, 'b')"),
        ({"rows": [ROWS[0], (1, "complete", 0.7, "a")]}, "doubles", "trials [0, 1] are one network"),
        ({"ledger": LEDGER[:4]}, "faults", "trial 1: 0.7 was never computed, the ledger has None"),
        (
            {"ledger": [*LEDGER, {**LEDGER[0], "time": 102.0}]},
            "doubles",
            "trial 0 was evaluated again after its result was in the database",
        ),
        (
            {"told": [TOLD[0], {**TOLD[1], "state": "fail", "attempt": 1, "reason": "OSError"}]},
            "faults",
            "trial 1 failed at attempt 1: OSError",
        ),
    ],
)
def test_the_checks_find(changed, kind, said):
    assert said in getattr(wrong(**changed), kind)


def test_a_result_that_is_seen_and_then_changed_is_remembered(tmp_path):
    import optuna

    url = f"sqlite:///{tmp_path}/nas.db"
    witness = Witness(url, "s")
    before = witness.look()
    study = optuna.create_study(study_name="s", storage=url)
    for value in (0.5, 0.7):
        study.add_trial(optuna.create_trial(value=value))
    first = witness.look()
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE trial_values SET value = 0.1 WHERE value = 0.7")
    engine.dispose()
    witness.look()

    assert (before, first) == ({}, {0: 0.5, 1: 0.7})
    assert witness.changed == ["trial 1: 0.7 was seen and it is 0.1 now"]


def test_a_process_that_a_search_leaves_behind_is_named_and_ended():
    mark = f"test:{os.getpid()}:{time.monotonic()}"
    left = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], env={**os.environ, monkey.MARK: mark}
    )
    deadline = time.monotonic() + 5
    while not monkey.processes(mark) and time.monotonic() < deadline:
        time.sleep(0.01)

    told = monkey.left_behind(mark, grace_s=0.1)

    assert told == [f"process {left.pid} was left behind: {sys.executable} -c import time; time.sleep(60) "]
    assert left.wait(5) == -9
    assert monkey.processes(mark) == []


def test_an_evaluation_goes_on_from_the_step_that_its_checkpoint_holds(tmp_path, monkeypatch):
    from faults import soaked

    from nas.jobs import Budget

    monkeypatch.setenv(soaked.SECONDS, "0")
    monkeypatch.setenv(soaked.LEDGER, str(tmp_path / "ledger"))
    folder = tmp_path / "study" / "7"
    folder.mkdir(parents=True)
    (folder / "steps").write_text("3")
    candidate = soaked.space.decode((1,) * len(soaked.space.genes))
    reports = []

    result = soaked.evaluate(candidate, Budget(0, 4, 0, "cpu", str(folder)), lambda step, _: reports.append(step))

    lines = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    assert reports == [4]
    assert result == {"accuracy": soaked.value_of(candidate)}
    assert [(line["study"], line["trial"], line["event"], line["step"]) for line in lines] == [
        ("study", 7, "start", 3),
        ("study", 7, "done", 4),
    ]


def test_a_search_without_the_command_doctor_is_wrong_only_where_it_is_needed(tmp_path):
    settings = Settings(folder=tmp_path, url=f"sqlite:///{tmp_path}/nas.db")
    word, faults = monkey.ask_doctor(settings, "s")
    needed = monkey.ask_doctor(dataclasses.replace(settings, need_doctor=True), "s")

    if word == "not available":
        assert (faults, needed) == ([], ("not available", ["nas doctor does not exist"]))
    else:  # it exists, and there is no such study
        assert word == "found faults"
        assert len(faults) == 1
