"""What shrinking a space keeps, where the worth of every option is known.

    python benchmarks/shrinking.py [--space metaformer --resolution 28] [--seeds 6] [--candidates 256]

Every option of every gene adds a planted worth to the accuracy (normal, with a deviation of 0, 0.2, 0.5 or 2 points by
gene), judging adds noise. Prints how far scores and plain means are from the planted differences between options, and,
for each `z`, by how much the best network left is worse than the best of all (by climbing), how much better the average
network became, and how many candidates are left.
"""

import argparse
import itertools
import math
import random
import statistics

import search_spaces
from nas.errors import SpaceError
from nas.narrow import narrowed
from nas.supernet.shrinking import Judged, Rule, scored, shrink


class Planted:
    """A supernet whose judgement is the planted worth and noise."""

    def __init__(self, space, seed, noise):
        rng = random.Random(seed)
        self.worths = {}
        for gene in space.genes:
            spread = rng.choice([0, 0.002, 0.005, 0.02])
            self.worths |= {(gene.path, label): rng.gauss(0, spread) for label in gene.options}
        self.rng, self.noise = random.Random(seed + 1), noise

    def of(self, params):
        return sum(self.worths[each] for each in params.items())

    def judge(self, space, genomes, classes=()):  # noqa: ARG002 - as the contract has it
        return [
            Judged(each, 0.6 + self.of(space.params(each)) + self.rng.gauss(0, self.noise), 1.0) for each in genomes
        ]

    def best(self, space):
        rng, tops = random.Random(5), []
        for _ in range(4):
            genome = space.sample(rng)
            top = self.of(space.params(genome))
            for _ in range(400):
                try:
                    other = space.mutate(genome, rng)
                except SpaceError:
                    break
                if (value := self.of(space.params(other))) > top:
                    genome, top = other, value
            tops.append(top)
        return max(tops)

    def mean(self, space):
        rng = random.Random(6)
        return statistics.fmean(self.of(space.params(space.sample(rng))) for _ in range(200))


def errors(space, seed, count):
    """Squared errors of the scores' differences and of the plain means', in genes that hang on none and bear none."""
    planted, rng = Planted(space, seed, 0.01), random.Random(seed)
    judged = planted.judge(space, [space.sample(rng) for _ in range(count)])
    parents = {gene.parent for gene in space.genes}
    alone = {gene.path for index, gene in enumerate(space.genes) if gene.parent is None and index not in parents}
    rows = [each for each in scored(space, judged) if each.gene in alone and each.judged >= 5]
    found = []
    for first, other in itertools.pairwise(rows):
        if first.gene == other.gene:
            true = planted.worths[first.gene, first.label] - planted.worths[first.gene, other.label]
            means = [
                statistics.fmean(j.accuracy for j in judged if space.params(j.genome)[each.gene] == each.label)
                for each in (first, other)
            ]
            found.append(((first.score - other.score - true) ** 2, (means[0] - means[1] - true) ** 2))
    return found


def untrained(number, space, classes, epochs):
    pass


def course(space, seed, noise, rule, candidates):
    planted, left = Planted(space, seed, noise), space
    for phase in shrink(
        space, range(10), train=untrained, judge=planted.judge, candidates=candidates, rule=rule, seed=seed
    ):
        left = narrowed(left, phase.kept)
    return planted.best(space) - planted.best(left), planted.mean(left) - planted.mean(space), math.log10(phase.after)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="metaformer")
    parser.add_argument("--resolution", type=int, default=28)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--candidates", type=int, default=256)
    given = parser.parse_args()
    space = search_spaces.get(given.space, given.resolution)
    print(f"{len(space)} genes, {sum(len(gene.options) for gene in space.genes)} options, {space.count()} candidates")
    print("judged  error of scores  of plain means (points)")
    for count in (60, 120, 256, 600):
        pairs = [pair for seed in range(given.seeds) for pair in errors(space, seed, count)]
        ours, plain = (100 * math.sqrt(statistics.fmean(each)) for each in zip(*pairs, strict=True))
        print(f"{count:6}  {ours:15.2f}  {plain:14.2f}")
    print("noise  z  best lost  mean gained (points)  log10 of candidates left")
    for noise in (0.005, 0.02, 0.05):
        for z in (0.0, 1.0, 2.0):
            rows = [course(space, seed, noise, Rule(z=z), given.candidates) for seed in range(given.seeds)]
            lost, gained, left = (statistics.fmean(each) for each in zip(*rows, strict=True))
            print(f"{100 * noise:5.1f}  {z:g}  {100 * lost:9.2f}  {100 * gained:20.2f}  {left:24.1f}")


if __name__ == "__main__":
    main()
