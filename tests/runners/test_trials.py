"""`nas trials`: the trials asked for, in the order asked for, as a table, CSV or JSON; and one clear line for bad words."""

import csv
import io
import json
import shutil

import pytest
from optunas import sql

from nas import Space, int_range, one_of, search
from nas.store.reading import read_study

URL = "sqlite:///nas.db"
SPACE = Space(
    {"depth": int_range(1, 4), "mixer": one_of(pool={"size": one_of(3, 5)}, none="none"), "wide": one_of(0.5, 1.0)}
)


def evaluate(candidate, budget, report):
    if candidate["depth"] == 4:
        raise RuntimeError("=1+1 no [red]luck[/red] \x1b[31m here")
    accuracy = (
        (candidate["depth"] / 10 + candidate["wide"] / 100 + (candidate["mixer"] == "none") / 200) * budget.stop / 9
    )
    report(budget.stop, {"accuracy": accuracy})
    return {"accuracy": accuracy, "heat": float(candidate["wide"])}


def costs(candidate):
    return {"params": float(100 * candidate["depth"] + 10 * candidate["wide"] + (candidate["mixer"] == "none"))}


@pytest.fixture(scope="module")
def searched(tmp_path_factory, _own_cache):
    """A database with all 24 candidates, on rungs; those of depth 4 fail."""
    file = tmp_path_factory.mktemp("searched") / "nas.db"
    search(
        SPACE, evaluate, objectives=["accuracy:max"], costs=costs, trials=24, sampler="random", epochs=(1, 9),
        runner="inline", study="s", storage=f"sqlite:///{file}", checkpoints=file.parent,
    )  # fmt: skip
    return file


@pytest.fixture
def study(nas, searched):
    """The command, where that database is nas.db."""
    shutil.copy(searched, "nas.db")
    return nas


def told(study, *arguments):
    code, out, err = study("trials", "s", *arguments, "--json")
    assert code == 0, err
    return json.loads(out, parse_constant=pytest.fail)


def numbers(study, *arguments):
    return [trial["number"] for trial in told(study, *arguments)]


def those(keep):
    return [trial.number for trial in read_study(URL, "s").trials if keep(trial)]


CHOICES = [
    (["--state", "complete"], lambda trial: trial.state == "complete"),
    (["--state", "pruned,fail"], lambda trial: trial.state in ("pruned", "fail")),
    (["--where", "params<=2e2"], lambda trial: trial.metrics["params"] <= 200),
    (["--where", "params>=200", "--where", "params<=211"], lambda trial: 200 <= trial.metrics["params"] <= 211),
    (["--where", "accuracy>=0"], lambda trial: "accuracy" in trial.metrics),  # what has none does not keep it
    (["--where", "epochs>=3"], lambda trial: trial.epochs >= 3),
    (["--gene", "depth=3"], lambda trial: trial.genome[0] == 2),
    (["--gene", "wide=1"], lambda trial: trial.candidate["wide"] == 1.0),
    (["--gene", "mixer=Pool", "--gene", "mixer.pool.size=5"], lambda trial: trial.candidate["mixer"] == {"size": 5}),
    (["--gene", "mixer.pool.size=*"], lambda trial: trial.candidate["mixer"] != "none"),
    (["--origin", "random"], lambda trial: trial.origin == "random"),
    (["--state", "fail", "--gene", "mixer=none"], lambda t: t.state == "fail" and t.candidate["mixer"] == "none"),
]


def test_trials_are_chosen_by_state_metric_gene_and_origin(study):
    for arguments, keep in CHOICES:
        assert numbers(study, *arguments) == those(keep), arguments
        assert those(keep), arguments


def test_they_are_sorted_the_best_first_and_what_lacks_the_value_comes_last(study):
    trials = {trial.number: trial for trial in read_study(URL, "s").trials}
    by_accuracy = [trials[number].metrics.get("accuracy") for number in numbers(study, "--sort", "accuracy")]
    rising = [trials[number].metrics.get("accuracy") for number in numbers(study, "--sort", "accuracy:asc")]
    having = [value for value in by_accuracy if value is not None]

    assert len(set(having)) > 1
    assert by_accuracy == sorted(having, reverse=True) + [None] * (24 - len(having))
    assert rising == sorted(having) + [None] * (24 - len(having))
    assert numbers(study, "--sort", "number:desc") == list(range(23, -1, -1))
    assert numbers(study, "--sort", "params") == sorted(trials, key=lambda n: (trials[n].metrics["params"], n))
    assert (
        numbers(study, "--sort", "params:desc", "-n", "2")
        == sorted(trials, key=lambda n: (-trials[n].metrics["params"], n))[:2]
    )
    sizes = [trial["candidate"]["mixer"] for trial in told(study, "--sort", "mixer.pool.size:desc")]
    assert sizes == [{"size": 5}] * 8 + [{"size": 3}] * 8 + ["none"] * 8


def test_csv_has_every_metric_as_it_is_and_text_as_text(study, tmp_path):
    assert study("trials", "s", "--csv", "all.csv")[:2] == (0, "")
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    trials = read_study(URL, "s").trials

    assert [int(row["number"]) for row in rows] == [trial.number for trial in trials]
    assert [float(row["params"]) for row in rows] == [trial.metrics["params"] for trial in trials]
    assert {"accuracy", "heat", "state", "seconds", "network", "reason"} <= {*rows[0]}
    failed = next(row for row in rows if row["state"] == "fail")
    assert failed["accuracy"] == ""
    assert "no [red]luck[/red] \\x1b[31m here" in failed["reason"]
    assert "\x1b" not in (tmp_path / "all.csv").read_text()
    code, out, err = study("trials", "s", "--csv", "none/all.csv")
    assert (code, out, err) == (2, "", "nas: cannot write none/all.csv: No such file or directory\n")


def test_a_text_that_a_spreadsheet_would_compute_has_an_apostrophe_and_a_negative_number_has_none(study):
    sql(URL, "UPDATE nas_evaluations SET reason = :text WHERE state = 'fail'", text='=HYPERLINK("http://x","y")')
    sql(URL, "UPDATE nas_evaluations SET metrics = :text WHERE state = 'fail'", text='{"params": -5.5}')

    code, out, _ = study(
        "trials",
        "s",
        "--state",
        "fail",
        "-n",
        1,
        "--csv",
        "-",
        "--columns",
        "reason,params,depth,mixer.pool.size,state",
    )

    (row,) = csv.DictReader(io.StringIO(out))
    assert code == 0
    assert row["reason"] == '\'=HYPERLINK("http://x","y")'
    assert (row["params"], row["depth"], row["state"]) == ("-5.5", "4", "fail")
    assert out.splitlines()[0] == '"reason","params","depth","mixer.pool.size","state"'


def test_columns_are_those_asked_for_and_the_number(study):
    code, out, _ = study(
        "trials", "s", "--columns", "params,depth", "--columns", "mixer", "--gene", "depth=3", "-n", "1"
    )

    head, row = (line.replace("┃", "│").split("│")[1:-1] for line in (out.splitlines()[2], out.splitlines()[4]))
    assert code == 0
    assert [cell.strip() for cell in head] == ["trial", "params", "depth", "mixer"]
    assert [cell.strip() for cell in row][2:] == ["3", "pool"] or [cell.strip() for cell in row][2:] == ["3", "none"]


@pytest.mark.parametrize("width", [60, 80, 100, 160, 240])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_broken(study, monkeypatch, width):
    from runners import options

    monkeypatch.setattr(options.out, "width", width)
    _, usual, _ = study("trials", "s")
    _, named, _ = study(
        "trials", "s", "--columns", "params,accuracy,heat,state,origin,epochs,network,digest,host,seconds"
    )

    for text in (usual, named):
        assert max(len(line) for line in text.splitlines() if line[:1] in "┏┃┡│└") <= width
    for trial in read_study(URL, "s").trials:
        assert f" {trial.metrics['params']:.0f} " in usual
    assert ("left out" in usual) == (width < 100)
    assert (named.count("┏━") > 1) == (width < 200)


def test_what_nothing_keeps_is_said(study):
    code, out, _ = study("trials", "s", "--where", "params<=1")

    assert (code, out) == (0, "none of the 24 trials of s is so\n")
    assert told(study, "--where", "params<=1") == []
    assert len(study("trials", "s", "--where", "params<=1", "--csv", "-")[1].splitlines()) == 1


def test_markup_and_escapes_in_a_reason_are_shown(study):
    _, out, _ = study("trials", "s", "--state", "fail")

    assert "no [red]luck[/red] \\x1b[31m here" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--state", "done"], "unknown state 'done': known: running, paused, complete, pruned, fail"),
        (["--where", "acuracy>=1"], "unknown metric 'acuracy': did you mean accuracy?"),
        (["--where", "params<5"], "limit 'params<5': NAME<=NUMBER or NAME>=NUMBER is expected"),
        (["--where", "state<=5"], "unknown metric 'state'"),
        (["--gene", "deph=3"], "unknown gene 'deph': did you mean depth?"),
        (["--gene", "depth=9"], "unknown option of depth '9': known: 1, 2, 3, 4"),
        (["--gene", "depth"], "gene 'depth': PATH=VALUE is expected"),
        (["--origin", "rnd"], "unknown origin 'rnd': "),
        (["--sort", "second"], "unknown column 'second': did you mean seconds"),
        (["--sort", "seconds:up"], "sort 'seconds:up': NAME, NAME:asc or NAME:desc is expected"),
        (["--columns", "numbr"], "unknown column 'numbr': did you mean number"),
        (["--csv", "-", "--json"], "--csv and --json: one of them is enough"),
        (["-n", "0"], "Input should be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_words_that_name_nothing_are_one_line_and_exit_code_2(study, arguments, said):
    code, out, err = study("trials", "s", *arguments)

    assert (code, out) == (2, "")
    assert err.startswith("nas: ")
    assert said in err
    assert err.count("\n") == 1
