"""Trials that somebody enqueues through Optuna: run as asked, with the number that Optuna gave them, or refused."""

import random
import time

import pytest
from optuna.trial import TrialState
from optunas import accuracy, loaded, own_costs, own_space, run, sql, states, suggested

from nas import Space, one_of
from nas.errors import SpaceError
from nas.feasible import Pricing
from nas.objectives import objectives_from
from nas.plan import Plan
from nas.samplers import make_sampler
from nas.store import lease
from nas.store.doctor import examine
from nas.store.opening import open_study
from nas.store.reading import read_study
from nas.study import Study
from nas.trial import Source, State
from nas.wishes import granted

pytestmark = pytest.mark.tables_made

WISH = {"layer0": "conv5", "layer1": "skip", "layer2": "conv5", "depth": 3}


class During:
    """An evaluation in the middle of which something is done once, and the search hears of it."""

    def __init__(self, do, url=None):
        self.seen, self._do, self._url = [], do, url

    def __call__(self, candidate, budget, report):
        self.seen.append(candidate)
        if self._do is not None:
            do, self._do = self._do, None
            do()
            beats(self._url)
        return {"accuracy": accuracy(candidate)}


def beats(url, count=3):
    """Wait until the heart of the driver has beaten a few times, `fast`."""
    seen, deadline = set(), time.monotonic() + 10
    while len(seen) <= count:
        assert time.monotonic() < deadline, f"it has beaten {len(seen) - 1} times in 10 s"
        seen.add(sql(url, "SELECT pulse FROM nas_studies")[0][0])
        time.sleep(0.01)


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(lease, "BEAT_S", 0.02)


def reason_of(url, number):
    return loaded(url).trials[number].user_attrs.get("reason")


def test_what_was_enqueued_before_a_search_is_run_first_with_its_number_and_its_parameters(database, tmp_path):
    run(database, tmp_path, trials=2)
    loaded(database).enqueue_trial(WISH)

    result = run(database, tmp_path, trials=4)

    wished = result.trials[2]
    assert (wished.number, wished.candidate, wished.origin, wished.source) == (2, WISH, "enqueued", Source.TRAINED)
    assert len(result.trials) == 4
    theirs = loaded(database).trials[2]
    assert (theirs.state, theirs.params) == (TrialState.COMPLETE, WISH)
    assert theirs.system_attrs["fixed_params"] == WISH
    assert theirs.user_attrs["origin"] == "enqueued"
    assert examine(database, "s").findings == ()


def test_what_is_enqueued_while_a_search_runs_is_run_next(database, tmp_path, fast):
    evaluate = During(lambda: loaded(database).enqueue_trial(WISH), database)

    result = run(database, tmp_path, evaluate, trials=4)

    assert evaluate.seen[1] == WISH
    assert [trial.number for trial in result.trials] == [0, 1, 2, 3]
    assert (result.trials[1].candidate, result.trials[1].origin) == (WISH, "enqueued")
    assert set(states(database)) == {TrialState.COMPLETE}
    assert read_study(database, "s").trials == result.trials


def test_what_is_enqueued_is_run_beyond_the_number_of_trials_asked_for(database, tmp_path):
    run(database, tmp_path, trials=3)
    loaded(database).enqueue_trial(WISH)

    result = run(database, tmp_path, trials=3)

    assert [trial.origin for trial in result.trials] == ["random"] * 3 + ["enqueued"]
    assert result.trials[3].state is State.COMPLETE


def test_what_is_enqueued_in_the_last_evaluation_is_run_by_the_same_search(database, tmp_path, fast):
    evaluate = During(lambda: loaded(database).enqueue_trial(WISH), database)

    result = run(database, tmp_path, evaluate, trials=1)

    assert [trial.origin for trial in result.trials] == ["random", "enqueued"]
    assert states(database) == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize("given", [{}, {"layer1": "conv5"}, {"layer0": "conv5", "depth": 2}], ids=len)
def test_what_an_enqueued_trial_leaves_open_is_drawn(database, tmp_path, given):
    run(database, tmp_path, trials=1)
    loaded(database).enqueue_trial(given)

    result = run(database, tmp_path, trials=2, seed=5)

    found = result.trials[1]
    assert found.origin == "enqueued"
    assert given.items() <= found.candidate.items()
    assert loaded(database).trials[1].params == found.candidate


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"layer9": "conv3"}, "not in the space: no gene is called 'layer9'"),
        ({"layer0": "conv7"}, "not in the space: layer0: 'conv7' is no option; known: 'skip', 'conv3', 'conv5'"),
        ({"depth": 9}, "not in the space: depth: 9 is no option"),
        (WISH, "over a limit: macs<=20"),
    ],
    ids=["unknown parameter", "unknown option", "out of range", "over a limit"],
)
def test_what_cannot_be_run_is_failed_in_optuna_with_the_reason_and_never_evaluated(database, tmp_path, given, told):
    run(database, tmp_path, trials=1, constraints=["macs<=20"])
    loaded(database).enqueue_trial(given)
    evaluate = During(None)

    result = run(database, tmp_path, evaluate, trials=3, constraints=["macs<=20"])

    assert states(database) == [TrialState.COMPLETE, TrialState.FAIL, *[TrialState.COMPLETE] * 2]
    assert reason_of(database, 1).startswith(told)
    assert [trial.number for trial in result.trials] == [0, 2, 3]
    assert all(own_costs(candidate)["macs"] <= 20 for candidate in evaluate.seen)
    assert examine(database, "s").findings == ()


@pytest.mark.parametrize("count", [2, 3])
def test_enqueued_and_new_trials_are_handed_out_together(database, tmp_path, count):
    space, goals = own_space(), objectives_from(["accuracy:max"])
    run(database, tmp_path, trials=1)
    loaded(database).enqueue_trial(WISH)
    store = open_study(database, "s", read_study(database, "s").settings, space, goals)
    study = Study(
        plan=Plan(trials=9, checkpoints=tmp_path),
        pricing=Pricing(space, own_costs, []),
        objectives=goals,
        sampler=make_sampler("random", space, goals, 1),
        store=store,
    )

    try:
        jobs = study.jobs(count)
    finally:
        store.close()

    assert [job.number for job in jobs] == list(range(1, 1 + count))
    assert study.trials[1].candidate == WISH
    assert [trial.number for trial in loaded(database).trials] == list(range(1 + count))


def test_a_repeat_is_failed_in_optuna_with_the_reason(database, tmp_path):
    first = run(database, tmp_path, trials=1)
    for _ in range(2):
        loaded(database).enqueue_trial(WISH)
    loaded(database).enqueue_trial(first.trials[0].candidate)

    run(database, tmp_path, trials=2)

    assert states(database) == [TrialState.COMPLETE] * 2 + [TrialState.FAIL] * 2
    for number in (2, 3):
        assert reason_of(database, number) == "a repeat: the study has this network already"


def test_what_was_refused_is_not_called_a_trial_of_others_by_the_next_search(database, tmp_path):
    first, seen = run(database, tmp_path, trials=1), []
    loaded(database).enqueue_trial(first.trials[0].candidate)
    run(database, tmp_path, trials=2)

    run(database, tmp_path, trials=3, watch=lambda study: seen.append(study.misfits))

    assert seen[0] == {}


def test_what_an_enqueued_trial_leaves_open_is_drawn_within_the_limits_and_new(database, tmp_path):
    limits = {"constraints": ["macs<=5"]}
    run(database, tmp_path, trials=1, **limits)
    loaded(database).enqueue_trial({"layer0": "conv5"})

    run(database, tmp_path, trials=2, **limits)

    assert states(database)[1] == TrialState.COMPLETE, reason_of(database, 1)


@pytest.mark.soak_when("postgres")
def test_an_enqueued_trial_that_somebody_else_takes_is_left_to_them(database, tmp_path, fast):
    run(database, tmp_path, trials=1)
    for depth in (1, 3):
        loaded(database).enqueue_trial({**WISH, "depth": depth})

    def take():
        study = loaded(database)
        trial = study.ask()
        suggested(trial)
        study.tell(trial, 0.125)

    result = run(database, tmp_path, During(take, database), trials=4)

    assert loaded(database).trials[2].value == 0.125
    assert [trial.number for trial in result.trials] == [0, 1, 3, 4]


def test_an_enqueued_trial_that_its_driver_left_running_goes_on_with_its_number(database, tmp_path):
    run(database, tmp_path, trials=1)
    loaded(database).enqueue_trial(WISH)

    def stops(candidate, budget, report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(database, tmp_path, stops, trials=2)
    left = states(database)
    result = run(database, tmp_path, trials=2)

    assert left == [TrialState.COMPLETE, TrialState.RUNNING]
    assert (result.trials[1].candidate, result.trials[1].origin) == (WISH, "enqueued")
    assert len(result.trials) == 2


def test_enqueued_trials_of_a_search_with_several_objectives_are_run_too(database, tmp_path):
    goals = {"objectives": ["accuracy:max", "macs:min"]}
    run(database, tmp_path, trials=2, **goals)
    loaded(database).enqueue_trial(WISH)

    result = run(database, tmp_path, trials=3, sampler="nsga2", **goals)

    assert loaded(database).trials[2].values == [accuracy(WISH), own_costs(WISH)["macs"]]
    assert result.trials[2].origin == "enqueued"


# -- one wish alone ----------------------------------------------------------------------------------------------------

NESTED = Space({"op": one_of(conv={"kernel": one_of(3, 5)}, pool={"size": one_of(2, 4)}), "width": one_of(8, 16)})


def test_a_wish_is_granted_as_it_is_where_it_is_complete():
    space = own_space()

    assert space.decode(granted(space, WISH, random.Random(0))) == WISH


def test_what_a_wish_leaves_open_is_drawn_and_not_always_the_same():
    space, rng = own_space(), random.Random(0)

    found = [space.decode(granted(space, {"layer0": "conv5"}, rng)) for _ in range(30)]

    assert {candidate["layer0"] for candidate in found} == {"conv5"}
    assert len({tuple(candidate.values()) for candidate in found}) > 5


def test_a_wish_for_what_the_others_leave_unused_is_granted_without_it():
    paths = {gene.path.rpartition(".")[2]: gene.path for gene in NESTED.genes}
    wish = {paths["op"]: "pool", paths["kernel"]: 5, paths["size"]: 4, paths["width"]: 16}

    genome = granted(NESTED, wish, random.Random(0))

    assert NESTED.decode(genome) == {"op": {"size": 4}, "width": 16}
    assert genome == NESTED.canonical(genome)


def test_a_wish_for_a_gene_switches_on_what_it_belongs_to():
    kernel = next(gene.path for gene in NESTED.genes if gene.path.endswith("kernel"))

    found = [NESTED.decode(granted(NESTED, {kernel: 5}, random.Random(seed))) for seed in range(20)]

    assert {str(candidate["op"]) for candidate in found} == {"{'kernel': 5}"}


@pytest.mark.parametrize(
    ("wish", "told"),
    [({"depht": 1}, "no gene is called 'depht'"), ({"depth": 0}, "depth: 0 is no option; known: 1, 2, 3")],
)
def test_a_wish_that_does_not_fit_says_why(wish, told):
    with pytest.raises(SpaceError, match=told):
        granted(own_space(), wish, random.Random(0))


def test_a_wish_for_a_whole_network_is_granted_as_it_is():
    from nas.architecture import Architecture
    from search_spaces import get

    space = get("metaformer", 8)
    taken = space.params(space.sample(random.Random(0)))
    assert isinstance(space.decode(granted(space, taken, random.Random(1))), Architecture)
    assert space.params(granted(space, taken, random.Random(1))) == taken
