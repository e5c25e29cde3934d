"""Trials per second of the Ray runner with nothing to train, against stock OptunaSearch and bare Ray Tune.

    python benchmarks/dispatch.py                       # all three, one after the other, and their ratios
    python benchmarks/dispatch.py --trials 5000 --stock 0 --bare 0     # whether ours stays flat: --early, --late
    python benchmarks/dispatch.py --real 12             # digits, 2 workers: how much of their time is spent training

32 genes with 4 options, random sampling, the same Ray on this machine and the same number of workers for everybody:

    ours     nas.search(runner="ray"), a SQLite file
    stock    OptunaSearch with Optuna's storage, a SQLite file; the faster of reuse_actors on and off
    bare     a class trainable with reset_config, reuse_actors, random search, no storage: what Tune itself takes

A rate counts from the end of the first trial to the end of the last, so starting Ray and its first actors costs nobody
anything. All three have Tune's own loggers off.
"""

import argparse
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from pathlib import Path

import noop
import store
from noop import GENES, OPTIONS

from nas import search

WINDOW = 500


def ours(folder, trials, workers):
    """When trials ended."""
    ends = []

    def watch(study):
        ends.extend([time.perf_counter()] * (len(study.finished) - len(ends)))

    search(
        noop.space(), noop.evaluate, objectives=["accuracy:max"], trials=trials, sampler="random",
        storage=f"sqlite:///{folder}/ours.db", study=f"bench-{secrets.token_hex(4)}", runner="ray", workers=workers,
        watch=watch, checkpoints=folder / "checkpoints",
    )  # fmt: skip
    return ends


def bare(folder, trials, workers):
    """When trials of a class trainable ended, with Tune's own random search and no database."""
    from ray import tune

    ends = []

    class Ends(tune.Callback):
        def on_trial_complete(self, **_):
            ends.append(time.perf_counter())

    class Noop(tune.Trainable):
        def reset_config(self, new_config):
            self.config = new_config
            return True

        def step(self):
            return {**noop.metrics(self.config), "done": True}

        def save_checkpoint(self, _directory):
            return {}

        def load_checkpoint(self, _checkpoint):
            pass

    tune.Tuner(
        Noop,
        param_space={name: tune.choice(OPTIONS) for name in GENES},
        tune_config=tune.TuneConfig(num_samples=trials, max_concurrent_trials=workers, reuse_actors=True),
        run_config=tune.RunConfig(
            name="bare", storage_path=str(folder), verbose=0, callbacks=[Ends()],
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    ).fit()  # fmt: skip
    return ends


def rate(ends):
    """Trials a second between the first end and the last."""
    return (len(ends) - 1) / (ends[-1] - ends[0])


def window(last):
    """The name of our rate in the window of trials that ends with trial number `last`."""
    return f"ours, trials {last - WINDOW} to {last}"


def measure(options, folder):
    """Rates by name."""
    import ray

    ray.init(
        address="local", num_cpus=options.workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    found = {}
    try:
        for turn in range(options.repeat):
            place = folder / str(turn)
            place.mkdir()
            if options.bare:
                found.setdefault("bare", []).append(rate(bare(place, options.bare, options.workers)))
            ends = ours(place, options.trials, options.workers)
            found.setdefault("ours", []).append(rate(ends))
            for last in (options.early, options.late) if options.trials >= options.late else ():
                found.setdefault(window(last), []).append(WINDOW / (ends[last - 1] - ends[last - WINDOW - 1]))
            for reuse in (True, False) if options.stock else ():
                url = f"sqlite:///{place}/stock{reuse}.db"
                told = store.tune(url, options.stock, ["accuracy:max"], place / f"stock{reuse}", reuse_actors=reuse)
                found.setdefault(f"stock reuse_actors={reuse}", []).append(told["rate"])
    finally:
        ray.shutdown()
    return {name: statistics.median(rates) for name, rates in found.items()}


def ratios(found, options):
    """Ours over the peers', the faster of the two stocks, and late over early."""
    stocks = [value for name, value in found.items() if name.startswith("stock")]
    peers = {"stock": max(stocks, default=None), "bare": found.get("bare")}
    told = {f"ours / {name}": found["ours"] / value for name, value in peers.items() if value}
    if options.trials >= options.late:
        early, late = (found[window(last)] for last in (options.early, options.late))
        told["late / early"] = late / early
    return told


def real(options, folder):
    """Share of the workers' time, from the first start to the last end, that evaluations of digits take."""
    from nas.config import SearchConfig
    from runners.job_setup import prepare

    found = {}
    for runner in ("local", "ray"):
        first, last = {}, []

        def watch(study, first=first, last=last):
            now = time.perf_counter()
            for trial in study.trials.values():
                if trial.seconds is not None and trial.number not in first:
                    first[trial.number] = now - trial.seconds
            last.extend([now] * (len(study.finished) - len(last)))

        setup = prepare(SearchConfig(data="digits", epochs=options.epochs))
        result = search(
            setup.space, setup.evaluate, objectives=["accuracy:max"], costs=setup.costs, trials=options.real,
            sampler="random", storage=f"sqlite:///{folder}/{runner}.db", study="real", runner=runner,
            workers=options.workers, epochs=setup.config.epoch_range, checkpoints=folder / runner, watch=watch,
        )  # fmt: skip
        inside = sum(trial.seconds for trial in result.trials)
        found[f"{runner}: inside evaluate"] = inside / options.workers / (last[-1] - min(first.values()))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500, help="of ours [500]")
    parser.add_argument("--bare", type=int, default=500, help="trials of bare Tune; 0 leaves it out [500]")
    parser.add_argument("--stock", type=int, default=60, help="trials of OptunaSearch, each way; 0 leaves it out [60]")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1, help="turns, of which the median rates count [1]")
    parser.add_argument("--early", type=int, default=1000, help=f"end of the first window of {WINDOW} trials [1000]")
    parser.add_argument("--late", type=int, default=5000, help="end of the last window, where --trials reach it [5000]")
    parser.add_argument("--real", type=int, metavar="TRIALS", help="train on digits instead, with local and with ray")
    parser.add_argument("--epochs", default="6", help="MIN:MAX for --real [6]")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args()
    if not WINDOW < options.early <= options.late:
        parser.error(f"--early is more than {WINDOW} and at most --late")
    noop.quiet()
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    with tempfile.TemporaryDirectory(prefix="nas-bench-") as folder:
        if options.real:
            found, told = {}, real(options, Path(folder))
        else:
            found = measure(options, Path(folder))
            told = ratios(found, options)
    if options.json:
        sys.stdout.write(json.dumps({"rates": found, "ratios": told}) + "\n")
        return
    for name, value in found.items():
        print(f"{name}: {value:.1f} trials/s")
    for name, value in told.items():
        print(f"{name}: {value:.2f}")


if __name__ == "__main__":
    main()
