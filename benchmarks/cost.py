"""The closed form against fvcore's trace, on the same random architectures of every space, in the same run.

    python benchmarks/cost.py [--networks 300]

Prints how many parameters and MACs were equal and how many times faster the formula is; decoding and checking the
candidate, and building the module that the trace needs, are timed apart.
"""

import argparse
import random
import statistics
import time

import torch

import search_spaces
from nas.audit import traced_macs
from nas.costs import cost
from nas.model import build


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=300, help="how many, over all spaces and sizes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    cases = [(name, side) for name in search_spaces.SPACES for side in (8, 28, 32)]
    decode, formula, make, trace, equal_params, equal_macs = [], [], [], [], 0, 0
    for index in range(options.networks):
        name, side = cases[index % len(cases)]
        space, channels = search_spaces.get(name, side), rng.choice((1, 3))
        genome = space.sample(rng)
        started = time.perf_counter()
        architecture = space.decode(genome)
        decode.append(time.perf_counter() - started)
        started = time.perf_counter()
        counted = cost(architecture, num_classes=10, in_channels=channels)
        formula.append(time.perf_counter() - started)
        started = time.perf_counter()
        model = build(architecture, in_channels=channels, num_classes=10)
        make.append(time.perf_counter() - started)
        started = time.perf_counter()
        macs = traced_macs(model, resolution=side, in_channels=channels)
        trace.append(time.perf_counter() - started)
        equal_params += counted.params == sum(weight.numel() for weight in model.parameters())
        equal_macs += counted.macs == macs
    ratios = [slow / fast for slow, fast in zip(trace, formula, strict=True)]
    print(f"networks: {options.networks} of {', '.join(search_spaces.SPACES)} at 8, 28 and 32 px")
    print(f"parameters equal: {equal_params}, MACs equal: {equal_macs}")
    print(f"decode and check: median {statistics.median(decode) * 1e6:.0f} us")
    print(f"build:   median {statistics.median(make) * 1e3:.1f} ms")
    print(f"formula: median {statistics.median(formula) * 1e6:.0f} us, largest {max(formula) * 1e6:.0f} us")
    print(f"trace:   median {statistics.median(trace) * 1e3:.0f} ms")
    print(f"ratio:   median {statistics.median(ratios):.0f}x, smallest {min(ratios):.0f}x")


if __name__ == "__main__":
    main()
