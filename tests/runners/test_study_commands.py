"""`nas studies`, `nas enqueue`, `nas doctor` and `nas search --reuse` as a person uses them."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optunas import loaded, sql

NAS = [sys.executable, "-m", "nas"]
MINE = """
    import time
    from pathlib import Path

    import nas

    space = nas.Space({f"layer{index}": nas.one_of("skip", "conv3", "conv5") for index in range(4)})


    def costs(candidate):
        return {"macs": float(sum({"skip": 0, "conv3": 3, "conv5": 5}[value] for value in candidate.values()))}


    def evaluate(candidate, budget, report):
        (Path(budget.checkpoint) / "note").write_text("was here")
        while Path("wait").exists():
            Path("busy").touch()
            time.sleep(0.02)
        with open("evaluated", "a") as file:
            file.write(f"{sorted(candidate.items())}\\n")
        return {"score": list(candidate.values()).count("conv3") / 4}
"""
OWN = ["search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--costs", "mine:costs", "--study", "own",
       "--objective", "score:max", "--limit", "macs<=16", "--sampler", "random", "--epochs", "1"]  # fmt: skip
DIGITS = ["search", "--data", "digits", "--subset", "0.1", "--epochs", "1", "--limit", "params<=3e4",
          "--limit", "macs<=5e5", "--runner", "inline", "--gpus-per-trial", "0"]  # fmt: skip


@pytest.fixture
def own(nas):
    """A study of three trials."""
    code, _, err = nas(*OWN, "--trials", "3", "--runner", "inline")
    assert code == 0, err
    return nas


@pytest.fixture
def running(own, tmp_path):
    """The same study, driven by a process that is in the middle of its fourth trial."""
    (tmp_path / "wait").touch()
    command = [*NAS, *OWN, "--trials", "5", "--runner", "local", "--workers", "1"]
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until((tmp_path / "busy").exists)
    yield driver
    (tmp_path / "wait").unlink(missing_ok=True)
    if driver.poll() is None:
        driver.kill()
    driver.communicate()


def until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert true()


def evaluated(tmp_path):
    return (tmp_path / "evaluated").read_text().splitlines()


# -- nas studies -------------------------------------------------------------------------------------------------------


def test_the_studies_of_a_database_are_listed(own):
    own(*OWN[:-6], "--study", "other", "--trials", "1", "--runner", "inline")

    code, out, _ = own("studies")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if "score:max" in line or "nobody" in line] == ["│"] * 2
    assert "3 complete" in out
    assert "nobody" in out
    assert own("studies", "list")[1] == out
    body = json.loads(own("studies", "--json")[1])
    best = max(json.loads(own("trials", "own", "--json")[1]), key=lambda trial: trial["metrics"]["score"])
    assert [study["name"] for study in body] == ["own", "other"]
    assert body[0] == {
        "name": "own", "objectives": ["score:max"], "counts": {"complete": 3}, "best": best["metrics"]["score"],
        "driver": None,
    }  # fmt: skip
    assert json.loads(own("studies", "list", "--json")[1]) == body


def test_without_a_database_or_a_study_it_is_said_so(nas, tmp_path):
    code, out, err = nas("studies")

    assert (code, out) == (2, "")
    assert "there is no database" in err
    assert not (tmp_path / "nas.db").exists()


def test_options_of_a_subcommand_go_behind_its_name(own):
    code, _, err = own("studies", "--json", "delete", "own")

    assert code == 2
    assert "options of `nas studies delete` go behind its name" in err


def test_a_study_is_deleted_with_yes_and_its_checkpoints_stay(own, tmp_path):
    code, out, _ = own("studies", "delete", "own", "--yes")

    assert code == 0
    assert "study own deleted; its complete evaluations stay for --reuse" in out
    assert f"checkpoints left: {tmp_path}/checkpoints/own" in out
    assert (tmp_path / "checkpoints" / "own" / "0" / "note").exists()
    assert json.loads(own("studies", "--json")[1]) == []
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/nas.db") == []
    assert own("status", "own")[0] == 2
    assert "no study yet" in own("studies")[1]
    assert sql(f"sqlite:///{tmp_path}/nas.db", "SELECT count(*) FROM nas_evaluations") == [(3,)]


def test_its_checkpoints_are_deleted_too_when_asked_for(own, tmp_path):
    (tmp_path / "checkpoints" / "another").mkdir()

    code, out, _ = own("studies", "delete", "own", "--yes", "--checkpoints")

    assert code == 0
    assert f"checkpoints deleted: {tmp_path}/checkpoints/own" in out
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["another"]


def test_without_yes_and_without_a_terminal_nothing_is_deleted(own, tmp_path):
    done = subprocess.run(
        [*NAS, "studies", "delete", "own"], cwd=tmp_path, capture_output=True, text=True, check=False, input="y\n"
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "nas: study 'own' was not deleted; --yes deletes without asking" in done.stderr
    assert len(json.loads(own("trials", "own", "--json")[1])) == 3


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 0), ("n", 2, 1), ("", 2, 1)])
def test_on_a_terminal_it_is_asked_first(own, tmp_path, answer, code, left):
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [*NAS, "studies", "delete", "own"], cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.write(ours, f"{answer}\n".encode())
    out, _ = done.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)

    assert done.returncode == code
    assert b"delete study 'own' with its 3 trials? [y/N]" in out
    assert len(json.loads(own("studies", "--json")[1])) == left


@pytest.mark.parametrize(
    "command",
    [["studies", "delete", "z", "--yes"], ["studies", "stop", "z"], ["enqueue", "z", "cvt-13"], ["doctor", "z"]],
)
def test_an_unknown_study_is_exit_code_2_and_names_the_known_ones(own, command):
    code, out, err = own(*command)

    assert (code, out) == (2, "")
    assert "nas: unknown study 'z': known: own" in err


def test_stopping_a_study_that_nobody_drives_is_exit_code_2(own):
    code, out, err = own("studies", "stop", "own")

    assert (code, out) == (2, "")
    assert "nas: nobody drives study 'own'" in err


@pytest.mark.slow
def test_a_driven_study_is_neither_deleted_nor_repaired_and_is_stopped_without_loss(running, own, tmp_path):
    (study,) = json.loads(own("studies", "--json")[1])
    code, _, err = own("studies", "delete", "own", "--yes")
    assert code == 2
    assert f"study 'own' is being driven by process {running.pid} on " in err
    assert own("doctor", "own", "--repair")[0] == 2
    assert own("doctor", "own")[0] == 0

    code, out, _ = own("studies", "stop", "own")
    _, told = running.communicate(timeout=30)

    assert study["driver"].startswith(f"process {running.pid} on ")
    assert code == 0
    assert f"study own: process {running.pid} on " in out
    assert running.returncode == 128 + signal.SIGTERM
    assert "stopped; what is done is in sqlite:///nas.db, and the same command goes on from there" in told
    left = json.loads(own("trials", "own", "--json")[1])
    assert [trial["state"] for trial in left] == ["complete"] * 3 + ["running"]
    assert own("doctor", "own")[0] == 0
    (tmp_path / "wait").unlink()
    code, _, err = own(*OWN, "--trials", "5", "--runner", "inline")
    assert code == 0, err
    done = json.loads(own("trials", "own", "--json")[1])
    assert [trial["state"] for trial in done] == ["complete"] * 5
    assert done[3]["candidate"] == left[3]["candidate"]
    assert len(set(evaluated(tmp_path))) == 5


# -- nas enqueue -------------------------------------------------------------------------------------------------------

FREE = {"layer0": "conv5", "layer1": "conv5", "layer2": "conv5", "layer3": "skip"}


def test_a_candidate_of_ones_own_space_is_enqueued_from_a_file_and_run_next(own, tmp_path):
    (tmp_path / "free.json").write_text(json.dumps(FREE))

    code, out, err = own("enqueue", "own", "free.json", "--json")

    assert code == 0, err
    assert json.loads(out) == {"study": "own", "trial": 3, "exact": True, "params": FREE}
    assert loaded(f"sqlite:///{tmp_path}/nas.db", "own").trials[3].state == optuna.trial.TrialState.WAITING
    assert "1 enqueued trial(s) wait" in own("doctor", "own")[1]
    code, _, err = own(*OWN, "--trials", "3", "--runner", "inline")
    assert code == 0, err
    last = json.loads(own("trials", "own", "--json")[1])[-1]
    assert (last["number"], last["candidate"], last["origin"]) == (3, FREE, "enqueued")


@pytest.mark.slow
def test_a_search_that_runs_takes_an_enqueued_candidate_next(running, own, tmp_path):
    (tmp_path / "free.json").write_text(json.dumps(FREE))

    code, out, _ = own("enqueue", "own", "free.json")
    time.sleep(6)  # a heart-beat
    (tmp_path / "wait").unlink()
    _, told = running.communicate(timeout=60)

    assert code == 0
    assert "free.json is trial 4 of study own: the search that runs takes it within seconds, or the next" in out
    assert running.returncode == 0, told
    done = json.loads(own("trials", "own", "--json")[1])
    assert [trial["number"] for trial in done] == list(range(5))
    assert done[4]["candidate"] == FREE
    assert evaluated(tmp_path)[4] == str(sorted(FREE.items()))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({**FREE, "layer3": "conv5"}, "bad.json is over the limit macs<=16 of study 'own'"),
        ({**FREE, "layer3": "conv7"}, "not in the space: layer3"),
        ({"layer0": "conv5"}, "not in the space"),
        ("nonsense", "bad.json: no JSON"),
    ],
    ids=["over a limit", "no option", "a gene is missing", "no JSON"],
)
def test_what_cannot_be_evaluated_is_not_enqueued(own, tmp_path, body, told):
    (tmp_path / "bad.json").write_text(body if isinstance(body, str) else json.dumps(body))

    code, out, err = own("enqueue", "own", "bad.json")

    assert (code, out) == (2, "")
    assert told in err
    assert len(loaded(f"sqlite:///{tmp_path}/nas.db", "own").trials) == 3
    assert own("enqueue", "own", "none.json")[0] == 2


def test_a_study_made_from_python_says_what_to_do_instead(nas, tmp_path):
    from nas import Space, one_of, search

    search(
        Space({"layer": one_of("skip", "conv3")}), lambda candidate, budget, report: {"score": 1.0},
        objectives=["score:max"], trials=1, study="own", runner="inline", storage=f"sqlite:///{tmp_path}/nas.db",
    )  # fmt: skip

    code, out, err = nas("enqueue", "own", "cvt-13")

    assert (code, out) == (2, "")
    assert "study 'own' was made from Python, whose space is not known here; optuna's `study.enqueue_trial`" in err


def test_published_networks_are_scaled_into_the_space_and_the_limits_and_trained(nas, tmp_path):
    code, _, err = nas(*DIGITS, "--trials", "1", "--start", "none")
    assert code == 0, err

    code, out, err = nas("enqueue", "metaformer-digits", "poolformer-s12", "--json")
    told = json.loads(out)
    assert (code, told["trial"], told["exact"]) == (0, 1, False), err
    first = json.loads(nas("trials", "metaformer-digits", "--json")[1])[0]
    (tmp_path / "first.json").write_text(json.dumps(first["candidate"]))
    code, out, err = nas("enqueue", "metaformer-digits", "first.json")
    assert code == 0, err
    assert "first.json is trial 2 of study metaformer-digits: " in out
    code, _, err = nas("enqueue", "metaformer-digits", "poolformer-s13")
    assert code == 2
    assert "unknown architecture 'poolformer-s13'" in err

    code, _, err = nas(*DIGITS, "--trials", "1", "--start", "none")
    assert code == 0, err
    done = json.loads(nas("trials", "metaformer-digits", "--json")[1])
    assert [trial["number"] for trial in done] == [0, 1]
    assert done[1]["metrics"]["params"] <= 3e4
    assert "accuracy" in done[1]["metrics"]
    refused = loaded(f"sqlite:///{tmp_path}/nas.db", "metaformer-digits").trials[2]
    assert refused.user_attrs["reason"] == "a repeat: the study has this network already"


# -- nas doctor --------------------------------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_in_a_study_that_ended_well(own):
    code, out, _ = own("doctor", "own")

    assert (code, out.strip()) == (0, "study own: 3 trials, every promise holds")
    told = json.loads(own("doctor", "own", "--json")[1])
    assert told == {
        "study": "own", "trials": 3, "findings": [], "notes": [], "driven": False, "clean": True, "repaired": [],
    }  # fmt: skip


def test_the_doctor_looks_at_every_study_unless_one_is_named(own):
    own(*OWN, "--trials", "1", "--runner", "inline", "--study", "other")

    code, out, _ = own("doctor", "--json")

    assert code == 0
    assert [(report["study"], report["clean"]) for report in json.loads(out)] == [("own", True), ("other", True)]


def test_a_broken_promise_is_exit_code_1_until_it_is_repaired(own, tmp_path):
    (tmp_path / "checkpoints" / "own" / "1" / ".state.pt.12").write_text("half of i")

    code, out, _ = own("doctor", "own")

    assert code == 1
    assert "study own: 3 trials, 1 broken promise(s)" in out
    assert "  trial 1: " in out
    assert "(no half-written file stays); --repair mends it" in out
    told = json.loads(own("doctor", "--json")[1])[0]
    assert (told["clean"], told["findings"][0]["trial"], told["findings"][0]["repairable"]) == (False, 1, True)
    code, out, _ = own("doctor", "own", "--repair")
    assert code == 0
    assert "repaired: " in out
    assert own("doctor")[0] == 0


def test_what_cannot_be_repaired_stays_exit_code_1(own, tmp_path):
    sql(f"sqlite:///{tmp_path}/nas.db", "UPDATE nas_evaluations SET state = 'fail' WHERE number = 1")

    code, out, _ = own("doctor", "own", "--repair", "--json")

    assert code == 1
    assert json.loads(out)["repaired"] == []
    assert {finding["trial"] for finding in json.loads(out)["findings"]} == {1}


def test_the_doctor_needs_a_database(nas, tmp_path):
    assert nas("doctor")[0] == 2
    assert not (tmp_path / "nas.db").exists()
    (tmp_path / "nas.db").write_text("my thesis")
    code, _, err = nas("doctor")
    assert code == 2
    assert "not a database" in err


# -- nas search --reuse ------------------------------------------------------------------------------------------------


def test_a_search_starts_from_what_another_study_found_out_and_says_so(own, tmp_path):
    code, out, err = own(
        *OWN, "--study", "second", "--trials", "2", "--runner", "inline", "--seed", "5", "--reuse", "--json"
    )

    told = json.loads(out)
    assert code == 0
    assert (told["reused"], told["complete"], told["trials"]) == (3, 5, 5)
    assert "3 trials are reused from other studies, they are not trained again" in err
    assert len(evaluated(tmp_path)) == 5
    sources = [trial["source"] for trial in json.loads(own("trials", "second", "--json")[1])]
    assert sources == ["reused"] * 3 + ["trained"] * 2
    assert {trial["source"] for trial in json.loads(own("trials", "own", "--json")[1])} == {"trained"}
    assert own("doctor")[0] == 0


def test_an_evaluation_that_was_changed_since_is_not_reused(own, tmp_path):
    with Path("mine.py").open("a") as file:
        file.write("# another one\n")
    del sys.modules["mine"]

    _, out, _ = own(*OWN, "--study", "second", "--trials", "1", "--runner", "inline", "--reuse", "--json")

    assert json.loads(out)["reused"] == 0


def test_trials_that_optuna_ran_are_taken_in_by_a_search_and_marked(nas, tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    study = optuna.create_study(storage=url, study_name="own", direction="maximize")

    def objective(trial):
        return [trial.suggest_categorical(f"layer{i}", ["skip", "conv3", "conv5"]) for i in range(4)].count("conv3") / 4

    study.optimize(objective, n_trials=3)

    code, _, err = nas(*OWN, "--trials", "4", "--runner", "inline")

    assert code == 0, err
    assert "3 trials that Optuna ran are taken in" in err
    sources = [trial["source"] for trial in json.loads(nas("trials", "own", "--json")[1])]
    assert sources == ["adopted"] * 3 + ["trained"]
    assert len(evaluated(tmp_path)) == 1
