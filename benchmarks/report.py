"""What a report of a large study costs: seconds to write, size, and seconds until a browser shows it.

    python benchmarks/report.py [--trials 10000] [--epochs 1:9]

30 genes, a third of them only under others, rungs and curves; nothing is trained, inline, SQLite in a temporary
directory. The report is written by `nas report` in a process of its own, so imports count; memory is the largest it
held. The browser is the Chromium of this machine, driven by Playwright; its time is that of the `load` event, a fresh
page each time, the slowest of three.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nas import Space, one_of, search


def space():
    """10 stages: a mixer that may bring a kernel or a stride, and a width."""
    return Space(
        {
            f"stage{index}": {
                "mixer": one_of(plain="plain", conv={"kernel": one_of(1, 3, 5, 7)}),
                "width": one_of(16, 32, 48, 64),
            }
            for index in range(10)
        }
    )


def evaluate(candidate, budget, report):
    """An accuracy that follows from a few genes, with a little noise, after fewer epochs less of it."""
    rng = random.Random(budget.seed)
    worth = sum(stage["width"] for stage in candidate.values()) / 640 * 0.3
    kernels = [stage["mixer"]["kernel"] if stage["mixer"] != "plain" else 0 for stage in candidate.values()]
    worth += 0.05 * kernels[0] + 0.02 * kernels[1]
    if rng.random() < 0.01:
        raise ValueError(f"it went wrong after {rng.randrange(100)} steps")
    for epoch in range(budget.start + 1, budget.stop + 1):
        report(epoch, {"accuracy": (worth + rng.gauss(0, 0.02)) * (1 - 0.5 / epoch)})
    return {"accuracy": worth + rng.gauss(0, 0.01)}


def costs(candidate):
    """Known before."""
    widths = [stage["width"] for stage in candidate.values()]
    return {"macs": float(sum(width * width for width in widths)), "params": float(sum(widths))}


def written(url, folder, trials, epochs):
    """The study."""
    started = time.perf_counter()
    search(
        space(), evaluate, objectives=["accuracy:max"], costs=costs, constraints=["macs<=30000"], trials=trials,
        sampler="random", storage=url, study="large", runner="inline", epochs=epochs, checkpoints=folder / "kept",
    )  # fmt: skip
    print(f"study of {trials:,} trials written in {time.perf_counter() - started:.1f} s", flush=True)


def reported(url, path):
    """Seconds, those of the processor, and MB of memory at the most."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "nas", "report", "large", "--storage", url, "--to", str(path), "--force"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("nas report failed")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def loaded(path, times=3):
    """Seconds until the page is loaded; the slowest of so many."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for _ in range(times):
            page = browser.new_page()
            started = time.perf_counter()
            page.goto(path.resolve().as_uri(), wait_until="load")
            found.append(time.perf_counter() - started)
            page.close()
        browser.close()
    return max(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", default="1:9")
    parser.add_argument("--keep", type=Path, help="keep the report and the database in this directory")
    options = parser.parse_args()
    low, _, high = options.epochs.partition(":")
    with tempfile.TemporaryDirectory(prefix="nas-bench-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{folder.absolute()}/report.db"
        written(url, folder, options.trials, (int(low), int(high or low)))
        for ending in ("html", "md", "json"):
            path = folder / f"report.{ending}"
            seconds, cpu, memory = reported(url, path)
            size = f"{path.stat().st_size / 1e6:.2f} MB, {memory:.0f} MB of memory"
            print(f"{ending}: {seconds:.1f} s ({cpu:.1f} s of processor), {size}", flush=True)
        print(f"opened in Chromium: {loaded(folder / 'report.html'):.2f} s")


if __name__ == "__main__":
    main()
