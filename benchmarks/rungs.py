"""What rungs save and what they cost, on full trainings of the same networks, against early stopping in the same run.

    python benchmarks/rungs.py --storage sqlite:///rungs.db --train --data hf:DIR      # about 90 minutes on a core
    python benchmarks/rungs.py --storage sqlite:///rungs.db

`--train` draws 18 networks for each of 5 seeds and trains every one for 9 epochs, with its validation accuracy after
each epoch in the database; interrupted, the same command goes on. After that the same networks go through a search by
rungs (the real `Study`; 1:9 epochs by 3) that is answered from these curves: a training that pauses at a rung is the
unbroken one to the bit (tests/nas/test_training_on_rungs.py), so what a rung would have seen is in the curve already.
The clock is simulated from the seconds that each epoch took; with 4 workers several trainings are under way when a rung
decides. The networks arrive in random orders, the same for everybody.

The peers are Optuna's two pruners, asked after every epoch, and Ray Tune's ASHA scheduler: all stop trainings and pause
none. `fewer` trains as many networks of the order as the epochs of our rungs pay for to their end. With two objectives
the peers see the accuracy alone, since none takes two.

Epochs are a share of those of all full trainings. What is found is below what they find in all, or the same; never
above, since these are the same trainings. The interval of the mean difference is a bootstrap over seeds with one order
for each, which is what 5 searches with and without rungs would show: where it reaches 0 they would not show a loss.
Hypervolume is a share of that of all full trainings; the reference point is a tenth of the range worse than the worst.
"""

import argparse
import dataclasses
import heapq
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
from noop import quiet

from nas import Space, one_of
from nas.feasible import Pricing
from nas.fidelity import Rungs
from nas.hypervolume import hypervolume
from nas.jobs import Finished
from nas.objectives import objectives_from
from nas.plan import Plan
from nas.proxies.correlation import agreements
from nas.samplers import make_sampler
from nas.store.base import MemoryStore
from nas.store.reading import read_study
from nas.study import Study

FULL, FACTOR, NETWORKS = 9, 3, 18
MARGIN = 0.1
RESAMPLES = 10_000
SEARCH = ["--resolution", "14", "--subset", "0.2", "--limit", "macs<=1e6", "--sampler", "random", "--workers", "1"]


@dataclasses.dataclass(frozen=True)
class Network:
    """A full training: accuracy after each epoch, and the seconds that each took."""

    macs: float
    accuracy: tuple[float, ...]
    seconds: tuple[float, ...]


def train(options):
    """The full trainings, by the command line."""
    for seed in range(options.seeds):
        study = ["--storage", options.storage, "--study", f"{options.study}-{seed}", "--seed", str(seed)]
        size = ["--epochs", str(FULL), "--trials", str(NETWORKS), "--checkpoints", options.checkpoints]
        subprocess.run(
            [sys.executable, "-m", "nas", "search", "--data", options.data, *SEARCH, *study, *size], check=True
        )


def read(options):
    """The networks of each seed that has all of them."""
    found = []
    for seed in range(options.seeds):
        trials = read_study(options.storage, f"{options.study}-{seed}").trials
        done = [trial for trial in trials if trial.state == "complete" and len(trial.curve) == FULL]
        if len(done) < NETWORKS:
            print(f"seed {seed}: {len(done)} of {NETWORKS} networks are trained; left out", file=sys.stderr)
            continue
        rows = [[trial.curve[epoch] for epoch in range(1, FULL + 1)] for trial in done]
        found.append([
            Network(
                trial.metrics["macs"],
                tuple(each["accuracy"] for each in row),
                tuple(each["epoch_seconds"] for each in row),
            )
            for trial, row in zip(done, rows, strict=True)
        ])  # fmt: skip
    return found


# -- those who decide: each gives the epochs of every network ----------------------------------------------------------


def climb(networks, order, workers, *, goals, brackets=1):
    """Our rungs."""
    space = Space({"network": one_of(*(f"n{index}" for index in range(len(networks))))})
    objectives = objectives_from(["accuracy:max", "macs:min"][:goals])
    pricing = Pricing(space, lambda candidate: {"macs": networks[int(candidate["network"][1:])].macs}, ())
    busy, now, reached = [], 0.0, {}
    with tempfile.TemporaryDirectory() as scratch:
        rungs = Rungs(1, FULL, FACTOR, brackets)
        study = Study(
            plan=Plan(trials=len(networks), rungs=rungs, checkpoints=Path(scratch)), pricing=pricing,
            objectives=objectives, sampler=make_sampler("random", space, objectives, 0), store=MemoryStore(),
        )  # fmt: skip
        study.enqueue([(index,) for index in order])
        while not study.over or busy:
            for job in study.jobs(workers - len(busy)):
                seconds = networks[job.genome[0]].seconds[job.budget.start : job.budget.stop]
                heapq.heappush(busy, (now + sum(seconds), job.number, job))
            if not busy:
                break
            now, _, job = heapq.heappop(busy)
            reached[job.genome[0]] = job.budget.stop
            metrics = {"accuracy": networks[job.genome[0]].accuracy[job.budget.stop - 1]}
            study.handle(Finished(job.number, job.attempt, metrics, 0.0, "here"))
    return reached


def stop_early(networks, order, workers, scheduler):
    """Trainings that are stopped or go on after every epoch, as the scheduler says."""
    coming, busy, now, reached = iter(order), [], 0.0, {}
    while True:
        while len(busy) < workers and (index := next(coming, None)) is not None:
            scheduler.begin(index)
            heapq.heappush(busy, (now + networks[index].seconds[0], index))
        if not busy:
            return reached
        now, index = heapq.heappop(busy)
        epoch = reached[index] = reached.get(index, 0) + 1
        if scheduler.goes_on(index, epoch, networks[index].accuracy[epoch - 1]):
            heapq.heappush(busy, (now + networks[index].seconds[epoch], index))


class Pruner:
    """One of Optuna's, in a study of its own."""

    def __init__(self, pruner, name):
        sampler = optuna.samplers.RandomSampler(seed=0)
        self.study = optuna.create_study(study_name=name, direction="maximize", sampler=sampler, pruner=pruner)
        self.trials = {}

    def begin(self, index):
        self.trials[index] = self.study.ask()

    def goes_on(self, index, epoch, accuracy):
        trial = self.trials[index]
        trial.report(accuracy, epoch)
        if epoch == FULL:
            self.study.tell(trial, accuracy)
        elif trial.should_prune():
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            return True
        return False


class TuneAsha:
    """Ray Tune's scheduler without a cluster; it looks at nothing of a trial but its name."""

    def __init__(self):
        from ray.tune.schedulers import AsyncHyperBandScheduler

        self.scheduler = AsyncHyperBandScheduler(
            metric="accuracy", mode="max", max_t=FULL, grace_period=1, reduction_factor=FACTOR
        )
        self.trials = {}

    def begin(self, index):
        self.trials[index] = SimpleNamespace(trial_id=str(index))
        self.scheduler.on_trial_add(None, self.trials[index])

    def goes_on(self, index, epoch, accuracy):
        result = {"training_iteration": epoch, "accuracy": accuracy}
        return self.scheduler.on_trial_result(None, self.trials[index], result) == "CONTINUE"


def halving(networks, order, workers, name):
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=FACTOR)
    return stop_early(networks, order, workers, Pruner(pruner, name))


def hyperband(networks, order, workers, name):
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=FULL, reduction_factor=FACTOR)
    return stop_early(networks, order, workers, Pruner(pruner, name))


def tune_asha(networks, order, workers, name):
    return stop_early(networks, order, workers, TuneAsha())


PEERS = {"Optuna, successive halving": halving, "Optuna, Hyperband": hyperband, "Ray Tune, ASHA": tune_asha}


# -- what came of it ---------------------------------------------------------------------------------------------------


def worth(networks, indices, goals):
    """Of fully trained networks: the best accuracy, or the share of the hypervolume."""
    if goals == 1:
        return max((networks[index].accuracy[-1] for index in indices), default=0.0)
    points = [(-each.accuracy[-1], each.macs) for each in networks]
    columns = list(zip(*points, strict=True))
    reference = [max(column) + MARGIN * (max(column) - min(column)) for column in columns]
    return hypervolume([points[index] for index in indices], reference) / hypervolume(points, reference)


def replays(seeds, goals, workers, orders, brackets):
    """By who decides: for each seed and order (share of the epochs, loss against all full trainings, completed)."""
    found = {}
    for seed, networks in enumerate(seeds):
        whole = worth(networks, range(len(networks)), goals)
        for number in range(orders):
            order = random.Random(f"{seed}:{number}").sample(range(len(networks)), len(networks))
            ours = climb(networks, order, workers, goals=goals, brackets=brackets)
            runs = {"rungs": ours}
            if goals == 2:
                runs["rungs, accuracy alone"] = climb(networks, order, workers, goals=1, brackets=brackets)
            for name, peer in PEERS.items():
                runs[name] = peer(networks, order, workers, f"{seed}:{number}")
            runs["fewer"] = dict.fromkeys(order[: sum(ours.values()) // FULL], FULL)
            for name, reached in runs.items():
                full = [index for index, epochs in reached.items() if epochs == FULL]
                share = sum(reached.values()) / (FULL * len(networks))
                row = (share, worth(networks, full, goals) - whole, len(full))
                found.setdefault(name, {}).setdefault(seed, []).append(row)
    return found


def report(found, goals, workers):
    unit = 100 if goals == 1 else 1
    what = "points of accuracy" if goals == 1 else "hypervolume"
    aims = "one objective" if goals == 1 else "accuracy and MACs"
    print(f"\n### {aims}, {workers} worker{'s' * (workers > 1)}\n")
    print(f"| who decides | epochs | most | trained fully | found all there was | {what} below | 95 % interval |")
    print("|---|---|---|---|---|---|---|")
    for name, seeds in found.items():
        rows = [row for runs in seeds.values() for row in runs]
        losses = [[loss for _, loss, _ in runs] for runs in seeds.values()]
        low, high = bootstrap(losses)
        most = max(share for share, *_ in rows)
        print(
            f"| {name} | {statistics.fmean(share for share, *_ in rows):.1%} | {most:.1%} "
            f"| {statistics.fmean(full for *_, full in rows):.1f} "
            f"| {statistics.fmean(loss > -1e-12 for _, loss, _ in rows):.0%} "
            f"| {unit * statistics.fmean(abs(loss) for _, loss, _ in rows):.3f} "
            f"| {abs(unit * high):.3f} to {abs(unit * low):.3f} |"
        )


def bootstrap(losses):
    """95 % of the mean over seeds, each with one of its orders."""
    rng, table = np.random.default_rng(0), np.array(losses)
    rows = rng.integers(len(table), size=(RESAMPLES, len(table)))
    columns = rng.integers(table.shape[1], size=rows.shape)
    return np.quantile(table[rows, columns].mean(axis=1), [0.025, 0.975])


def correlations(seeds):
    print(f"\n### Spearman's rank correlation with the accuracy after {FULL} epochs\n")
    print("| after | all networks | 95 % interval | seed by seed |\n|---|---|---|---|")
    levels = Rungs(1, FULL, FACTOR).levels[:-1]

    def of(networks):
        scores = [{str(level): each.accuracy[level - 1] for level in levels} for each in networks]
        return agreements(scores, [each.accuracy[-1] for each in networks], [""] * len(networks))

    each_seed = [of(networks) for networks in seeds]
    for place, (level, found) in enumerate(zip(levels, of([each for seed in seeds for each in seed]), strict=True)):
        alone = ", ".join(f"{rows[place].spearman:.2f}" for rows in each_seed)
        low, high = found.interval
        print(f"| {level} epoch{'s' * (level > 1)} | {found.spearman:.3f} | {low:.3f} to {high:.3f} | {alone} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", required=True, help="URL of the database with the full trainings")
    parser.add_argument("--train", action="store_true", help="make them first, or what is missing of them")
    parser.add_argument("--data", default="hf:zalando-datasets/fashion_mnist")
    parser.add_argument("--study", default="full", help="they are called STUDY-0, STUDY-1, ...")
    parser.add_argument("--checkpoints", default="checkpoints")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--orders", type=int, default=20, help="of arrival, for each seed")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--brackets", type=int, default=1)
    options = parser.parse_args()
    quiet()
    if options.train:
        train(options)
    seeds = read(options)
    if not seeds:
        sys.exit("no seed has all its networks: --train makes them")
    epochs = ", ".join(map(str, Rungs(1, FULL, FACTOR).levels))
    print(
        f"{len(seeds)} seeds of {NETWORKS} networks, rungs at {epochs} epochs, {options.orders} orders of arrival each"
    )
    correlations(seeds)
    for goals in (1, 2):
        for workers in options.workers:
            report(replays(seeds, goals, workers, options.orders, options.brackets), goals, workers)


if __name__ == "__main__":
    main()
