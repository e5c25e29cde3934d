"""Real tables of networks that others trained, as spaces with accuracies and costs, for benchmarks/sampler.py.

A folder holds nas_bench_201.parquet, nats_bench_sss_cifar10.parquet and flexibert_small.parquet.
"""

import numpy as np
from pyarrow import parquet

from nas import Space, one_of
from nas.hypervolume import hypervolume

EDGES = ["e_0to1", "e_0to2", "e_1to2", "e_0to3", "e_1to3", "e_2to3"]
OPERATIONS = ["none", "skip", "conv1", "conv3", "pool"]


class Table:
    """A space, and accuracy (in per cent) and cost by candidate; `missing` candidates are over a limit."""

    def __init__(self, space, key, accuracy, cost, *, limits=()):
        self.space, self.key, self.accuracy, self.cost, self.limits = space, key, accuracy, cost, list(limits)
        self.accuracies = np.array(list(accuracy.values()))
        self.dearest = max(cost.values(), default=0.0)
        self.tight = float(np.quantile(list(cost.values()), 0.25)) if cost else None
        self.reference = float(np.quantile(self.accuracies, 0.25)), self.dearest
        self.whole = area([(accuracy[key], cost[key]) for key in cost], self.reference) if cost else None
        self.best = max(value for key, value in accuracy.items() if not cost or cost[key] <= self.tight)

    def evaluate(self, candidate, budget, report):  # noqa: ARG002
        return {"accuracy": float(self.accuracy[self.key(candidate)])}

    def costs(self, candidate):
        key = self.key(candidate)
        if not self.cost:
            return {"missing": float(key not in self.accuracy)}
        return {"cost": float(self.cost[key])}


def nas_bench_201(folder, accuracy, cost):
    table = parquet.read_table(folder / "nas_bench_201.parquet", columns=[*EDGES, accuracy, cost]).to_pydict()
    keys = [tuple(OPERATIONS[code] for code in row) for row in zip(*(table[name] for name in EDGES), strict=True)]
    space = Space({name: one_of(*OPERATIONS) for name in EDGES}, legal=True)
    return Table(space, flat, dict(zip(keys, table[accuracy], strict=True)), dict(zip(keys, table[cost], strict=True)))


def nats_bench(folder):
    names = [f"c{index}" for index in range(5)]
    table = parquet.read_table(folder / "nats_bench_sss_cifar10.parquet").to_pydict()
    keys = list(zip(*(table[name] for name in names), strict=True))
    space = Space({name: one_of(*range(8, 65, 8)) for name in names}, legal=True)
    return Table(space, flat, dict(zip(keys, table["acc"], strict=True)), {key: macs_of(key) for key in keys})


def flexibert(folder, accuracy):
    """Of 332,352 encoders 620 were trained: the others are over a limit."""
    table = parquet.read_table(folder / "flexibert_small.parquet").to_pydict()
    fields = {"heads": (2, 4), "hidden": (128, 256), "att": ("sdp", "wma"), "ff": (512, 1024, 2048)}

    def layers(count):
        return [{name: one_of(*options) for name, options in fields.items()} for _ in range(count)]

    known = {
        tuple(tuple(table[f"{field}{layer}"][row] for field in fields) for layer in range(table["n_layer"][row])): value
        for row, value in enumerate(table[accuracy])
        if value is not None and value == value  # noqa: PLR0124 - not a number
    }
    space = Space({"layers": one_of(two=layers(2), four=layers(4))}, legal=True)
    accuracies = {key: 100 * value for key, value in known.items()}
    return Table(space, stacked, accuracies, {}, limits=["missing<=0"])


def flat(candidate):
    return tuple(candidate.values())


def stacked(candidate):
    return tuple(tuple(layer.values()) for layer in candidate["layers"])


def macs_of(channels):
    """Of the dominant convolutions: five cells of residual 3x3 pairs on 32, 16 and 8 pixels."""
    sides, total, before = (32, 32, 16, 16, 8), 0.0, 3
    for side, width in zip(sides, channels, strict=True):
        total += side * side * 9 * (before * width + 5 * width * width)
        before = width
    return total / 1e6


def area(points, reference):
    """Of what points (accuracy, cost) dominate above and left of the reference."""
    return hypervolume([(-accuracy, cost) for accuracy, cost in points], (-reference[0], reference[1]))


SETTINGS = {
    "nb201-flops": lambda folder: nas_bench_201(folder, "c10_val_ep12", "flops_M_c10"),
    "nb201-1080ti": lambda folder: nas_bench_201(folder, "c100_val_ep12", "lat_1080ti_1"),
    "nb201-pixel3": lambda folder: nas_bench_201(folder, "in16_val_ep12", "lat_pixel3"),
    "nb201-raspi4": lambda folder: nas_bench_201(folder, "c10_val_ep12", "lat_raspi4"),
    "nats-macs": nats_bench,
    "flexibert": lambda folder: flexibert(folder, "sst2_acc"),
}
