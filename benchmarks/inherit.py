"""What it saves that a child begins with its parent's weights.

    python benchmarks/inherit.py
    python benchmarks/inherit.py --data hf:DIR --pairs 12 --epochs 10 --device cuda

A pair is a network within the limit and a mutant of it that is, too, drawn as evolution draws them. For every seed the
parent is trained for E epochs; the child then twice with one seed, from scratch and from its parent's weights, for E
epochs each. The goal is the validation accuracy that the child has from scratch after all E epochs; counted are the
epochs, and the seconds of training and measuring, until it is first reached, by the training from scratch too (which
may touch it before its end). What never reaches it counts with all E epochs and is said. Both have the learning rates
of an E-epoch training, so the child that is stopped early is judged before they have fallen: what is saved is rather
more.

Ratios (scratch over inherited: 2 is half the epochs) are geometric means; seeds of a pair are averaged first, and the
95 % interval is Student's t over the pairs, of logarithms. Differences of accuracy are in percentage points, likewise.
"""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

import search_spaces
from nas.data import load
from nas.errors import SpaceError
from nas.feasible import Pricing
from nas.intervals import interval
from nas.jobs import Budget
from nas.objectives import limits_from
from nas.parents import differing
from nas.recipe import Recipe
from nas.training import TrainAndValidate
from runners.job_setup import NetworkCosts


def pairs_of(pricing, count, rng):
    """(parent, child) of so many pairs, as genomes."""
    found = []
    while len(found) < count:
        parent = pricing.draw(rng)
        for _ in range(50):
            try:
                child = pricing.price(pricing.space.mutate(parent.genome, rng))
            except SpaceError:
                break
            if not child.excess and pricing.space.identity(child.candidate) != pricing.space.identity(parent.candidate):
                found.append((parent, child))
                break
    return found


def trained(evaluate, network, epochs, seed, device, folder, parent=""):
    """Accuracy and seconds of every epoch, and the share of the parameters that were inherited."""
    curve = []
    budget = Budget(0, epochs, seed, device, str(folder), parent=str(parent))
    metrics = evaluate(network, budget, lambda _, told: curve.append((told["accuracy"], told["epoch_seconds"])))
    return curve, metrics.get("inherited", 0.0)


def until(curve, goal):
    """Epochs and seconds until an accuracy is first reached; whether it was."""
    reached = next((count for count, (accuracy, _) in enumerate(curve, 1) if accuracy >= goal), None)
    count = reached or len(curve)
    return count, sum(seconds for _, seconds in curve[:count]), reached is not None


def one(evaluate, parent, child, options, seed):
    """A pair with one seed."""
    with tempfile.TemporaryDirectory() as scratch:
        place, given = Path(scratch), (options.epochs, seed, options.device)
        trained(evaluate, parent.candidate, *given, place / "parent")
        alone, _ = trained(evaluate, child.candidate, *given, place / "alone")
        begun, share = trained(evaluate, child.candidate, *given, place / "begun", place / "parent")
    goal = alone[-1][0]
    scratch_epochs, scratch_seconds, _ = until(alone, goal)
    epochs, seconds, reached = until(begun, goal)
    return {
        "inherited": share,
        "goal": goal,
        "epochs": epochs,
        "scratch_epochs": scratch_epochs,
        "seconds": seconds,
        "scratch_seconds": scratch_seconds,
        "reached": reached,
        "first_gain": 100 * (begun[0][0] - alone[0][0]),
        "last_gain": 100 * (begun[-1][0] - goal),
        "accuracies": [accuracy for accuracy, _ in begun],
        "scratch_accuracies": [accuracy for accuracy, _ in alone],
    }


def summary(rows, full):
    """Of all pairs, over which the intervals go."""
    pairs = {}
    for row in rows:
        pairs.setdefault(row["pair"], []).append(row)

    def over(value):
        return interval([statistics.fmean(map(value, seeds)) for seeds in pairs.values()])

    def ratio(name):
        found = over(lambda row: math.log(row[f"scratch_{name}"] / row[name]))
        return {
            key: None if x is None else math.exp(x) for key, x in vars(found).items() if key in ("mean", "low", "high")
        }

    def difference(name):
        found = over(lambda row: row[name])
        return {"mean": found.mean, "low": found.low, "high": found.high}

    return {
        "pairs": len(pairs),
        "trainings": len(rows),
        "epochs_ratio": ratio("epochs"),
        "seconds_ratio": ratio("seconds"),
        "epochs": statistics.fmean(row["epochs"] for row in rows),
        "scratch_epochs": statistics.fmean(row["scratch_epochs"] for row in rows),
        "full": full,
        "never_reached": sum(not row["reached"] for row in rows),
        "inherited": statistics.fmean(row["inherited"] for row in rows),
        "first_gain": difference("first_gain"),
        "last_gain": difference("last_gain"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--space", default="metaformer", choices=search_spaces.SPACES)
    parser.add_argument("--limit", action="append", help="on known costs [params<=5e4 and macs<=1e6]")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2, help="for each pair [2]")
    parser.add_argument("--epochs", type=int, default=9, help="the full budget [9]")
    parser.add_argument("--subset", type=float, default=1.0, help="share of the training images [1]")
    parser.add_argument("--draw", type=int, default=0, help="seed of the pairs [0]")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="one JSON value at the end, with all curves")
    options = parser.parse_args()
    data = load(options.data, resolution=options.resolution)
    limits = limits_from(options.limit or ["params<=5e4", "macs<=1e6"])
    space = search_spaces.get(options.space, data.resolution)
    pricing = Pricing(space, NetworkCosts(len(data.classes), data.channels), limits)
    evaluate = TrainAndValidate(data, Recipe(epochs=options.epochs, subset=options.subset))
    rows, started = [], time.monotonic()
    for pair, (parent, child) in enumerate(pairs_of(pricing, options.pairs, random.Random(options.draw))):
        genes = differing(space.params(parent.genome), space.params(child.genome))
        for seed in range(options.seeds):
            row = {"pair": pair, "seed": seed, "genes": genes, **one(evaluate, parent, child, options, seed)}
            rows.append(row)
            if not options.json:
                print(line(row), flush=True)
    found = summary(rows, options.epochs) | {"took_seconds": time.monotonic() - started}
    sys.stdout.write(json.dumps({"rows": rows, **found}) + "\n" if options.json else told(found))


def line(row):
    """A pair with a seed in words."""
    return (
        f"pair {row['pair']} seed {row['seed']}: {row['genes']} gene(s) apart, {row['inherited']:.0%} inherited; "
        f"{row['goal']:.4f} after {row['epochs']} epochs{'' if row['reached'] else ' (never)'} instead of "
        f"{row['scratch_epochs']}, {row['seconds']:.1f} s instead of {row['scratch_seconds']:.1f} s; "
        f"at the end {row['last_gain']:+.2f} points"
    )


def told(found):
    """The summary in words."""

    def words(value, form):
        return f"{value['mean']:{form}}" + (
            "" if value["low"] is None else f" ({value['low']:{form}} to {value['high']:{form}})"
        )

    return (
        f"{found['trainings']} children of {found['pairs']} pairs, {found['inherited']:.0%} of their parameters "
        f"inherited:\n"
        f"epochs to what {found['full']} from scratch give: {found['epochs']:.2f} instead of "
        f"{found['scratch_epochs']:.2f}, ratio {words(found['epochs_ratio'], '.2f')}; "
        f"never reached by {found['never_reached']}\n"
        f"seconds: ratio {words(found['seconds_ratio'], '.2f')}\n"
        f"accuracy after the first epoch: {words(found['first_gain'], '+.1f')} points; "
        f"after all: {words(found['last_gain'], '+.2f')} points\n"
        f"in {found['took_seconds']:.0f} s\n"
    )


if __name__ == "__main__":
    main()
