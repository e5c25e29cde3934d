"""What the soak searches: a space too large to meet a candidate twice, and an evaluation that can be killed anywhere.

Four steps of equal length; the number of steps done is kept in the checkpoint, so that the next attempt goes on there.
Every start and end is a line of a ledger, which is how the soak knows what was done without asking the database.
"""

import json
import os
import time
from pathlib import Path

from nas import Space, one_of

STEPS = 4
SECONDS, LEDGER = "NAS_SOAK_SECONDS", "NAS_SOAK_LEDGER"  # of the environment
KINDS = ("skip", "conv3", "conv5")

space = Space({f"layer{index}": one_of(*KINDS) for index in range(24)})


def value_of(candidate):
    """Other candidates have other values; the same one always has the same."""
    places = {int(name.removeprefix("layer")): KINDS.index(kind) for name, kind in candidate.items()}
    return sum(kind * 3**index for index, kind in places.items()) / 3**24


def evaluate(candidate, budget, report):
    folder, value = Path(budget.checkpoint), value_of(candidate)
    kept = folder / "steps"
    done = int(kept.read_text()) if kept.exists() else 0
    note(folder, "start", value, done)
    for step in range(done + 1, STEPS + 1):
        time.sleep(float(os.environ[SECONDS]) / STEPS)
        half = folder / f"steps.{os.getpid()}"
        half.write_text(str(step))
        half.replace(kept)
        report(step, {"accuracy": value * step / STEPS})
    note(folder, "done", value, STEPS)
    return {"accuracy": value}


def note(folder, event, value, step):
    """One line, one write: lines of several processes never mix."""
    line = {"study": folder.parent.name, "trial": int(folder.name), "pid": os.getpid(), "event": event}
    line |= {"value": value, "step": step, "time": time.time()}
    ledger = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(ledger, json.dumps(line).encode() + b"\n")
    os.close(ledger)
