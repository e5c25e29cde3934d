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

        def save_checkpoint(self, checkpoint_dir):
            return {}

        def load_checkpoint(self, checkpoint):
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


def pace(ends, last):
    """Trials a second in the window that ends with trial number `last`."""
    return WINDOW / (ends[last - 1] - ends[last - WINDOW - 1])


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
            if options.trials >= options.late:
                found.setdefault(f"ours, trials {options.early - WINDOW} to {options.early}", []).append(
                    pace(ends, options.early)
                )
                found.setdefault(f"ours, trials {options.late - WINDOW} to {options.late}", []).append(
                    pace(ends, options.late)
                )
            for reuse in (True, False) if options.stock else ():
                url = f"sqlite:///{place}/stock{reuse}.db"
                told = store.tune(url, options.stock, ["accuracy:max"], place / f"stock{reuse}", reuse_actors=reuse)
                found.setdefault(f"stock reuse_actors={reuse}", []).append(told["rate"])
    finally:
        ray.shutdown()
    return {name: statistics.median(rates) for name, rates in found.items()}


RATIOS = (("ours", "stock"), ("ours", "bare"))


def ratios(found, options):
    """Ours over the peers', the faster of the two stocks, and late over early."""
    stocks = [rate for name, rate in found.items() if name.startswith("stock")]
    peers = {"stock": max(stocks, default=None), "bare": found.get("bare")}
    told = {f"ours / {name}": found["ours"] / rate for name, rate in peers.items() if rate}
    if options.trials >= options.late:
        early, late = (found[f"ours, trials {last - WINDOW} to {last}"] for last in (options.early, options.late))
        told["late / early"] = late / early
    return told


def real(options, folder):
    """Share of the workers' time, from the first start to the last end, that evaluations of digits take."""
    from nas.data import load
    from nas.recipe import Recipe
    from nas.training import TrainAndValidate
    from search_spaces import get

    return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--bare", type=int, default=500)
    parser.add_argument("--stock", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--early", type=int, default=1000)
    parser.add_argument("--late", type=int, default=5000)
    options = parser.parse_args()
    noop.quiet()
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    with tempfile.TemporaryDirectory(prefix="nas-bench-") as folder:
        found = measure(options, Path(folder))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
