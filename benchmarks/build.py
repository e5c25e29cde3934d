"""Building CvT-13 from its value, against transformers building the same network: a ratio in the same run.

    python benchmarks/build.py [--rounds 15]

Needs transformers (`pip install 'mixer-nas[parity]'`).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from nas import zoo
from nas.model import build


def main() -> None:
    """Build both in turn, so that what else the machine does meets both, and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    from transformers import CvtConfig, CvtForImageClassification

    config = CvtConfig(num_labels=1000)
    builders: dict[str, Callable[[], object]] = {
        "ours, published initialisation": lambda: build(zoo.get("cvt-13"), init=zoo.entry("cvt-13").init),
        "ours, as searches build it": lambda: build(zoo.get("cvt-13")),
        "transformers": lambda: CvtForImageClassification(config),
    }
    seconds: dict[str, list[float]] = {name: [] for name in builders}
    for _ in range(rounds + 1):
        for name, make in builders.items():
            started = time.perf_counter()
            make()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up
    for name, median in medians.items():
        ratio = median / medians["transformers"]
        print(f"{name}: {1000 * median:.0f} ms, {ratio:.2f}x transformers")


if __name__ == "__main__":
    main()
