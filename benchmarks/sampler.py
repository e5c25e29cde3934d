"""Trainings that a sampler needs, on tables of networks that others trained, against its peers in the same run.

    python benchmarks/sampler.py --tables DIR [--settings nb201-flops ...] [--samplers auto ...] [--seeds 20]

DIR holds nas_bench_201.parquet and nats_bench_sss_cifar10.parquet. Every sampler but `optuna` has the filter on known
costs and the check for repeats round it; `optuna` is Optuna's default sampler as it comes, its repeats counted. Two
objectives: the hypervolume of what was trained as a share of the table's (reference point: 25th percentile of accuracy,
largest cost); one objective under a limit (25th percentile of cost): points of accuracy below the best within it.
"""

import argparse
import json
import multiprocessing
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
from pyarrow import parquet

from nas import Space, one_of, search
from nas.objectives import front

N = 200
MARKS = (25, 50, 100, 200)


class Table:
    """A table of trained networks: a space, and accuracy and costs by candidate."""

    def __init__(self, space, keys, accuracy, costs):
        self.space, self.accuracy, self.cost = (
            space,
            dict(zip(keys, accuracy, strict=True)),
            dict(zip(keys, costs, strict=True)),
        )

    def key(self, candidate):
        return tuple(candidate.values())

    def evaluate(self, candidate, budget, report):  # noqa: ARG002
        return {"accuracy": float(self.accuracy[self.key(candidate)])}

    def costs(self, candidate):
        return {"cost": float(self.cost[self.key(candidate)])}


def nas_bench_201(folder, accuracy, cost):
    names = ["e_0to1", "e_0to2", "e_1to2", "e_0to3", "e_1to3", "e_2to3"]
    table = parquet.read_table(folder / "nas_bench_201.parquet", columns=[*names, accuracy, cost]).to_pydict()
    space = Space({name: one_of("none", "skip", "conv1", "conv3", "pool") for name in names}, legal=True)
    labels = ["none", "skip", "conv1", "conv3", "pool"]
    keys = [tuple(labels[code] for code in row) for row in zip(*(table[name] for name in names), strict=True)]
    return Table(space, keys, table[accuracy], table[cost])


def nats_bench(folder):
    names = [f"c{index}" for index in range(5)]
    table = parquet.read_table(folder / "nats_bench_sss_cifar10.parquet").to_pydict()
    keys = list(zip(*(table[name] for name in names), strict=True))
    costs = [macs_of(channels) for channels in keys]
    return Table(Space({name: one_of(*range(8, 65, 8)) for name in names}, legal=True), keys, table["acc"], costs)


def macs_of(channels):
    """Of the dominant convolutions: five cells of residual 3x3 pairs on 32, 16 and 8 pixels."""
    sides, total, before = (32, 32, 16, 16, 8), 0.0, 3
    for side, width in zip(sides, channels, strict=True):
        total += side * side * 9 * (before * width + 5 * width * width)
        before = width
    return total / 1e6


SETTINGS = {
    "nb201-flops": lambda folder: nas_bench_201(folder, "c10_val_ep12", "flops_M_c10"),
    "nb201-1080ti": lambda folder: nas_bench_201(folder, "c100_val_ep12", "lat_1080ti_1"),
    "nb201-pixel3": lambda folder: nas_bench_201(folder, "in16_val_ep12", "lat_pixel3"),
    "nb201-raspi4": lambda folder: nas_bench_201(folder, "c10_val_ep12", "lat_raspi4"),
    "nats-macs": nats_bench,
}


def run(job):
    """One search: the candidates trained, in order, as (accuracy, cost), and the seconds spent asking."""
    setting, goals, name, seed, folder = job
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = SETTINGS[setting](folder)
    limit = float(np.quantile(list(table.cost.values()), 0.25)) if goals == 1 else None
    started = time.perf_counter()
    if name == "optuna":
        trained = plain_optuna(table, limit, goals, seed)
    else:
        result = search(
            table.space, table.evaluate, objectives=["accuracy:max", "cost:min"][:goals], costs=table.costs,
            constraints=[f"cost<={limit!r}"] if limit else None, trials=N, sampler=name, storage=None, runner="inline",
            seed=seed,
        )  # fmt: skip
        trained = [(trial.metrics["accuracy"], trial.metrics["cost"]) for trial in result.trials]
    return setting, goals, name, seed, trained, (time.perf_counter() - started) / len(trained)


def plain_optuna(table, limit, goals, seed):
    """Optuna's default sampler; a limit is told as a constraint, after the training."""
    study = optuna.create_study(
        directions=["maximize", "minimize"][:goals], sampler=optuna.samplers.TPESampler(seed=seed)
    )
    trained = []
    for _ in range(N):
        trial = study.ask()
        candidate = {gene.path: trial.suggest_categorical(gene.path, gene.options) for gene in table.space.genes}
        accuracy, cost = table.accuracy[table.key(candidate)], table.cost[table.key(candidate)]
        if limit is not None:
            trial.set_constraint("cost", cost - limit)
        study.tell(trial, [accuracy, cost][:goals])
        trained.append((accuracy, cost))
    return trained


def area(points, reference):
    """Of what points (accuracy, cost) dominate above and left of the reference."""
    losses = [(-accuracy, cost) for accuracy, cost in points if accuracy > reference[0] and cost < reference[1]]
    total, edge = 0.0, reference[1]
    for loss, cost in sorted(losses[index] for index in front(losses)):
        if cost < edge:
            total += (edge - cost) * (-loss - reference[0])
            edge = cost
    return total


def progress(setting, goals, trained, folder):
    """After each training: share of the table's hypervolume, or points below the best within the limit."""
    table = SETTINGS[setting](folder)
    accuracies, costs = list(table.accuracy.values()), list(table.cost.values())
    if goals == 2:
        reference = float(np.quantile(accuracies, 0.25)), max(costs)
        whole = area(list(zip(accuracies, costs, strict=True)), reference)
        return [area(trained[: count + 1], reference) / whole for count in range(len(trained))]
    limit = float(np.quantile(costs, 0.25))
    best = max(accuracy for accuracy, cost in zip(accuracies, costs, strict=True) if cost <= limit)
    found, rows = -1e9, []
    for accuracy, cost in trained:
        found = max(found, accuracy) if cost <= limit else found
        rows.append(min(99.0, best - found))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--samplers", nargs="+", default=["auto", "evolution", "tpe", "nsga2", "random", "optuna"])
    parser.add_argument("--objectives", nargs="+", type=int, choices=(1, 2), default=[1, 2])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--save", type=Path, help="also write every run as JSON")
    options = parser.parse_args()
    jobs = [
        (setting, goals, name, seed, options.tables)
        for setting in options.settings for goals in options.objectives
        for name in options.samplers for seed in range(options.seeds)
    ]  # fmt: skip
    found, asking = {}, {}
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for setting, goals, name, _, trained, seconds in pool.imap_unordered(run, jobs):
            found.setdefault((setting, goals), {}).setdefault(name, []).append(
                progress(setting, goals, trained, options.tables)
            )
            asking.setdefault(name, []).append(seconds)
    for (setting, goals), runs in found.items():
        report(setting, goals, runs, asking)
    if options.save:
        options.save.write_text(json.dumps([[*key, runs] for key, runs in found.items()]))


def report(setting, goals, runs, asking):
    what = "share of the hypervolume" if goals == 2 else "points below the best within the limit"
    print(f"\n{setting}, {goals} objective(s): median {what} after {', '.join(map(str, MARKS))} trainings")
    goal = None
    if "random" in runs:
        goal = statistics.median(run[-1] for run in runs["random"])
    for name, found in runs.items():
        marks = [statistics.median(run[min(mark, len(run)) - 1] for run in found) for mark in MARKS]
        shown = "  ".join(f"{value:7.4f}" for value in marks)
        reached = [first(run, goal, goals) for run in found] if goal is not None else []
        more = f"  random's at {N} after {statistics.median(reached):.0f}" if reached else ""
        if goals == 1:
            close = [first(run, 0.2, goals) for run in found]
            more += f"  within 0.2 points after {statistics.median(close):.0f}"
        print(f"  {name:10s} {shown}{more}  {1000 * statistics.median(asking[name]):.0f} ms a trial")


def first(run, goal, goals):
    """The first training at which a run reaches the goal; one more than there were where it does not."""
    return next(
        (count + 1 for count, value in enumerate(run) if (value >= goal if goals == 2 else value <= goal)), N + 1
    )


if __name__ == "__main__":
    main()
