"""What asking a sampler costs once it knows many results, against the same sampler asked through plain Optuna.

    python benchmarks/samplers.py
    python benchmarks/samplers.py --samplers auto --told 20000 --objectives 2 --json

32 genes with 4 options, categorical or, with --ordered, integers; random results, given at once as when a study is
opened again (`load`), then one by one as in a search (`add` and `tell`). `ask` is the median time of a proposal that is
then rejected. Plain Optuna holds the same results in memory (`add_trial`) under its own sampler of that name with its
own defaults, "auto" meaning its default sampler; asked by ask(distributions).
"""

import argparse
import itertools
import json
import random
import statistics
import sys
import time
from functools import partial

import noop
import optuna
from noop import GENES, GOALS
from optuna.distributions import CategoricalDistribution, IntDistribution

from nas.objectives import objectives_from
from nas.samplers import Outcome, make_sampler

OPTUNAS = {
    "auto": lambda: optuna.samplers.TPESampler(seed=0),
    "tpe": lambda: optuna.samplers.TPESampler(seed=0),
    "evolution": lambda: optuna.samplers.NSGAIISampler(seed=0, population_size=20),
    "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=0, population_size=20),
    "nsga3": lambda: optuna.samplers.NSGAIIISampler(seed=0, population_size=20),
    "gp": lambda: optuna.samplers.GPSampler(seed=0),
    "qmc": lambda: optuna.samplers.QMCSampler(seed=0, scramble=True),
    "random": lambda: optuna.samplers.RandomSampler(seed=0),
}
DEFAULT = [name for name in OPTUNAS if name != "gp"]  # seconds a proposal
ONE_BY_ONE = 50


def seconds(work):
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def plain(distributions, goals, results):
    """An Optuna study in memory with these results, and how long it took to fill."""
    directions = ["maximize" if goal.maximize else "minimize" for goal in objectives_from(goals)]
    study = optuna.create_study(directions=directions)

    def fill():
        for genome, values in results:
            study.add_trial(
                optuna.trial.create_trial(
                    params=dict(zip(GENES, genome, strict=True)),
                    distributions=distributions,
                    values=values,
                    # else NSGA does not look at it
                    system_attrs={"NSGAIISampler:generation": 0, "NSGAIIISampler:generation": 0},
                )
            )

    return study, seconds(fill)


def asked(sampler, study, distributions, asks):
    """Median milliseconds to ask ours and plain Optuna in turn, so that what else the machine does meets both."""
    ours, theirs = [], []
    for _ in range(asks + 1):
        ours.append(seconds(lambda: sampler.reject(sampler.ask())))
        theirs.append(seconds(lambda: study.tell(study.ask(distributions), state=optuna.trial.TrialState.FAIL)))
    return [1000 * statistics.median(times[1:]) for times in (ours, theirs)]  # the first fills caches


def one(sampler, genome, values):
    """A result of somebody else's."""
    sampler.tell(sampler.add(genome), Outcome(values))


def row_of(name, space, goals, results, study, distributions, asks):
    """What one sampler costs with these results."""
    sampler = make_sampler(name, space, objectives_from(goals), 0)
    load = seconds(lambda: sampler.load((genome, Outcome(values)) for genome, values in results))
    add = [seconds(partial(one, sampler, *result)) for result in results[:ONE_BY_ONE]]
    study.sampler = OPTUNAS[name]()
    ours, theirs = asked(sampler, study, distributions, asks)
    row = {"sampler": name, "objectives": len(goals), "told": len(results), "load_s": load}
    return row | {"add_ms": 1000 * statistics.median(add), "ask_ms": ours, "plain_ask_ms": theirs}


def measure(options, show):
    """A row for each sampler, number of objectives and of results; each is shown when it is there."""
    distribution = IntDistribution(0, 3) if options.ordered else CategoricalDistribution((0, 1, 2, 3))
    distributions = dict.fromkeys(GENES, distribution)
    space = noop.space((0, 1, 2, 3) if options.ordered else noop.OPTIONS)
    rows = []
    for objectives, told in itertools.product(options.objectives, options.told):
        goals, rng = GOALS[:objectives], random.Random(0)
        results = [(space.sample(rng), [rng.random() for _ in goals]) for _ in range(told)]
        study, fill = plain(distributions, goals, results)
        for name in options.samplers:
            row = row_of(name, space, goals, results, study, distributions, options.asks) | {"plain_fill_s": fill}
            rows.append(row)
            show(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--told", type=int, nargs="+", default=[1000, 10_000], help="results known [1000 10000]")
    parser.add_argument("--samplers", nargs="+", choices=OPTUNAS, default=DEFAULT)
    parser.add_argument("--objectives", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--ordered", action="store_true", help="integer genes")
    parser.add_argument("--asks", type=int, default=9, help="of ours and of plain Optuna, in turn [9]")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of lines")
    options = parser.parse_args()
    noop.quiet()
    if options.json:
        sys.stdout.write(json.dumps(measure(options, lambda _: None)) + "\n")
    else:
        measure(options, lambda row: print(line(row), flush=True))


def line(row):
    """A row in words."""
    return (
        f"{row['sampler']}, {row['objectives']} objective(s), {row['told']} told: ask {row['ask_ms']:.2f} ms, "
        f"add and tell {row['add_ms']:.2f} ms, load {row['load_s']:.2f} s; plain Optuna: ask "
        f"{row['plain_ask_ms']:.2f} ms ({row['plain_ask_ms'] / row['ask_ms']:.1f}x), "
        f"filled in {row['plain_fill_s']:.2f} s"
    )


if __name__ == "__main__":
    main()
