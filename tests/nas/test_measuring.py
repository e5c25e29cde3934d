"""What is measured before training: once for each network and device, and what is over a limit on it never starts."""

import pytest
from evaluations import macs, share_of_conv3
from optunas import loaded, sql

from nas import Measure, Space, one_of, search
from nas.errors import InputError
from nas.feasible import Pricing
from nas.jobs import Finished
from nas.objectives import limits_from, objectives_from
from nas.plan import Plan
from nas.samplers.random import RandomSampler
from nas.store.base import MemoryStore
from nas.study import Study

pytestmark = pytest.mark.tables_made


class Stopwatch:
    """Counts what it is asked for; conv5 takes 2 ms, conv3 1 ms."""

    def __init__(self):
        self.asked = []

    def __call__(self, candidate):
        self.asked.append(tuple(candidate.items()))
        return {"latency_ms": macs(candidate)["macs"] / 10, "spread": 0.5}

    def on(self, where):
        return Measure(self, ("latency_ms",), where)


@pytest.fixture
def watch():
    return Stopwatch()


def run(url, layers, tmp_path, measure, **options):
    arguments = {"objectives": ["accuracy:max"], "trials": 12, "study": "s", "runner": "inline", "sampler": "random"}
    arguments |= {"costs": macs, "measure": measure, "checkpoints": tmp_path / "c", "storage": url, **options}
    return search(layers, share_of_conv3, **arguments)


@pytest.mark.parametrize("sampler", ["auto", "evolution", "tpe", "nsga2", "random"])
def test_what_is_over_a_limit_on_a_measurement_never_becomes_a_trial(layers, tmp_path, watch, sampler):
    result = run(None, layers, tmp_path, watch.on("x"), constraints=["latency_ms<=0.8"], sampler=sampler)

    assert len(result.trials) == 12
    assert all(trial.metrics["latency_ms"] <= 0.8 for trial in result.trials)
    assert all(trial.metrics["latency_ms"] == trial.metrics["macs"] / 10 for trial in result.trials)
    assert result.rejected["over a limit"] > 0
    assert len(watch.asked) == len(set(watch.asked))


def test_what_breaks_a_limit_on_a_known_cost_is_not_measured(layers, tmp_path, watch):
    run(None, layers, tmp_path, watch.on("x"), constraints=["macs<=9", "latency_ms<=0.8"])

    assert all(macs(dict(candidate))["macs"] <= 9 for candidate in watch.asked)


def test_a_study_that_goes_on_and_another_one_on_the_same_device_measure_nothing_again(
    database, layers, tmp_path, watch
):
    limits = {"constraints": ["latency_ms<=0.8"]}
    first = run(database, layers, tmp_path, watch.on("here"), **limits)
    before = list(watch.asked)

    again = run(database, layers, tmp_path, watch.on("here"), **limits, trials=20)
    other = run(database, layers, tmp_path, watch.on("here"), **limits, study="t")

    assert again.trials[:12] == first.trials
    assert [trial.candidate for trial in other.trials] == [trial.candidate for trial in first.trials]
    assert watch.asked[: len(before)] == before
    assert len(set(watch.asked)) == len(watch.asked), "each network once"
    kept = sql(database, "SELECT digest, device FROM nas_latencies")
    assert len(kept) == len(watch.asked)
    assert {device for _, device in kept} == {"here"}
    assert {trial.digest for trial in again.trials} <= {digest for digest, _ in kept}


def test_another_device_measures_anew_and_is_another_study(database, layers, tmp_path, watch):
    run(database, layers, tmp_path, watch.on("here"))
    count = len(watch.asked)

    with pytest.raises(InputError, match="measured_on: here there, there here"):
        run(database, layers, tmp_path, watch.on("there"))
    run(database, layers, tmp_path, watch.on("there"), study="t")

    assert len(watch.asked) == 2 * count
    assert len(sql(database, "SELECT digest FROM nas_latencies")) == 2 * count


def test_without_a_name_of_the_device_nothing_is_kept_in_the_database(database, layers, tmp_path, watch):
    run(database, layers, tmp_path, watch.on(""))

    assert sql(database, "SELECT digest FROM nas_latencies") == []


def test_optuna_sees_the_limit_and_the_measurement(database, layers, tmp_path, watch):
    limits = ["accuracy>=0.25", "latency_ms<=0.8", "macs<=16"]
    result = run(database, layers, tmp_path, watch.on("x"), constraints=limits)

    for theirs, ours in zip(loaded(database).trials, result.trials, strict=True):
        assert theirs.user_attrs["latency_ms"] == ours.metrics["latency_ms"]
        order = ["macs<=16", "latency_ms<=0.8", "accuracy>=0.25"]  # known, measured before, measured by the training
        assert theirs.system_attrs["constraints"] == [theirs.constraints[name] for name in order]
        assert theirs.constraints["latency_ms<=0.8"] == pytest.approx(ours.metrics["latency_ms"] - 0.8)


@pytest.mark.parametrize(
    "goals", [["latency_ms:min", "accuracy:max"], ["accuracy:max", "macs:min", "latency_ms:min"], ["latency_ms:min"]]
)
@pytest.mark.parametrize("sampler", ["auto", "evolution", "nsga2"])
def test_a_measurement_is_an_objective_beside_known_and_trained_ones(layers, tmp_path, watch, goals, sampler):
    result = run(None, layers, tmp_path, watch.on("x"), objectives=goals, sampler=sampler, trials=25)

    assert len(result.ranked) == 25
    fastest = min(result.trials, key=lambda trial: trial.metrics["latency_ms"])
    assert fastest.metrics["latency_ms"] in {trial.metrics["latency_ms"] for trial in result.pareto}


def test_a_sampler_is_told_how_far_a_proposal_is_over_the_limits_on_measurements(layers, tmp_path, watch):
    told = []

    class Listening(RandomSampler):
        def reject(self, proposal, excesses=()):
            told.append((macs(layers.decode(proposal.genome))["macs"], tuple(excesses)))

    study = Study(
        plan=Plan(trials=5, checkpoints=tmp_path), pricing=Pricing(layers, macs, limits_from(["macs<=15"])),
        objectives=objectives_from(["accuracy:max"]), sampler=Listening(layers, 0), store=MemoryStore(),
        metric_limits=limits_from(["latency_ms<=0.5", "spread<=0.25", "accuracy>=0"]),
        measure=Measure(watch, ("latency_ms", "spread")),
    )  # fmt: skip

    with pytest.raises(InputError, match=r"no architecture found within latency_ms<=0\.5, spread<=0\.25"):
        study.next()

    assert {cost for cost, excesses in told if excesses} == {cost for cost, _ in told if cost <= 15}
    assert all(excesses == pytest.approx((cost / 10 - 0.5, 0.25)) for cost, excesses in told if excesses)


def test_a_limit_that_nothing_meets_ends_with_the_nearest_named_after_a_bounded_number(tmp_path, watch):
    space = Space({f"layer{index}": one_of("conv3", "conv5", "skip") for index in range(20)})

    with pytest.raises(
        InputError, match=r"^no architecture found within latency_ms<=-1: \d+ were measured, and the nearest has"
    ):
        run(None, space, tmp_path, watch.on("x"), constraints=["latency_ms<=-1"])
    assert len(watch.asked) < 100


def test_a_limit_that_few_meet_is_walked_to(tmp_path, watch):
    """Fewer than 1 in 10,000 candidates drawn is so fast."""
    space = Space({f"layer{index}": one_of("conv3", "conv5", "skip") for index in range(14)})

    result = run(None, space, tmp_path, watch.on("x"), constraints=["latency_ms<=1.2"], trials=4)

    assert len(result.trials) == 4
    assert all(trial.metrics["latency_ms"] <= 1.2 for trial in result.trials)
    assert len(watch.asked) < 4 * 70


def test_a_small_space_is_exhausted_after_exactly_what_is_within_the_limit(layers, tmp_path, watch):
    result = run(None, layers, tmp_path, watch.on("x"), constraints=["latency_ms<=0.6"], trials=1000)

    assert len(result.trials) == sum(macs(layers.decode(genome))["macs"] <= 6 for genome in layers)
    assert result.exhausted
    assert len(watch.asked) == 81


def test_starting_points_and_enqueued_trials_are_measured_too(database, layers, tmp_path, watch):
    slow = {f"layer{index}": "conv5" for index in range(4)}
    limits = {"constraints": ["latency_ms<=0.8"], "measure": watch.on("x")}
    first = run(database, layers, tmp_path, trials=2, start=[slow], **limits)
    loaded(database).enqueue_trial(slow)

    result = run(database, layers, tmp_path, trials=4, **limits)

    assert slow not in [trial.candidate for trial in (*first.trials, *result.trials)]
    assert loaded(database).trials[2].user_attrs["reason"] == "over a limit: latency_ms<=0.8"


def test_reused_trials_are_measured_on_this_device_and_those_over_the_limit_left_out(database, layers, tmp_path, watch):
    same = {"protocol": {"data": "d"}}
    first = run(database, layers, tmp_path, None, study="first", trials=30, **same)

    result = run(
        database, layers, tmp_path, watch.on("x"), constraints=["latency_ms<=0.8"], reuse=True, trials=1, **same
    )

    taken = [trial for trial in result.trials if trial.origin == "reused"]
    assert len(taken) == sum(trial.metrics["macs"] <= 8 for trial in first.trials) > 0
    assert all(trial.metrics["latency_ms"] == trial.metrics["macs"] / 10 for trial in taken)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda candidate: {"speed": 1.0}, "measure returned speed, and 'latency_ms' is not among them"),
        (lambda candidate: {"latency_ms": float("nan")}, "measure returned latency_ms=nan for"),
        (lambda candidate: 1 / 0, "measure failed for .*ZeroDivisionError"),
    ],
)
def test_a_measurement_that_fails_ends_the_search_with_one_line(layers, tmp_path, function, told):
    with pytest.raises(InputError, match=told):
        run(None, layers, tmp_path, Measure(function, ("latency_ms",)), constraints=["latency_ms<=1"])


def test_a_measurement_of_what_is_known_or_misspelt_is_refused(layers, tmp_path, watch):
    with pytest.raises(InputError, match="measure: macs is also a known cost"):
        run(None, layers, tmp_path, Measure(watch, ("macs",)))
    with pytest.raises(InputError, match="limit 'latency<=1': did you mean 'latency_ms'"):
        run(None, layers, tmp_path, watch.on("x"), constraints=["latency<=1"])
    with pytest.raises(InputError, match="at least one is needed"):
        Measure(watch, ())
    with pytest.raises(InputError, match="256 letters; 255 are possible"):
        Measure(watch, ("latency_ms",), "x" * 256)


def test_a_result_keeps_the_measurement_that_was_there_before_it(layers, tmp_path, watch):
    study = Study(
        plan=Plan(trials=1, checkpoints=tmp_path), pricing=Pricing(layers, macs, ()),
        objectives=objectives_from(["accuracy:max"]), sampler=RandomSampler(layers, 0), store=MemoryStore(),
        measure=watch.on("x"),
    )  # fmt: skip
    job = study.next()
    before = study.trials[0].metrics

    study.handle(Finished(0, 1, {"accuracy": 0.5, "latency_ms": 99.0}, 1.0, "elsewhere"))

    assert job.number == 0
    assert study.trials[0].metrics == {**before, "accuracy": 0.5}
