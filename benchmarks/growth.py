"""What a long search costs: its pace late against early, and how long and how much memory it takes to open it again.

    python benchmarks/growth.py pace [--trials 10000]       # trial 10,000 against trial 1,000
    python benchmarks/growth.py open [--trials 20000]       # opening a study of 20,000 trials

32 genes with 4 options, nothing to train, inline, SQLite in a temporary directory.

`pace`: the median time between two ends in the 200 trials before number --early and in the last 200, and their ratio
(1 means that the search does not slow down).
`open`: the study is written by a search itself (random, inline). Then, each in a fresh process, the search is asked for
one trial more, with the sampler's name as given; and as peers, the same search for the first trial of an empty study,
and plain Optuna loading all trials of the study from its storage. Time is that of the call, imports apart; memory is
the largest the process ever held.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WINDOW = 200


def searched(url, trials, sampler, folder, watch=None):
    """Carry on the study to so many trials."""
    import noop

    from nas import search

    return search(
        noop.space(), noop.evaluate, objectives=noop.GOALS[:1], trials=trials, sampler=sampler, storage=url,
        study="growth", runner="inline", watch=watch, checkpoints=folder / "checkpoints",
    )  # fmt: skip


def pace(options):
    """Milliseconds a trial, early and late."""
    ends = []

    def watch(study):
        ends.extend([time.perf_counter()] * (len(study.finished) - len(ends)))

    with tempfile.TemporaryDirectory(prefix="nas-bench-") as name:
        searched(f"sqlite:///{name}/growth.db", options.trials, options.sampler, Path(name), watch)

    def window(last):
        times = ends[last - WINDOW - 1 : last]
        return 1000 * statistics.median(after - before for before, after in itertools.pairwise(times))

    early, late = window(options.early), window(options.trials)
    return {
        "early": options.early,
        "trials": options.trials,
        "early_ms": early,
        "late_ms": late,
        "seconds": ends[-1] - ends[0],
        "ratio": early / late,
    }


def opened(options):
    """Seconds and MB of each way to open a large study, each in its own process."""

    def child(what, *arguments):
        command = [sys.executable, __file__, "child", what, *map(str, arguments)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)

    with tempfile.TemporaryDirectory(prefix="nas-bench-") as name:
        large, empty = f"sqlite:///{name}/growth.db", f"sqlite:///{name}/empty.db"
        found = {"written": child("search", large, options.trials, "random", name)}
        for more, sampler in enumerate(options.samplers, 1):
            found[sampler] = child("search", large, options.trials + more, sampler, name)
        found["empty study"] = child("search", empty, 1, "random", name)
        found["plain Optuna"] = child("plain", large)
    return found


def run_child(options):
    """In a fresh process: do one thing and print what it took."""
    import noop
    import optuna

    noop.quiet()
    what, url, *rest = options.arguments
    started = time.perf_counter()
    if what == "search":
        trials, sampler, name = rest
        searched(url, int(trials), sampler, Path(name))
    else:
        optuna.load_study(storage=url, study_name="growth").get_trials(deepcopy=False)
    seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps({"seconds": seconds, "mb": peak_mb()}) + "\n")


def peak_mb():
    """The most memory this process held. Linux counts ru_maxrss on from before exec, so its own figure is read."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ways = parser.add_subparsers(dest="way", required=True, metavar="pace|open")
    paced = ways.add_parser("pace", help="time of a trial, late against early")
    paced.add_argument("--trials", type=int, default=10_000)
    paced.add_argument("--early", type=int, default=1000)
    paced.add_argument("--sampler", default="random", help="random or evolution [default: random]")
    large = ways.add_parser("open", help="time and memory to go on with a large study")
    large.add_argument("--trials", type=int, default=20_000)
    large.add_argument("--samplers", nargs="+", default=["random", "auto"])
    for way in (paced, large):
        way.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    ways.add_parser("child").add_argument("arguments", nargs="+")
    options = parser.parse_args()
    if options.way == "child":
        run_child(options)
        return
    if options.way == "pace" and not WINDOW < options.early <= options.trials:
        parser.error(f"--early is more than {WINDOW} and at most --trials")
    found = pace(options) if options.way == "pace" else opened(options)
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    elif options.way == "pace":
        for when in ("early", "late"):
            print(f"trial {found['trials' if when == 'late' else 'early']:,}: {found[f'{when}_ms']:.2f} ms")
        print(f"pace late / early: {found['ratio']:.2f}x")
    else:
        for name, row in found.items():
            print(f"{name}: {row['seconds']:.2f} s, {row['mb']:.0f} MB")
        for name in options.samplers:
            times = found["plain Optuna"]["seconds"] / found[name]["seconds"]
            memory = found[name]["mb"] / found["empty study"]["mb"]
            print(f"{name}: {times:.1f}x faster than plain Optuna loads it, {memory:.1f}x the memory of an empty study")


if __name__ == "__main__":
    main()
