"""A study whose trials begin with the weights of others: who gets whose, for how long those stay, and what SQL says."""

from contextlib import closing
from pathlib import Path

import pytest
from evaluations import macs
from optunas import loaded, sql

from nas import search
from nas.api import tidying
from nas.errors import InputError
from nas.feasible import Pricing
from nas.fidelity import Rungs
from nas.jobs import Failed, Finished, Lost, Reported
from nas.objectives import objectives_from
from nas.parents import differing
from nas.plan import Plan
from nas.samplers import make_sampler
from nas.store.base import MemoryStore
from nas.store.doctor import examine
from nas.store.opening import open_study
from nas.store.reading import read_study
from nas.study import Study
from nas.trial import Source, State

GOALS = objectives_from(["accuracy:max"])
SAME = {"protocol": {"data": "d1", "recipe": "r1"}}


def make(space, folder, trials=9, rungs=None, store=None, inherit=True):
    return Study(
        plan=Plan(trials=trials, rungs=rungs or Rungs(1, 1), checkpoints=folder, inherit=inherit),
        pricing=Pricing(space, macs, ()),
        objectives=GOALS,
        sampler=make_sampler("random", space, GOALS, 0),
        store=store or MemoryStore(),
    )


def leave(job):
    """What a training leaves in its directory."""
    (Path(job.budget.checkpoint) / "state.pt").write_bytes(b"weights")


def finish(study, job, accuracy=0.5):
    leave(job)
    study.handle(Finished(job.number, job.attempt, {"accuracy": accuracy}, 1.0, "here"))


def evaluate(candidate, budget, report):
    """Writes whose weights it found to begin with, and how many there were before these."""
    generation = 1
    if budget.parent:
        generation += int((Path(budget.parent) / "state.pt").read_text())
    (Path(budget.checkpoint) / "state.pt").write_text(str(generation))
    accuracy = list(candidate.values()).count("conv3") / 4
    report(budget.stop, {"accuracy": accuracy})
    return {"accuracy": accuracy, "generation": generation}


def run(layers, tmp_path, study="s", **options):
    usual = {"storage": f"sqlite:///{tmp_path}/nas.db", "trials": 8, "inherit": True}
    return search(
        layers, evaluate, objectives=["accuracy:max"], costs=macs, study=study, checkpoints=tmp_path / "c",
        runner="inline", **{**usual, **options},
    )  # fmt: skip


def test_every_trial_but_the_first_begins_with_the_nearest_that_has_ended(layers, tmp_path):
    study, jobs = make(layers, tmp_path), []

    while job := study.next():
        jobs.append(job)
        parent = study.trials[job.number].parent
        apart = [differing(layers.params(each.genome), layers.params(job.genome)) for each in jobs]
        assert job.budget.parent == ("" if parent is None else str(tmp_path / str(parent)))
        assert parent is None or apart[parent] == min(apart[:-1])
        finish(study, job)

    assert [trial.number for trial in study.trials.values() if trial.parent is None] == [0]


def test_one_that_runs_has_nothing_to_give_and_one_that_failed_neither(layers, tmp_path):
    study = make(layers, tmp_path)

    first, second = study.jobs(2)
    assert (first.budget.parent, second.budget.parent) == ("", "")
    leave(first)
    study.handle(Failed(first.number, first.attempt, "no luck", 1.0, "here"))
    assert study.next().budget.parent == ""
    finish(study, second)

    assert study.next().budget.parent == second.budget.checkpoint


def test_one_that_waits_at_a_rung_gives_its_weights_and_its_own_go_on_from_where_they_were(layers, tmp_path):
    study = make(layers, tmp_path, trials=3, rungs=Rungs(1, 3))
    first = study.next()
    finish(study, first, 0.9)
    second = study.next()
    assert second.budget.parent == first.budget.checkpoint
    finish(study, second, 0.1)
    third = study.next()
    finish(study, third, 0.2)

    again = study.next()

    assert (again.number, again.budget.start) == (first.number, 1)
    assert again.budget.parent == ""


def test_without_being_told_to_nobody_inherits(layers, tmp_path):
    study = make(layers, tmp_path, inherit=False)

    while job := study.next():
        assert job.budget.parent == ""
        finish(study, job)
    assert study.needed == set()
    assert {trial.parent for trial in study.trials.values()} == {None}


def test_a_parents_checkpoint_stays_until_the_child_has_its_first_epoch(layers, tmp_path):
    study = make(layers, tmp_path, trials=30)
    look = tidying(study)
    first = study.next()
    finish(study, first, 0.0)
    child = study.next()
    assert child.budget.parent == first.budget.checkpoint
    for _ in range(8):  # better ones, so that the first is no longer among the best
        finish(study, study.next(), 0.9)
        look(study)

    assert Path(first.budget.checkpoint).exists()
    study.handle(Lost(child.number, child.attempt, "its worker is gone"))
    look(study)
    assert Path(first.budget.checkpoint).exists()
    again = study.next()
    assert (again.number, again.attempt, again.budget.parent) == (child.number, 2, child.budget.parent)
    study.handle(Reported(again.number, again.attempt, 1, {"accuracy": 0.5}))
    look(study)
    assert not Path(first.budget.checkpoint).exists()


def test_another_driver_gives_a_trial_that_was_lost_the_parent_that_it_had(layers, tmp_path):
    url, facts = f"sqlite:///{tmp_path}/nas.db", {"weights": "inherit"}
    with closing(open_study(url, "s", facts, layers, GOALS)) as store:
        study = make(layers, tmp_path / "c", store=store)
        finish(study, study.next())
        child = study.next()

    with closing(open_study(url, "s", facts, layers, GOALS)) as store:
        study = make(layers, tmp_path / "c", store=store)
        tidying(study)(study)
        assert study.needed == {0}
        again = study.next()

    assert (again.number, again.genome) == (child.number, child.genome)
    assert again.budget.parent == child.budget.parent != ""


def test_the_weights_are_there_when_they_are_read_however_long_the_line_of_parents(layers, tmp_path):
    result = run(layers, tmp_path, trials=40)

    assert {trial.state for trial in result.trials} == {State.COMPLETE}
    generations = [trial.metrics["generation"] for trial in result.trials]
    for trial in result.trials[1:]:
        assert trial.metrics["generation"] == generations[trial.parent] + 1
    assert max(generations) > 3


def test_the_same_seed_gives_the_same_parents(layers, tmp_path):
    first, second = (run(layers, tmp_path, study=name, trials=15, seed=3) for name in ("a", "b"))

    assert [trial.parent for trial in first.trials] == [trial.parent for trial in second.trials]
    assert [trial.metrics for trial in first.trials] == [trial.metrics for trial in second.trials]


def test_sql_and_optuna_name_the_parent_of_every_trial(layers, tmp_path, database):
    result, url = run(layers, tmp_path, storage=database), database

    parents = [trial.parent for trial in result.trials]
    assert [row[0] for row in sql(url, "SELECT parent FROM nas_trials ORDER BY number")] == parents
    assert [trial.parent for trial in read_study(url, "s").trials] == parents
    assert [trial.user_attrs.get("parent") for trial in loaded(url, "s").trials] == parents
    assert read_study(url, "s").settings["weights"] == "inherit"
    assert examine(url, "s").findings == ()


def test_a_study_is_not_gone_on_with_the_other_way(layers, tmp_path):
    run(layers, tmp_path, trials=2)
    run(layers, tmp_path, trials=2, study="t", inherit=False)

    for study, inherit in (("s", False), ("t", True)):
        with pytest.raises(InputError, match="was made with other settings \\(weights: "):
            run(layers, tmp_path, trials=3, study=study, inherit=inherit)
    assert run(layers, tmp_path, trials=4).trials[3].parent is not None


def test_what_began_with_anothers_weights_is_never_reused_as_trained_from_scratch(layers, tmp_path):
    run(layers, tmp_path, trials=6, **SAME)

    scratch = run(layers, tmp_path, study="t", trials=3, inherit=False, reuse=True, **SAME)
    alike = run(layers, tmp_path, study="u", trials=3, reuse=True, **SAME)
    again = run(layers, tmp_path, study="v", trials=3, inherit=False, reuse=True, **SAME)

    def reused(result):
        return sum(trial.source is Source.REUSED for trial in result.trials)

    assert (reused(scratch), reused(alike), reused(again)) == (0, 6, 3)
    assert all(trial.parent is None for trial in alike.trials if trial.source is Source.REUSED)
