"""Opening a large study in a browser: ours against the unmodified dashboard, on the same database and server.

    python benchmarks/dashboard.py                   # makes a study of 10,000 trials first: a few minutes
    python benchmarks/dashboard.py --trials 1000
    python benchmarks/dashboard.py --url sqlite:///dashboard.db             # makes it there, or finds it there

32 genes with 4 options, two objectives. Debian's Chromium opens the page of the study; the clock runs until the first
plot has points. `cold` is the first look at a server that has just started, `warm` the median of the next ones. The
trial list is fetched once more by itself, for its bytes and the server's time, and the importances.
"""

import argparse
import contextlib
import gzip
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import noop

from nas import search
from nas.store.reading import study_names

STUDY = "dashboard"
DRAWN = "() => !!document.querySelector('.js-plotly-plot .points path, .js-plotly-plot .gl-container canvas')"
PATIENCE_S = 600


def make(url, trials, folder):
    """The study, through our own store."""
    with contextlib.suppress(Exception):
        if STUDY in study_names(url):
            return
    search(
        noop.space(), noop.evaluate, objectives=noop.GOALS, constraints={"macs": "<= 1"}, trials=trials,
        sampler="random", storage=url, study=STUDY, runner="inline", checkpoints=folder / "checkpoints",
    )  # fmt: skip


@contextlib.contextmanager
def served(command):
    """Run a server; its base address once it answers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    base = f"http://127.0.0.1:{port}"
    try:
        ends = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{base}/api/studies", timeout=10).read()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > ends:
                    raise SystemExit(f"{command[0]} did not start") from None
                time.sleep(0.2)
        yield base
    finally:
        process.terminate()
        process.wait(timeout=30)


def fetched(address):
    """Seconds, bytes on the wire, bytes unpacked."""
    request = urllib.request.Request(address, headers={"Accept-Encoding": "gzip"})
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        body = answer.read()
        packed = answer.headers.get("Content-Encoding") == "gzip"
    return time.perf_counter() - started, len(body), len(gzip.decompress(body) if packed else body)


def opened(browser, address):
    """Seconds until the first plot has points."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    started = time.perf_counter()
    page.goto(address, wait_until="commit", timeout=1000 * PATIENCE_S)
    page.wait_for_function(DRAWN, timeout=1000 * PATIENCE_S, polling=50)
    seconds = time.perf_counter() - started
    page.close()
    return seconds


def measured(command, looks):
    """Of one server."""
    from playwright.sync_api import sync_playwright

    with served(command) as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = f"{base}/dashboard/studies/1"
        cold = opened(browser, page)
        warm = [opened(browser, page) for _ in range(looks)]
        browser.close()
        seconds, wire, full = fetched(f"{base}/api/studies/1?after=0")
        importance_s, _, _ = fetched(f"{base}/api/studies/1/param_importances")
    return {
        "cold_s": cold,
        "warm_s": statistics.median(warm),
        "list_s": seconds,
        "wire_bytes": wire,
        "bytes": full,
        "importances_s": importance_s,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--looks", type=int, default=3, help="of which the median is taken [3]")
    parser.add_argument("--url", help="a SQLite database of its own [a temporary one]")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)  # serve the unmodified dashboard of --url there
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args()
    if options.port:
        import optuna_dashboard
        import waitress
        from optuna.storages import RDBStorage

        waitress.serve(optuna_dashboard.wsgi(RDBStorage(options.url)), host="127.0.0.1", port=options.port)
        return
    if shutil.which("chromium") is None:
        parser.error("Chromium is needed")
    noop.quiet()
    with tempfile.TemporaryDirectory(prefix="nas-bench-") as name:
        url = options.url or f"sqlite:///{name}/dashboard.db"
        make(url, options.trials, Path(name))
        commands = {
            "ours": [sys.executable, "-m", "nas", "dashboard", "--storage", url],
            "stock": [sys.executable, __file__, "--url", url],
        }
        found = {who: measured(command, options.looks) for who, command in commands.items()}
    ours, stock = found["ours"], found["stock"]
    found["ratios"] = {name: stock[name] / ours[name] for name in ours}
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for who in ("ours", "stock"):
        row = found[who]
        print(
            f"{who}: first plot after {row['cold_s']:.1f} s, later {row['warm_s']:.1f} s; trial list "
            f"{row['list_s']:.2f} s, {row['wire_bytes']:,} bytes ({row['bytes']:,} unpacked); importances "
            f"{row['importances_s']:.1f} s"
        )
    print(", ".join(f"{name.removesuffix('_s')} {ratio:.1f}x" for name, ratio in found["ratios"].items()))


if __name__ == "__main__":
    main()
