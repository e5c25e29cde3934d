"""What one-shot search is worth: the order by inherited weights, and what a front costs with and without a supernet.

    python benchmarks/oneshot.py tau --data hf:DIR --resolution 14 --subset 0.1 --macs 1.2e6 2.4e6 4.8e6 --seeds 3
    python benchmarks/oneshot.py front --data hf:DIR --resolution 14 --subset 0.1 --macs 1.2e6 2.4e6 4.8e6 --seeds 3

tau: networks in narrow bands of MACs are judged by a supernet and trained from scratch; Kendall's tau-b of the two
accuracies within each band, and over all beside that of ranking by MACs or by parameters; and which single choice that
has an order (a width, a kernel) ranks best within bands, as only hindsight knows. With `--trainings 2` each is trained
twice, and its mean counts; tau of the one training with the other within bands says what could be had at most.
`--truth FILE` keeps the accuracies of trainings from scratch there, with their seconds, and takes those of an earlier
run of the same networks, recipe and seeds instead of training them again; `--keep DIR` does so with supernets: for
comparing what is done with them.

front: seconds of training a supernet, judging candidates by it and training those that cover most of their front, from
scratch or, with `--retrain-from supernet`, on from what they inherit, against those that trials which are trained from
scratch, one after the other (drawn at random, and by the default sampler), need until their front of accuracy and MACs
has the same hypervolume above an accuracy (`--above`). What never reaches it counts with all its seconds, and is said.

Seconds are of one process on one device: on a CPU those that it computes on one core, whatever else the machine does,
on a GPU those of the clock. All networks of a sandwich are in them.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import random
import statistics
import sys
import tempfile
import time
from operator import itemgetter
from pathlib import Path

import torch
from scipy import stats

import search_spaces
from nas.api import search
from nas.config import SearchConfig
from nas.data import load
from nas.feasible import Pricing
from nas.hypervolume import hypervolume
from nas.intervals import interval
from nas.jobs import Budget
from nas.objectives import limits_from
from nas.recipe import Recipe
from nas.supernet.files import weights_of
from nas.supernet.judging import calibrated, judged
from nas.supernet.making import Making, make
from nas.supernet.plan import TrainingPlan
from nas.training import TrainAndValidate, Trainer
from runners.job_setup import NetworkCosts
from runners.oneshot import chosen_of

DRAWS = 20_000  # for a band
APART = 500  # seeds of two trainings of a network


class Bench:
    """The space, the images, and the recipes of a seed."""

    def __init__(self, options, seed, folder):
        self.options, self.seed, self.folder = options, seed, Path(folder)
        self.data = load(options.data, resolution=options.resolution)
        self.space = search_spaces.get(options.space, self.data.resolution)
        self.costs = NetworkCosts(len(self.data.classes), self.data.channels)
        self.pricing = Pricing(
            self.space, self.costs, limits_from([f"macs<={options.macs[-1] * (1 + options.width):g}"])
        )
        self.clock = time.process_time if options.device == "cpu" else time.perf_counter
        self.recipe = Recipe(epochs=options.epochs, subset=options.subset, batch_size=options.batch_size)
        self.truth = json.loads(options.truth.read_text()) if options.truth and options.truth.exists() else {}

    def supernet(self):
        """Its weights, and the seconds of its training."""
        plan = TrainingPlan(
            recipe=dataclasses.replace(self.recipe, epochs=self.options.supernet_epochs, schedule="cosine"),
            sampling=self.options.sampling,
            at_once=self.options.at_once,
        )
        making = Making(self.pricing, self.data, plan, seed=self.seed)
        folder = (self.options.keep or self.folder) / f"supernet-{self.seed}"
        noted = folder / "seconds.json"
        if folder.exists() and not noted.exists():
            sys.exit(f"{folder} was broken off, and what it took is not known: remove it")
        started = self.clock()
        file = make(making, folder, say, device=self.options.device)
        if not noted.exists():
            noted.write_text(json.dumps(self.clock() - started))
        return weights_of(file.path, file.digest), json.loads(noted.read_text())

    def judged(self, weights, network):
        """Validation accuracy by inherited weights, and the seconds that it took."""
        started = self.clock()
        model = calibrated(weights, network, self.data, self.options.device)
        found = judged(model, self.data, self.options.device, self.options.judge_images)
        return found["accuracy"], self.clock() - started

    def trained(self, network, number):
        """Validation accuracy after training from scratch, and the seconds that it took."""
        seed = 1000 * self.seed + number
        key = f"{network.digest} {seed} {self.options.data} {self.recipe}"
        if key not in self.truth:
            budget = Budget(0, self.options.epochs, seed, self.options.device, str(self.folder / f"{number}"))
            started = self.clock()
            found = TrainAndValidate(self.data, self.recipe)(network, budget, silent)
            self.truth[key] = found["accuracy"], self.clock() - started
            if self.options.truth:
                self.options.truth.write_text(json.dumps(self.truth))
        accuracy, seconds = self.truth[key]
        return accuracy, seconds

    def trained_on(self, weights, network, number):
        """The same after training that begins with inherited weights."""
        options = self.options
        seed, folder = 1000 * self.seed + number, str(self.folder / f"on-{number}")
        budget = Budget(0, options.retrain_epochs, seed, options.device, folder)
        recipe = dataclasses.replace(self.recipe, epochs=options.retrain_epochs)
        started = self.clock()
        begun = calibrated(weights, network, self.data).state_dict()
        found = Trainer(network, self.data, recipe, budget, initial=begun).run(silent)
        return found["accuracy"], self.clock() - started

    def band(self, macs, rng):
        """Different networks whose MACs are near a number. Ends the program where they are too rare."""
        found = {}
        for _ in range(DRAWS):
            priced = self.pricing.draw(rng)
            if abs(priced.costs["macs"] / macs - 1) <= self.options.width:
                found.setdefault(priced.candidate.digest, priced)
            if len(found) == self.options.each:
                return list(found.values())
        sys.exit(f"--macs {macs:g}: {len(found)} of {DRAWS:,} networks of {self.options.space} are near it")


def silent(_step, _metrics):
    """Reports that nobody reads."""


def say(epoch, metrics):
    print(
        f"  supernet, epoch {epoch}: loss {metrics['train_loss']:.3f}, {metrics['epoch_seconds']:.1f} s",
        file=sys.stderr,
    )


def tau(bench):
    """Rank correlations of a seed."""
    rng = random.Random(bench.seed)
    bands = [bench.band(macs, rng) for macs in bench.options.macs]
    weights, seconds = bench.supernet()
    rows, number = [], 0
    for band, found in enumerate(bands):
        for priced in found:
            inherited, judging = bench.judged(weights, priced.candidate)
            each = [bench.trained(priced.candidate, number + APART * again) for again in range(bench.options.trainings)]
            accuracies, seconds_each = zip(*each, strict=True)
            rows.append({"band": band, "inherited": inherited, "trained": statistics.fmean(accuracies),
                         "first": accuracies[0], "last": accuracies[-1], "judging": judging,
                         "training": sum(seconds_each), **priced.costs,
                         "genome": list(priced.genome)})  # fmt: skip
            number += 1
            told = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
            print(f"  {number}: inherited {inherited:.4f}, trained {told}, {sum(seconds_each):.0f} s", file=sys.stderr)

    def kendall(by, chosen, truth="trained"):
        return float(stats.kendalltau([by(row) for row in chosen], [row[truth] for row in chosen]).statistic)

    def within(by, truth="trained"):
        return [kendall(by, [row for row in rows if row["band"] == band], truth) for band in range(len(bands))]

    told = {"within": within(itemgetter("inherited"))}
    if bench.options.trainings > 1:
        told["again"] = within(itemgetter("last"), "first")
    alone = {
        gene.path: abs(statistics.fmean(within(lambda row, at=index: row["genome"][at])))
        for index, gene in enumerate(bench.space.genes)
        if gene.ordered and gene.parent is None
    }
    alone = {path: found for path, found in alone.items() if not math.isnan(found)}  # nan: one option in all of a band
    best = max(alone, key=alone.__getitem__, default=None)
    return {
        "seed": bench.seed,
        **told,
        "best_choice": best,
        "mean_best_choice": alone.get(best, 0.0),
        **{f"mean_{name}": statistics.fmean(taus) for name, taus in told.items()},
        **{f"overall_{name}": kendall(itemgetter(name), rows) for name in ("inherited", "macs", "params")},
        "supernet_s": seconds,
        "judging_s": sum(row["judging"] for row in rows),
        "training_s": sum(row["training"] for row in rows),
        "rows": rows,
    }


def front(bench):
    """Seconds to a hypervolume with a supernet, and with trained trials."""
    options = bench.options
    most = options.macs[-1] * (1 + options.width)

    def volume(points):
        """Of accuracy above the least that counts and MACs below the limit."""
        return hypervolume([(-accuracy, macs / most) for accuracy, macs in points], (-options.above, 1.0))

    def judge(network, _budget, _report):
        return {"accuracy": bench.judged(weights, network)[0]}

    objectives = ["accuracy:max", "macs:min"]
    weights, seconds = bench.supernet()
    started = bench.clock()
    found = search(
        bench.space, judge, objectives=objectives, costs=bench.costs,
        constraints=[f"macs<={most:g}"], trials=options.candidates, sampler=options.proposer, storage=None,
        runner="inline", epochs=(1, 1), seed=bench.seed,
    )  # fmt: skip
    judging = bench.clock() - started
    print(f"  supernet {seconds:.0f} s, judging {judging:.0f} s", file=sys.stderr)
    seconds += judging
    chosen, _ = chosen_of(found, SearchConfig(objectives=objectives, retrain=options.retrain, spread=0))
    points = []
    for number, trial in enumerate(chosen):
        if options.retrain_from == "supernet":
            accuracy, spent = bench.trained_on(weights, trial.candidate, number)
        else:
            accuracy, spent = bench.trained(trial.candidate, 10_000 + number)
        points.append((accuracy, trial.metrics["macs"]))
        seconds += spent
        told = f"inherited {trial.metrics['accuracy']:.4f}, trained {accuracy:.4f}, {trial.metrics['macs']:,.0f} MACs"
        print(f"  {number + 1}: {told}, {spent:.0f} s", file=sys.stderr)
    goal = volume(points)
    print(f"  with a supernet: hypervolume {goal:.4f} in {seconds:.0f} s", file=sys.stderr)
    told = {"seed": bench.seed, "hypervolume": goal, "seconds": seconds, "points": points}
    for sampler in options.samplers:
        reached, trials = trained_until(bench, volume, goal, sampler, most, options.at_most * seconds)
        spent = trials[-1][-1]
        told[sampler] = {"seconds": spent, "reached": reached, "ratio": spent / seconds, "trials": trials}
        ended = "reached" if reached else "not reached"
        print(f"  {sampler}: {len(trials)} trials, {spent:.0f} s, {ended}", file=sys.stderr)
    return told


def trained_until(bench, volume, goal, sampler, most, patience):
    """Whether trained trials reach a hypervolume; of each its accuracy, its MACs and the seconds until it ended."""
    trials = []

    def reached():
        return volume([trial[:2] for trial in trials])

    def evaluate(network, _budget, _report):
        accuracy, seconds = bench.trained(network, 20_000 + len(trials))
        spent = seconds + (trials[-1][-1] if trials else 0.0)
        macs = bench.costs(network)["macs"]
        trials.append((accuracy, macs, spent))
        print(
            f"  {sampler} {len(trials)}: {accuracy:.4f}, {macs:,.0f} MACs, hypervolume {reached():.4f}, {spent:.0f} s",
            file=sys.stderr,
        )
        if reached() >= goal or spent > patience:
            raise KeyboardInterrupt
        return {"accuracy": accuracy}

    with contextlib.suppress(KeyboardInterrupt):
        search(
            bench.space, evaluate, objectives=["accuracy:max", "macs:min"], costs=bench.costs,
            constraints=[f"macs<={most:g}"], trials=10_000, sampler=sampler, storage=None, runner="inline",
            epochs=(1, 1), seed=bench.seed,
        )  # fmt: skip
    return reached() >= goal, trials


def main() -> None:
    """Run it and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tau", "front"))
    parser.add_argument("--data", default="digits")
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--space", default="metaformer")
    parser.add_argument("--subset", type=float, default=1.0)
    parser.add_argument("--macs", type=float, nargs=3, default=[2.5e5, 5e5, 1e6], help="middles of the bands")
    parser.add_argument("--width", type=float, default=0.1, help="of a band, to each side, as a share of its middle")
    parser.add_argument("--each", type=int, default=8, help="networks in a band")
    parser.add_argument("--batch-size", type=int, default=0, help="0: by the number of images")
    parser.add_argument("--epochs", type=int, default=10, help="of a network trained from scratch")
    parser.add_argument("--supernet-epochs", type=int, default=30)
    parser.add_argument("--sampling", default="sandwich")
    parser.add_argument("--at-once", type=int, default=0, help="networks in a step of the supernet; 0: by its sampling")
    parser.add_argument("--candidates", type=int, default=200, help="judged by the supernet")
    parser.add_argument("--judge-images", type=int, default=0, help="of validation that they are judged on; 0: all")
    parser.add_argument("--proposer", default="auto", help="sampler of these")
    parser.add_argument("--retrain", type=int, default=4, help="of the front, trained")
    parser.add_argument("--retrain-from", choices=("scratch", "supernet"), default="scratch")
    parser.add_argument("--retrain-epochs", type=int, help="of those that go on from the supernet [default: --epochs]")
    parser.add_argument("--trainings", type=int, default=1, help="of each network, by seeds of their own")
    parser.add_argument("--truth", type=Path, help="where trained accuracies are kept between runs")
    parser.add_argument("--keep", type=Path, help="where supernets and their seconds are kept between runs")
    parser.add_argument("--above", type=float, default=0.0, help="the accuracy from which on a hypervolume counts")
    parser.add_argument("--samplers", nargs="+", default=["random", "auto"])
    parser.add_argument("--at-most", type=float, default=8.0, help="times the seconds with a supernet before giving up")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.retrain_epochs and options.retrain_from == "scratch":
        parser.error("--retrain-epochs: only with --retrain-from supernet; the others are trained for --epochs")
    options.retrain_epochs = options.retrain_epochs or options.epochs
    torch.set_num_threads(1)
    found = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        print(f"seed {seed}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            found.append((tau if options.what == "tau" else front)(Bench(options, seed, folder)))
    print(json.dumps(found))
    names = [
        "mean_within",
        "mean_best_choice",
        *(["mean_again"] if options.trainings > 1 else []),
        "overall_inherited",
        "overall_macs",
        "overall_params",
        "supernet_s",
        "judging_s",
        "training_s",
    ]
    if options.what == "front":
        names = ["hypervolume", "seconds"]
        found = [each | {f"{name}_ratio": each[name]["ratio"] for name in options.samplers} for each in found]
        names += [f"{name}_ratio" for name in options.samplers]
    for name in names:
        each = interval([row[name] for row in found])
        between = "" if each.low is None else f" (95 % interval {each.low:.3f} to {each.high:.3f})"
        print(f"{name}: {each.mean:.3f}{between}")


if __name__ == "__main__":
    main()
