"""Trials per second with nothing to train: what the search and its database cost, against plain Optuna in the same run.

    python benchmarks/store.py [--trials 1000] [--plain 60] [--objectives 1] [--runner inline|local] [--url URL]

32 genes, the random sampler in both, SQLite on disk in a temporary directory (or --url: a database that both may write
to). Plain Optuna asks, suggests 32 parameters and tells through its own storage, in one process. The rates of the first
and the last tenth of our trials say whether a search slows down as it grows.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import optuna

from nas import Space, one_of, search

GENES = {f"gene{index}": one_of(*range(4)) for index in range(32)}


def evaluate(candidate, budget, report):
    """Nothing."""
    return {"accuracy": sum(candidate.values()) / 96, "macs": float(candidate["gene0"])}


def ours(url, trials, goals, runner, folder):
    """When each trial ended, in seconds from the start of the search."""
    ends = []

    def watch(study):
        while len(ends) < len(study.finished):
            ends.append(time.perf_counter())

    search(
        Space(GENES), evaluate, objectives=goals, trials=trials, sampler="random", storage=url, study="ours",
        runner=runner, workers=2 if runner != "inline" else None, watch=watch, checkpoints=folder / "checkpoints",
    )  # fmt: skip
    return ends


def plain(url, trials, goals):
    """Trials per second of ask, suggest, tell."""
    study = optuna.create_study(
        storage=url, study_name="plain", sampler=optuna.samplers.RandomSampler(0), directions=["maximize"] * len(goals)
    )
    started = time.perf_counter()
    for _ in range(trials):
        trial = study.ask()
        total = sum(trial.suggest_categorical(name, [0, 1, 2, 3]) for name in GENES)
        study.tell(trial, [float(total)] * len(goals))
    return trials / (time.perf_counter() - started)


def rate(ends, share):
    """Trials per second of a part of them."""
    part = ends[share]
    return (len(part) - 1) / max(1e-9, part[-1] - part[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--plain", type=int, default=60, help="trials of plain Optuna")
    parser.add_argument("--objectives", type=int, choices=(1, 2), default=1)
    parser.add_argument("--runner", choices=("inline", "local"), default="inline")
    parser.add_argument("--url", help="of a database that both may write to [default: SQLite in a temporary directory]")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    goals = ["accuracy:max", "macs:min"][: options.objectives]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ends = ours(options.url or f"sqlite:///{folder}/ours.db", options.trials, goals, options.runner, folder)
        theirs = plain(options.url or f"sqlite:///{folder}/plain.db", options.plain, goals)
    tenth = max(2, len(ends) // 10)
    whole = rate(ends, slice(0, None))
    print(f"ours ({options.runner}): {whole:.1f} trials/s over {len(ends)} trials")
    print(f"  first tenth {rate(ends, slice(0, tenth)):.1f}/s, last tenth {rate(ends, slice(-tenth, None)):.1f}/s")
    print(f"plain Optuna ask/suggest/tell: {theirs:.1f} trials/s over {options.plain} trials")
    print(f"ratio: {whole / theirs:.1f}x")


if __name__ == "__main__":
    main()
