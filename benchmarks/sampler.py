"""Trainings that a sampler needs, on tables of networks that others trained, against its peers in the same run.

    python benchmarks/sampler.py --tables DIR [--settings nb201-flops ...] [--samplers auto ...] [--seeds 20]
    python benchmarks/sampler.py --tables DIR --settings nb201-flops --samplers auto --at-a-time 8

Every sampler but `optuna` has the filter on known costs and the check for repeats round it; `optuna` is Optuna's
default sampler as it comes, told of a limit after the training, its repeats counted as trainings. Two objectives: the
hypervolume of what was trained as a share of the table's (reference point: 25th percentile of accuracy, largest cost).
One objective, under a limit (25th percentile of cost): points of accuracy below the best within it. A run that does not
reach a goal counts as one training more than it had. With --at-a-time so many trainings run at once and end in random
order. Intervals: 95 %, bootstrap over seeds; differences are of paired
seeds, and `*` says that the interval excludes zero.
"""

import argparse
import functools
import json
import multiprocessing
import os
import random
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
from tables import SETTINGS, area

from nas import search
from nas.feasible import Pricing
from nas.jobs import Finished
from nas.objectives import limits_from, objectives_from
from nas.plan import Plan
from nas.samplers import make_sampler
from nas.store.base import MemoryStore
from nas.study import Study

N = 200
MARKS = (25, 50, 100, 200)
BELOW = 0.2  # points, that count as having found the best
RESAMPLES = 2000


@functools.cache
def table_of(setting, folder):
    return SETTINGS[setting](folder)


def run(job):
    """One search: what was reached after each training, the share of repeats, and the seconds for a proposal."""
    setting, goals, name, seed, folder, at_a_time = job
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = table_of(setting, folder)
    started = time.process_time()
    if name == "optuna":
        trained = plain_optuna(table, goals, seed)
    else:
        limits = [*table.limits, *([f"cost<={table.tight!r}"] if goals == 1 and table.cost else [])]
        objectives = ["accuracy:max", "cost:min"][:goals]
        if at_a_time > 1:
            trials = at_once(table, objectives, limits, name, seed, at_a_time)
        else:
            trials = search(
                table.space, table.evaluate, objectives=objectives, costs=table.costs, constraints=limits, trials=N,
                sampler=name, storage=None, runner="inline", seed=seed,
            ).trials  # fmt: skip
        trained = [table.key(trial.candidate) for trial in trials]
    seconds = (time.process_time() - started) / len(trained)
    return setting, goals, name, seed, progress(table, goals, trained), 1 - len(set(trained)) / len(trained), seconds


def at_once(table, objectives, limits, name, seed, count):
    """The trials in the order in which they ended."""
    goals, pricing = objectives_from(objectives), Pricing(table.space, table.costs, limits_from(limits))
    sampler = make_sampler(name, table.space, goals, seed, pricing=pricing)
    rng, running = random.Random(seed), []
    with tempfile.TemporaryDirectory() as scratch:
        plan = Plan(trials=N, seed=seed, checkpoints=Path(scratch))
        study = Study(plan=plan, pricing=pricing, objectives=goals, sampler=sampler, store=MemoryStore())
        while running := running + study.jobs(count - len(running)):
            job = running.pop(rng.randrange(len(running)))
            metrics = table.evaluate(study.trials[job.number].candidate, job.budget, None)
            study.handle(Finished(job.number, job.attempt, metrics, 0.0, "here"))
    return study.finished


def plain_optuna(table, goals, seed):
    study = optuna.create_study(
        directions=["maximize", "minimize"][:goals], sampler=optuna.samplers.TPESampler(seed=seed)
    )
    trained = []
    for _ in range(N):
        trial = study.ask()
        candidate = {gene.path: trial.suggest_categorical(gene.path, gene.options) for gene in table.space.genes}
        key = table.key(candidate)
        if goals == 1:
            trial.set_constraint("cost", table.cost[key] - table.tight)
        study.tell(trial, [table.accuracy[key], table.cost[key]][:goals])
        trained.append(key)
    return trained


def progress(table, goals, trained):
    points = [(table.accuracy[key], table.cost.get(key, 0.0)) for key in trained]
    if goals == 2:
        return [area(points[: count + 1], table.reference) / table.whole for count in range(len(points))]
    found, rows = -1e9, []
    for accuracy, cost in points:
        if not table.cost or cost <= table.tight:
            found = max(found, accuracy)
        rows.append(min(99.0, table.best - found))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--samplers", nargs="+", default=["auto", "evolution", "tpe", "nsga2", "random", "optuna"])
    parser.add_argument("--objectives", nargs="+", type=int, choices=(1, 2), default=[1, 2])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--at-a-time", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--save", type=Path, help="also write every run as JSON")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs = [
        (setting, goals, name, seed, options.tables, options.at_a_time)
        for setting in options.settings for goals in options.objectives
        for name in options.samplers for seed in range(options.seeds)
        if not (setting == "flexibert" and goals == 2)  # it has no cost
        and not (name == "optuna" and (setting == "flexibert" or options.at_a_time > 1))  # few are trained; one by one
    ]  # fmt: skip
    found = {}
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for setting, goals, name, seed, rows, repeats, seconds in pool.imap(run, jobs):
            found.setdefault((setting, goals), {}).setdefault(name, []).append((rows, repeats, seconds))
            if len(found[setting, goals]) == len({job[2] for job in jobs if job[:2] == (setting, goals)}) and (
                seed == options.seeds - 1
            ):
                report(setting, goals, found[setting, goals])
    if options.save:
        options.save.write_text(json.dumps([[*key, runs] for key, runs in found.items()]))


def report(setting, goals, runs):
    what = "share of the hypervolume" if goals == 2 else "points below the best within the limit"
    curves = {
        name: np.array([np.pad(rows, (0, N - len(rows)), "edge") for rows, *_ in found]) for name, found in runs.items()
    }
    print(
        f"\n{setting}, {goals} objective{'s' * (goals > 1)}, {len(next(iter(curves.values())))} seeds: median {what}\n"
    )
    goal = float(np.median(curves["random"][:, -1])) if "random" in curves else None
    heads = [f"after {mark}" for mark in MARKS]
    heads += [f"random's at {N}"] if goals == 2 else [f"within {BELOW} points", f"random's at {N}"]
    print(f"| sampler | {' | '.join(heads)} | repeats | ms a proposal |\n|---|{'---|' * (len(heads) + 2)}")
    for name, curve in curves.items():
        cells = [
            shown(curve[:, mark - 1], better(goals, curves["auto"], curve, mark) if "auto" in curves else "")
            for mark in MARKS
        ]
        goals_ = ([BELOW] if goals == 1 else []) + ([goal] if goal is not None else [])
        cells += [interval([first(rows, target, goals) for rows in curve]) for target in goals_]
        repeats, seconds = (np.median([each[index] for each in runs[name]]) for index in (1, 2))
        print(f"| {name} | {' | '.join(cells)} | {100 * repeats:.0f} % | {1000 * seconds:.0f} |", flush=True)


def better(goals, ours, theirs, mark):
    """`*` where `auto` is better beyond doubt, `!` where it is worse."""
    gain = (ours[:, mark - 1] - theirs[:, mark - 1]) * (1 if goals == 2 else -1)
    low, high = bootstrap(gain)
    return "*" if low > 0 else "!" if high < 0 else ""


def shown(values, mark):
    return f"{np.median(values):.3f}{mark}"


def interval(reached):
    low, high = bootstrap(np.array(reached, dtype=float), np.median)
    most = lambda value: f">{N}" if value > N else f"{value:.0f}"  # noqa: E731
    return f"{most(np.median(reached))} ({most(low)} to {most(high)})"


def bootstrap(values, of=np.mean):
    rng = np.random.default_rng(0)
    drawn = [of(rng.choice(values, len(values))) for _ in range(RESAMPLES)]
    return np.quantile(drawn, [0.025, 0.975])


def first(rows, goal, goals):
    """The first training at which a run reaches the goal; one more than there were where it does not."""
    reached = rows >= goal if goals == 2 else rows <= goal
    return int(np.argmax(reached)) + 1 if reached.any() else N + 1


if __name__ == "__main__":
    main()
