"""Our trial list says what stock's says, and reads a finished trial once."""

import contextlib
import copy
import json

import optuna
import pytest
import sqlalchemy
from answers import ask, ours, stock, study
from evaluations import macs, share_of_conv3
from optunas import accuracy, made_by_optuna, own_space, suggested

from dashboards.drawings import Drawings
from dashboards.trial_list import TrialList
from nas import Space, int_range, one_of, search
from nas.store.database import optuna_storage
from nas.store.listing import Known, Reader

MEASURED = {"accuracy": ">= 0.4"}


def evaluate(candidate, budget, report):
    """Fails with conv5 first; ends the search at the 14th trial, which stays as it is."""
    if candidate["layer0"] == "conv5":
        raise RuntimeError("no luck")
    if budget.seed == 13:
        raise KeyboardInterrupt
    return share_of_conv3({name: value for name, value in candidate.items() if name != "depth"}, budget, report)


@pytest.fixture
def space():
    layers = {f"layer{index}": one_of("skip", "conv3", "conv5") for index in range(3)}
    return Space({**layers, "depth": int_range(1, 3)})


def made(url, folder, space, objectives=("accuracy:max",), evaluate=evaluate, **options):
    with contextlib.suppress(KeyboardInterrupt):
        search(
            space, evaluate, objectives=list(objectives), storage=url, runner="inline", checkpoints=folder,
            **{"trials": 14, "sampler": "random", "study": "s", **options},
        )  # fmt: skip


def costs(candidate):
    return macs({name: value for name, value in candidate.items() if name.startswith("layer")})


def common(answer):
    """What both shall say: without what is left out or added on purpose, and with choices in one order."""
    answer = copy.deepcopy(answer)
    answer.pop("note")
    answer["plotly_graph_objects"] = [plot for plot in answer["plotly_graph_objects"] if plot["id"][:4] != "nas-"]
    for trial in (*answer["trials"], *answer.pop("best_trials")):
        trial.pop("note")
        for param in trial["params"]:
            param.pop("distribution", None)
            param.pop("param_external_pytyp", None)
    for name in ("union_search_space", "intersection_search_space"):
        for each in answer[name]:
            each["distribution"].get("choices", []).sort(key=lambda choice: (choice["pytype"], choice["value"]))
    answer["union_user_attrs"].sort(key=lambda attr: attr["key"])
    return answer


@pytest.mark.parametrize(
    ("objectives", "broken", "states"),
    [
        (["accuracy:max"], True, {"Complete", "Pruned", "Fail", "Running"}),
        (["accuracy:max", "macs:min"], True, {"Complete", "Fail", "Running"}),
        (["accuracy:max", "macs:min"], False, {"Complete", "Pruned"}),
    ],
)
def test_it_says_what_stock_says(database, tmp_path, space, objectives, broken, states):
    limits = {"constraints": MEASURED, "costs": costs, "epochs": (1, 4), "factor": 2}
    made(database, tmp_path, space, objectives, evaluate if broken else share, **limits)
    found = study(ours(database))

    assert {trial["state"] for trial in found["trials"]} == states
    assert common(found) == common(study(stock(database)))


def test_best_are_only_trials_within_the_limits(tmp_path, space):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, space, ("macs:min",), evaluate=share, costs=costs, constraints=MEASURED)

    app = ours(url)
    (best,) = study(app)["best_trials"]
    (stocks,) = study(stock(url))["best_trials"]

    within = [t for t in study(app)["trials"] if t["state"] == "Complete" and t["constraints"][0] <= 0]
    assert best["values"][0] == min(trial["values"][0] for trial in within)
    assert stocks["constraints"][0] > 0  # why stock's word is not taken


def share(candidate, budget, report):
    return share_of_conv3({name: value for name, value in candidate.items() if name != "depth"}, budget, report)


def test_the_front_is_stocks_where_no_limit_is_broken(tmp_path, space):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, space, ("accuracy:max", "macs:min", "depth:min"), evaluate=deep, costs=costs, trials=40)

    def numbers(app):
        return sorted(trial["number"] for trial in study(app)["best_trials"])

    assert numbers(ours(url)) == numbers(stock(url))
    assert len(numbers(ours(url))) > 1


def deep(candidate, budget, report):
    return {**share(candidate, budget, report), "depth": candidate["depth"]}


def test_after_leaves_out_that_many_trials_and_nothing_else(tmp_path, space):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, space)
    app = ours(url)
    whole = study(app)

    for after in (1, 13, 14, 20):
        assert study(app, after=after) == {**whole, "trials": whole["trials"][after:]}


def test_a_study_that_goes_on_is_followed(database, tmp_path, space):
    made(database, tmp_path, space, trials=4, evaluate=share)
    app = ours(database)
    before = study(app)

    made(database, tmp_path, space, trials=9, evaluate=share)

    assert len(before["trials"]) == 4
    assert common(study(app)) == common(study(stock(database)))
    assert len(study(app, after=4)["trials"]) == 5


def test_a_finished_trial_is_read_once(tmp_path, space):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, space)
    reader = Reader(url)
    read = []
    look = reader.look
    reader.look = lambda *args, **how: read.append(found := look(*args, **how)) or found
    lists = TrialList(reader, Drawings(reader), "")

    for _ in range(3):
        lists.answer(1, 0)

    assert [len(found.rows) for found in read] == [14, 1, 1]  # the one that runs


def test_a_study_made_anew_under_the_same_name_is_read_anew(tmp_path, space):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, space, evaluate=share, trials=6)
    app = ours(url)
    study(app)
    optuna.delete_study(study_name="s", storage=url)

    made(url, tmp_path, space, evaluate=share, trials=8, seed=1)

    assert common(study(app)) == common(study(stock(url)))


def test_trials_of_another_program_are_listed_and_become_ours(tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, own_space(), evaluate=lambda candidate, *_: {"accuracy": accuracy(candidate)}, trials=3)
    theirs = optuna.load_study(study_name="s", storage=url)
    theirs.optimize(lambda trial: accuracy(suggested(trial)), n_trials=2)
    app = ours(url)
    assert "another program" in study(app)["trials"][4]["note"]["body"]

    made(url, tmp_path, own_space(), evaluate=lambda candidate, *_: {"accuracy": accuracy(candidate)}, trials=7)

    assert "run by another program" in study(app)["trials"][4]["note"]["body"]
    assert common(study(app)) == common(study(stock(url)))


def test_a_trial_that_waits_shows_what_it_was_given_and_empties_nothing(tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, own_space(), evaluate=lambda candidate, *_: {"accuracy": accuracy(candidate)}, trials=3)
    optuna.load_study(study_name="s", storage=url).enqueue_trial({"layer0": "skip"})

    found = study(ours(url))

    assert found["trials"][3]["state"] == "Waiting"
    assert found["trials"][3]["fixed_params"] == [{"name": "layer0", "param_external_value": "skip"}]
    assert len(found["intersection_search_space"]) == 4


def test_notes_and_plots_that_somebody_saved_are_kept(tmp_path, space):
    import optuna_dashboard

    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, space, evaluate=share, trials=3)
    app = ours(url)
    study(app)
    theirs = optuna.load_study(study_name="s", storage=url)
    long = "mine " * 1000
    optuna_dashboard.save_note(theirs, long)
    storage = optuna_storage(url)
    storage.set_study_system_attr(1, "dashboard:1:note_ver", 2)
    storage.set_study_system_attr(1, "dashboard:1:note_str:0", "of the first")
    storage.set_study_system_attr(1, "dashboard:plot_data:own:0", '{"data": []}')

    found = study(app)

    assert found["note"]["body"].startswith(long)
    assert found["trials"][0]["note"]["body"].startswith("of the first\n\n---\n\n**Complete**")
    assert {"id": "own", "graph_object": '{"data": []}'} in found["plotly_graph_objects"]


def test_a_study_of_plain_optuna_is_stocks(tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, own_space(), evaluate=lambda candidate, *_: {"accuracy": accuracy(candidate)}, trials=1)
    made_by_optuna(url, ["accuracy:max"], name="plain").optimize(lambda trial: accuracy(suggested(trial)), n_trials=3)

    assert common(study(ours(url), 2)) == common(study(stock(url), 2))
    assert "distribution" in study(ours(url), 2)["trials"][0]["params"][0]


def test_numbers_that_are_none_are_words_in_the_answer(tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, own_space(), evaluate=lambda candidate, *_: {"accuracy": accuracy(candidate)}, trials=1)
    theirs = optuna.load_study(study_name="s", storage=url)
    for value in (float("inf"), float("-inf")):
        trial = theirs.ask()
        trial.report(float("nan"), 1)
        theirs.tell(trial, value)

    found = study(ours(url))

    assert [trial["values"] for trial in found["trials"][1:]] == [["inf"], ["-inf"]]
    assert found["trials"][1]["intermediate_values"] == [{"step": 1, "value": "nan"}]
    assert common(found) == common(study(stock(url)))


def test_a_reader_knows_no_study_of_plain_optuna_and_no_missing_one(tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, own_space(), evaluate=lambda candidate, *_: {"accuracy": accuracy(candidate)}, trials=1)
    made_by_optuna(url, ["accuracy:max"], name="plain")
    reader = Reader(url)

    assert reader.look(1, Known()) is not None
    assert reader.look(2, Known()) is None
    assert reader.look(3, Known()) is None
    assert reader.candidate(1, 7) is None


def test_a_great_many_open_trials_are_read_as_a_whole(tmp_path, space, monkeypatch):
    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, space)
    monkeypatch.setattr("nas.store.listing.MANY_OPEN", 0)
    app = ours(url)

    assert study(app) == study(app)
    assert len(study(app)["trials"]) == 14


@pytest.mark.parametrize("table", ["trials", "nas_studies"])
def test_a_table_that_is_gone_is_one_line_with_503(tmp_path, space, table):

    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, space, trials=1, evaluate=share)
    app = ours(url)
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {table}")

    status, headers, body = ask(app, "/api/studies/1", query="after=0")

    assert status == "503 Service Unavailable"
    assert headers["Content-Type"] == "application/json"
    assert body.count(b"\n") == 1
    assert f"no such table: {table}".encode() in body


def test_importances_are_stocks_and_asked_for_once_until_a_trial_completes(tmp_path, space, monkeypatch):
    import optuna_dashboard

    url = f"sqlite:///{tmp_path}/nas.db"
    made(url, tmp_path, space, evaluate=share, trials=6)
    theirs, asked = stock(url), []
    path = "/api/studies/1/param_importances"

    def counted(environ, start_response):
        asked.append(environ["PATH_INFO"])
        return theirs(environ, start_response)

    monkeypatch.setattr(optuna_dashboard, "wsgi", lambda storage: counted)
    app = ours(url)
    first = [ask(app, path)[2] for _ in range(3)]
    made(url, tmp_path, space, evaluate=share, trials=8)
    ask(app, path)

    assert asked == [path, path]
    assert len(set(first)) == 1
    assert {row["name"] for row in json.loads(first[0])["param_importances"][0]} == {
        "layer0",
        "layer1",
        "layer2",
        "depth",
    }
