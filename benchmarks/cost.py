"""The closed form against fvcore's trace, on the same architectures, in the same run.

    python benchmarks/cost.py [--networks 300] [--published]

Random architectures of every space, or with --published the networks of the zoo at their own resolution, as far as
--gmacs goes (the trace runs them). Prints how many parameters and MACs were equal and how many times
faster the formula is; decoding and checking the candidate, and building the module that the trace needs, are timed
apart.
"""

import argparse
import random
import statistics
import time
from collections import defaultdict

import torch

import search_spaces
from nas import zoo
from nas.audit import traced_macs
from nas.costs import cost
from nas.errors import InputError
from nas.model import build

SIDES = (8, 28, 32)


def candidates(count, seed):
    """Random architectures of every space in turn, as (decode, channels, classes)."""
    rng, spaces = random.Random(seed), []
    for name in search_spaces.SPACES:
        for side in SIDES:
            try:
                spaces.append(search_spaces.get(name, side))
            except InputError:
                print(f"{name} does not take {side} px")
    for index in range(count):
        space = spaces[index % len(spaces)]
        genome = space.sample(rng)
        yield lambda space=space, genome=genome: space.decode(genome), rng.choice((1, 3)), 10


def published(gmacs):
    """The networks of the zoo up to a cost."""
    for name in zoo.names():
        if cost(zoo.get(name)).macs <= gmacs * 1e9:
            yield lambda name=name: zoo.get(name), 3, zoo.entry(name).classes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=300, help="how many, over all spaces and sizes")
    parser.add_argument("--published", action="store_true", help="the networks of the zoo instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gmacs", type=float, default=8, help="the largest of those")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds, equal_params, equal_macs = defaultdict(list), 0, 0

    def timed(what, work):
        started = time.perf_counter()
        result = work()
        seconds[what].append(time.perf_counter() - started)
        return result

    cases = published(options.gmacs) if options.published else candidates(options.networks, options.seed)
    for decode, channels, classes in cases:
        architecture = timed("decode and check", decode)
        counted = timed("formula", lambda: cost(architecture, num_classes=classes, in_channels=channels))  # noqa: B023
        model = timed("build", lambda: build(architecture, in_channels=channels, num_classes=classes))  # noqa: B023
        macs = timed("trace", lambda: traced_macs(model, resolution=architecture.resolution, in_channels=channels))  # noqa: B023
        equal_params += counted.params == sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        equal_macs += counted.macs == macs
    ratios = [slow / fast for slow, fast in zip(seconds["trace"], seconds["formula"], strict=True)]
    print(f"networks: {len(ratios)}; parameters equal: {equal_params}, MACs equal: {equal_macs}")
    for what, times in seconds.items():
        print(f"{what}: median {1e6 * statistics.median(times):,.0f} us, largest {1e6 * max(times):,.0f} us")
    print(f"ratio of trace to formula: median {statistics.median(ratios):,.0f}x, smallest {min(ratios):,.0f}x")


if __name__ == "__main__":
    main()
