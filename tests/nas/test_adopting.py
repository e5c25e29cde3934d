"""Studies that plain Optuna made or wrote into: nothing is lost, nothing of Optuna's is changed, nothing done twice."""

import math

import optuna
import pytest
from optuna.trial import TrialState
from optunas import (
    KINDS,
    accuracy,
    add_complete,
    frozen,
    loaded,
    made_by_optuna,
    own_costs,
    own_space,
    run,
    run_by_optuna,
    sql,
    states,
    suggested,
)

from nas import Space, int_range, one_of
from nas.errors import InputError
from nas.store.doctor import examine
from nas.store.managing import summaries
from nas.store.reading import read_study, study_names
from nas.trial import Source, State

ONE, TWO = ["accuracy:max"], ["accuracy:max", "macs:min"]


class Counting:
    """An evaluation that keeps what it was given; `also` is done in the middle of it, once."""

    def __init__(self, also=None):
        self.seen, self._also = [], also

    def __call__(self, candidate, budget, report):
        self.seen.append(candidate)
        if self._also is not None:
            also, self._also = self._also, None
            also()
        return {"accuracy": accuracy(candidate)}


@pytest.mark.parametrize("goals", [ONE, TWO], ids=["one objective", "two objectives"])
@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler"])
def test_a_study_of_optunas_is_gone_on_with_and_its_own_rows_stay_as_they_were(database, tmp_path, goals, sampler):
    study = made_by_optuna(database, goals, getattr(optuna.samplers, sampler)(seed=3))
    run_by_optuna(study, 6, failed=[1], pruned=[2])
    suggested(study.ask())
    study.enqueue_trial({"layer0": "conv5", "layer1": "conv5", "layer2": "conv5", "depth": 3})
    about, before = frozen(database)
    evaluate = Counting()

    result = run(database, tmp_path, evaluate, objectives=goals, trials=12)

    assert frozen(database)[0] == about
    after = frozen(database)[1]
    assert after[:7] == before[:7]
    assert [trial["number"] for trial in after] == list(range(13))
    assert after[6]["state"] == TrialState.RUNNING
    assert [trial.number for trial in result.trials] == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    assert len(evaluate.seen) == 6
    for trial, theirs in zip(result.trials[:6], before[:6], strict=True):
        assert trial.candidate == theirs["params"]
        assert trial.digest == own_space().identity(trial.candidate)
        assert (trial.source, trial.origin) == (Source.ADOPTED, "optuna")
        assert trial.candidate not in evaluate.seen
        assert trial.metrics["macs"] == own_costs(trial.candidate)["macs"]
    assert [trial.state for trial in result.trials[:4]] == [State.COMPLETE, State.FAIL, State.PRUNED, State.COMPLETE]
    assert result.trials[0].metrics["accuracy"] == accuracy(result.trials[0].candidate)
    assert result.trials[1].reason == "it failed where Optuna ran it"
    assert {trial.source for trial in result.trials[6:]} == {Source.TRAINED}
    assert read_study(database, "s").trials == result.trials
    assert examine(database, "s").findings == ()


def test_what_is_adopted_is_adopted_once(database, tmp_path):
    run_by_optuna(made_by_optuna(database, ONE), 5)

    first, second = run(database, tmp_path, trials=6), run(database, tmp_path, trials=7)

    assert second.trials[:6] == first.trials
    assert [trial.source for trial in second.trials] == [Source.ADOPTED] * 5 + [Source.TRAINED] * 2
    assert sql(database, "SELECT count(*) FROM nas_trials") == [(7,)]


def test_a_study_that_has_all_its_trials_from_optuna_is_adopted_and_trains_nothing(database, tmp_path):
    run_by_optuna(made_by_optuna(database, ONE), 5)
    evaluate = Counting()

    result = run(database, tmp_path, evaluate, trials=5)

    assert evaluate.seen == []
    assert len(result.trials) == 5
    assert result.best.metrics["accuracy"] == max(trial.value for trial in loaded(database).trials)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_metric_names_are_set_where_there_were_none_and_left_where_they_agree(database, tmp_path):
    run_by_optuna(made_by_optuna(database, TWO), 2)
    named = made_by_optuna(database, TWO, name="named")
    named.set_metric_names(["accuracy", "macs"])

    run(database, tmp_path, objectives=TWO, trials=3)
    run(database, tmp_path, objectives=TWO, trials=3, study="named")

    assert loaded(database).metric_names == ["accuracy", "macs"]
    assert loaded(database, "named").metric_names == ["accuracy", "macs"]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    ("theirs", "names", "told"),
    [
        (["accuracy:min"], None, r"has the objectives \?:min; here they are accuracy:max"),
        (TWO, None, r"\?:max, \?:min"),
        (ONE, ["loss"], "loss:max"),
    ],
    ids=["another direction", "more objectives", "another name"],
)
def test_other_objectives_are_refused_and_nothing_is_written(database, tmp_path, theirs, names, told):
    study = made_by_optuna(database, theirs)
    run_by_optuna(study, 3)
    if names:
        study.set_metric_names(names)
    before = frozen(database)

    with pytest.raises(InputError, match=f"study 's', which Optuna made, .*{told}.*choose another --study"):
        run(database, tmp_path)

    assert frozen(database) == before
    assert loaded(database).metric_names == names
    assert sql(database, "SELECT count(*) FROM nas_studies") == [(0,)]


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (Space({"width": int_range(1, 3)}), "no gene is called 'layer0'|no gene is called 'depth'"),
        (Space({**{f"layer{i}": one_of("a", "b") for i in range(3)}, "depth": int_range(1, 3)}), "is no option; known"),
        (
            Space({**{f"layer{i}": one_of(*KINDS) for i in range(4)}, "depth": int_range(1, 3)}),
            "the gene 'layer3' has no value",
        ),
    ],
    ids=["other names", "other options", "one gene more"],
)
def test_a_study_none_of_whose_trials_fit_is_refused_with_the_reason_and_nothing_is_written(
    database, tmp_path, space, told
):
    run_by_optuna(made_by_optuna(database, ONE), 3)
    before = frozen(database)

    with pytest.raises(InputError, match=f"its trials do not fit this space .trial 0: .*({told})"):
        run(database, tmp_path, space=space, costs=None)

    assert frozen(database) == before
    assert loaded(database).metric_names is None
    for table in ("nas_studies", "nas_trials", "nas_evaluations", "nas_architectures"):
        assert sql(database, f"SELECT count(*) FROM {table}") == [(0,)]
    assert study_names(database) == []


def test_trials_that_do_not_fit_are_named_with_their_reason_and_keep_their_numbers(database, tmp_path):
    study = made_by_optuna(database, ONE)
    fits = {"layer0": "skip", "layer1": "skip", "layer2": "skip", "depth": 1}
    add_complete(study, {"kind": "conv3"}, [0.5])
    add_complete(study, fits, [0.25])
    add_complete(study, {name: value for name, value in fits.items() if name != "layer1"}, [0.75])
    seen = []

    result = run(database, tmp_path, trials=3, watch=seen.append)

    assert seen[0].misfits == {0: "no gene is called 'kind'", 2: "the gene 'layer1' has no value"}
    assert [trial.number for trial in result.trials] == [1, 3, 4]
    assert result.trials[0].metrics == {"accuracy": 0.25, "macs": 0.0}
    assert [trial.number for trial in loaded(database).trials] == [0, 1, 2, 3, 4]
    assert examine(database, "s").findings == ()


def test_suggestions_of_genes_that_the_others_leave_unused_are_tolerated(database, tmp_path):
    space = Space({"op": one_of(conv={"kernel": one_of(3, 5)}, skip={"scale": one_of(1, 2)})})
    paths = [gene.path for gene in space.genes]
    study = made_by_optuna(database, ONE)
    for op in ("conv", "skip"):
        study.enqueue_trial({paths[0]: op})
        trial = study.ask()
        for gene in space.genes:
            trial.suggest_categorical(gene.path, gene.options)
        study.tell(trial, 0.5)

    result = run(
        database, tmp_path, lambda candidate, budget, report: {"accuracy": 0.1}, space=space, costs=None, trials=2
    )

    assert [set(trial.params) for trial in loaded(database).trials] == [set(paths)] * 2
    assert [set(candidate.candidate["op"]) for candidate in result.trials] == [{"kernel"}, {"scale"}]
    assert {trial.source for trial in result.trials} == {Source.ADOPTED}


def test_a_study_that_only_has_enqueued_trials_so_far_is_taken_over(database, tmp_path):
    study = made_by_optuna(database, ONE)
    study.enqueue_trial({"layer0": "conv3"})

    result = run(database, tmp_path, trials=2)

    assert result.trials[0].candidate["layer0"] == "conv3"
    assert states(database) == [TrialState.COMPLETE] * 2


def test_a_study_that_optuna_made_and_left_empty_is_taken_over(database, tmp_path):
    made_by_optuna(database, ONE)

    assert len(run(database, tmp_path, trials=2).trials) == 2


def test_what_optuna_adds_to_a_study_of_ours_between_two_searches_is_taken_in(database, tmp_path):
    first = run(database, tmp_path, trials=3)
    run_by_optuna(loaded(database), 3, failed=[4])
    evaluate = Counting()

    result = run(database, tmp_path, evaluate, trials=8)

    assert result.trials[:3] == first.trials
    assert [trial.source for trial in result.trials] == [Source.TRAINED] * 3 + [Source.ADOPTED] * 3 + [
        Source.TRAINED
    ] * 2
    assert [trial.number for trial in result.trials] == list(range(8))
    assert len(evaluate.seen) == 2
    assert examine(database, "s").findings == ()


def test_what_optuna_adds_while_a_search_runs_takes_no_number_twice_and_is_taken_in_by_the_next(database, tmp_path):
    evaluate = Counting(also=lambda: run_by_optuna(loaded(database), 2))

    first = run(database, tmp_path, evaluate, trials=4)
    result = run(database, tmp_path, trials=7)

    assert [trial.number for trial in first.trials] == [0, 3, 4, 5]
    assert [trial.number for trial in loaded(database).trials] == list(range(7))
    assert [trial.number for trial in result.trials] == list(range(7))
    assert [trial.source for trial in result.trials[:4]] == [Source.TRAINED, *[Source.ADOPTED] * 2, Source.TRAINED]
    assert set(states(database)) == {TrialState.COMPLETE}
    assert [trial.budget.seed for trial in first.trials] == [0, 3, 4, 5]
    assert examine(database, "s").findings == ()


def test_a_trial_that_optuna_begins_while_a_search_runs_is_left_to_it_and_taken_in_once_it_has_ended(
    database, tmp_path
):
    asked = []

    def ask():
        asked.append(loaded(database).ask())
        suggested(asked[0])

    first = run(database, tmp_path, Counting(also=ask), trials=3)
    left = states(database)[1]
    loaded(database).tell(asked[0].number, 0.875)
    result = run(database, tmp_path, trials=4)

    assert left == TrialState.RUNNING
    assert [trial.number for trial in first.trials] == [0, 2, 3]
    assert result.trials[1].metrics["accuracy"] == 0.875
    assert result.trials[1].source is Source.ADOPTED


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"values": 0.875}, State.COMPLETE),
        ({"state": TrialState.FAIL}, State.FAIL),
        ({"state": TrialState.PRUNED}, State.PRUNED),
    ],
    ids=["complete", "fail", "pruned"],
)
def test_when_somebody_ends_a_running_trial_through_optuna_their_word_stands_and_the_search_goes_on(
    database, tmp_path, told, state
):
    evaluate = Counting(also=lambda: loaded(database).tell(0, **told))

    result = run(database, tmp_path, evaluate, trials=3)

    theirs = loaded(database).trials[0]
    assert (theirs.state.name.lower(), theirs.values) == (state.value, [0.875] if "values" in told else None)
    assert len(result.trials) == 3
    kept = read_study(database, "s").trials[0]
    assert kept.state is state
    assert kept.reason == ("it failed where Optuna ran it" if state is State.FAIL else "")


@pytest.mark.parametrize("ending", ["complete", "fail"])
def test_what_somebody_told_optuna_of_a_running_trial_is_what_we_keep_and_return(database, tmp_path, ending):
    told = {"values": 0.875} if ending == "complete" else {"state": TrialState.FAIL}

    result = run(database, tmp_path, Counting(also=lambda: loaded(database).tell(0, **told)), trials=2)

    kept = read_study(database, "s").trials[0]
    assert kept.metrics.get("accuracy") == (0.875 if ending == "complete" else None)
    assert examine(database, "s").findings == ()
    assert result.trials[0].state is kept.state
    assert result.trials[0].metrics == kept.metrics


def interrupted(url, tmp_path):
    def stop(candidate, budget, report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(url, tmp_path, stop, trials=3)


@pytest.mark.parametrize("ending", ["complete", "fail", "pruned"])
def test_a_trial_left_running_and_ended_through_optuna_is_not_run_again(database, tmp_path, ending):
    interrupted(database, tmp_path)
    told = {"values": 0.875} if ending == "complete" else {"state": TrialState[ending.upper()]}
    loaded(database).tell(0, **told)
    evaluate = Counting()

    result = run(database, tmp_path, evaluate, trials=3)

    first = result.trials[0]
    assert (first.state.value, first.source) == (ending, Source.ADOPTED)
    assert first.metrics.get("accuracy") == (0.875 if ending == "complete" else None)
    assert len(evaluate.seen) == 2
    assert read_study(database, "s").trials == result.trials


def test_the_checkpoint_of_a_trial_that_optuna_completed_belongs_to_it(database, tmp_path):
    interrupted(database, tmp_path)
    loaded(database).tell(0, 0.875)
    run(database, tmp_path, trials=3)

    assert (tmp_path / "c" / "s" / "0").is_dir()
    assert examine(database, "s").findings == ()


def test_the_doctor_tolerates_that_somebody_ended_a_trial_that_nobody_drives(database, tmp_path):
    interrupted(database, tmp_path)
    loaded(database).tell(0, 0.875)

    assert examine(database, "s").findings == ()


def test_infinite_values_of_optunas_count_as_failed_and_the_search_goes_on(database, tmp_path):
    study = made_by_optuna(database, ONE)
    fits = {"layer0": "skip", "layer1": "skip", "layer2": "skip", "depth": 1}
    add_complete(study, fits, [math.inf])
    add_complete(study, {**fits, "depth": 2}, [-math.inf])
    add_complete(study, {**fits, "depth": 3}, [0.5])

    result = run(database, tmp_path, trials=4, sampler="tpe")

    assert [trial.state for trial in result.trials] == [State.FAIL, State.FAIL, State.COMPLETE, State.COMPLETE]
    assert {trial.reason for trial in result.trials[:2]} == {"its values are not finite"}
    assert [trial.value for trial in loaded(database).trials[:2]] == [math.inf, -math.inf]
    assert max(trial.metrics.get("accuracy", 0.0) for trial in result.trials) <= 1


def test_infinite_values_of_optunas_are_no_broken_promise(database, tmp_path):
    study = made_by_optuna(database, ONE)
    add_complete(study, {"layer0": "skip", "layer1": "skip", "layer2": "skip", "depth": 1}, [math.inf])
    run(database, tmp_path, trials=2)

    assert examine(database, "s").findings == ()


def test_the_best_of_a_study_is_that_of_its_complete_trials(database, tmp_path):
    run_by_optuna(made_by_optuna(database, ONE), 4, pruned=[0, 1])
    result = run(database, tmp_path, trials=5)

    assert loaded(database).trials[0].value == 0.9
    assert summaries(database)[0].best == result.best.metrics["accuracy"]


def test_a_study_deleted_and_made_anew_by_optuna_under_its_name_is_not_taken_for_ours(database, tmp_path):
    run(database, tmp_path, trials=3)
    optuna.delete_study(storage=database, study_name="s")
    run_by_optuna(made_by_optuna(database, ONE), 3)
    theirs = [trial.params for trial in loaded(database).trials]

    result = run(database, tmp_path, trials=4)

    assert [trial.candidate for trial in result.trials[:3]] == theirs
    assert [trial.source for trial in result.trials[:3]] == [Source.ADOPTED] * 3
