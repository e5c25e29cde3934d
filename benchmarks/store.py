"""Trials per second with nothing to train: what a search and its database cost, against Optuna and Ray Tune.

    python benchmarks/store.py                       # SQLite files in a temporary directory
    python benchmarks/store.py --objectives 2
    python benchmarks/store.py --postgres            # a private server with fsync on, started and removed here
    python benchmarks/store.py --url URL --tune 0    # your own database (studies bench-* stay in it); no Ray

32 genes with 4 options, random sampling and the same database for everybody, one after the other in one run:

    local    ours, two worker processes
    inline   ours, in this process
    plain    Optuna: ask, suggest 32 times, tell, through its own storage, in one process
    tune     stock Ray Tune: OptunaSearch with Optuna's storage, a function that reports once, two at a time, loggers
             off; with and without reuse_actors, of which the faster is the peer

A rate counts from the end of the first trial to the end of the last, so starting workers, Ray and its first actors
costs nobody anything; "whole" is the rate over the whole call, for Tune that of fit() after ray.init().
"""

import argparse
import json
import os
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import noop
import optuna
from noop import GENES, GOALS, OPTIONS

from nas import search
from nas.objectives import objectives_from


def rates(started, ends, ended):
    """Trials per second between the first end and the last, and over the whole call."""
    return {
        "trials": len(ends),
        "rate": (len(ends) - 1) / (ends[-1] - ends[0]),
        "whole": len(ends) / (ended - started),
    }


def ours(url, trials, goals, runner, folder):
    """Rates of `nas.search`."""
    ends = []

    def watch(study):
        ends.extend([time.perf_counter()] * (len(study.finished) - len(ends)))

    started = time.perf_counter()
    search(
        noop.space(), noop.evaluate, objectives=goals, trials=trials, sampler="random", storage=url,
        study=f"bench-{secrets.token_hex(4)}", runner=runner, workers=2 if runner != "inline" else None, watch=watch,
        checkpoints=folder,
    )  # fmt: skip
    return rates(started, ends, time.perf_counter())


def plain(url, trials, goals):
    """Rates of ask, suggest, tell."""
    objectives = objectives_from(goals)
    study = optuna.create_study(
        storage=url,
        study_name=f"bench-{secrets.token_hex(4)}",
        sampler=optuna.samplers.RandomSampler(seed=0),
        directions=["maximize" if objective.maximize else "minimize" for objective in objectives],
    )
    ends, started = [], time.perf_counter()
    for _ in range(trials):
        trial = study.ask()
        found = noop.metrics({name: trial.suggest_categorical(name, OPTIONS) for name in GENES})
        study.tell(trial, [found[objective.name] for objective in objectives])
        ends.append(time.perf_counter())
    return rates(started, ends, time.perf_counter())


def tune(url, trials, goals, folder, *, reuse_actors):
    """Rates of stock Ray Tune."""
    from ray.tune import Callback, RunConfig, TuneConfig, Tuner, report
    from ray.tune.search.optuna import OptunaSearch

    ends = []

    class Ends(Callback):
        def on_trial_complete(self, **_):
            ends.append(time.perf_counter())

    def trainable(config):
        report(noop.metrics(config))

    objectives = objectives_from(goals)
    names, modes = zip(*((goal.name, "max" if goal.maximize else "min") for goal in objectives), strict=True)
    searcher = OptunaSearch(
        space={name: optuna.distributions.CategoricalDistribution(OPTIONS) for name in GENES},
        metric=list(names) if len(names) > 1 else names[0],
        mode=list(modes) if len(modes) > 1 else modes[0],
        sampler=optuna.samplers.RandomSampler(seed=0),
        storage=optuna.storages.RDBStorage(url),
        study_name=f"bench-{secrets.token_hex(4)}",
    )
    tuner = Tuner(
        trainable,
        tune_config=TuneConfig(
            search_alg=searcher, num_samples=trials, max_concurrent_trials=2, reuse_actors=reuse_actors
        ),
        run_config=RunConfig(name="tune", storage_path=str(folder), verbose=0, callbacks=[Ends()]),
    )
    started = time.perf_counter()
    results = tuner.fit()
    ended = time.perf_counter()
    if results.num_errors or len(ends) != trials:
        raise SystemExit(f"Ray Tune finished {len(ends)} of {trials} trials, {results.num_errors} with errors")
    return rates(started, ends, ended)


def measure(options, url_of, folder):
    """Rates by name; `url_of` gives the database of each."""
    goals = GOALS[: options.objectives]
    found = {
        "local": ours(url_of("local"), options.trials, goals, "local", folder / "local"),
        "inline": ours(url_of("inline"), options.trials, goals, "inline", folder / "inline"),
        "plain": plain(url_of("plain"), options.plain, goals),
    }
    if options.tune:
        os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
        import ray

        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            for reuse in (True, False):
                name = f"tune reuse_actors={reuse}"
                found[name] = tune(
                    url_of(f"tune{reuse}"), options.tune, goals, folder / f"tune{reuse}", reuse_actors=reuse
                )
        finally:
            ray.shutdown()
    return found


def ratios(found):
    """Ours over the peers'; of the two Tunes over the faster."""
    stock = max((name for name in found if name.startswith("tune")), key=lambda name: found[name]["rate"], default=None)
    pairs = [("local", "plain"), ("inline", "plain")]
    if stock:
        pairs.insert(0, ("local", stock))
    return {f"{one} / {other}": found[one]["rate"] / found[other]["rate"] for one, other in pairs}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="of ours, each way [1000]")
    parser.add_argument("--plain", type=int, default=100, help="trials of plain Optuna [100]")
    parser.add_argument("--tune", type=int, default=40, help="trials of Ray Tune, each way; 0 leaves Ray out [40]")
    parser.add_argument("--objectives", type=int, choices=(1, 2), default=1)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--url", help="a database that all of them write to [SQLite files of their own]")
    place.add_argument("--postgres", action="store_true", help="a PostgreSQL server of this run alone")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args()
    noop.quiet()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nas-bench-")))
        url = stack.enter_context(noop.private_postgres()) if options.postgres else options.url
        found = measure(options, lambda name: url or f"sqlite:///{folder}/{name}.db", folder)
    told = ratios(found)
    if options.json:
        sys.stdout.write(json.dumps({"rates": found, "ratios": told}) + "\n")
        return
    for name, rate in found.items():
        print(f"{name}: {rate['rate']:.1f} trials/s over {rate['trials']} trials (whole {rate['whole']:.1f}/s)")
    for name, ratio in told.items():
        print(f"{name}: {ratio:.1f}x")


if __name__ == "__main__":
    main()
