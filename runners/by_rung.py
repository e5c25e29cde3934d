"""Trials by rung, of a study that is read back: how many came how far, and what that cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from nas.fidelity import Rungs
from nas.objectives import Objective
from nas.reached import AtRung, by_rung, epochs
from nas.trial import State, Trial
from nas.wording import quantity


def spent_line(trials: Sequence[Trial], rungs: Rungs) -> str:
    """The same in words; empty where there is one rung alone."""
    spent, full = epochs(trials, rungs)
    if len(rungs.levels) == 1 or not full:
        return ""
    return f"{spent:,} of {full:,} epochs that full training of all would have taken"


def rungs_line(trials: Sequence[Trial], rungs: Rungs) -> str:
    """As in "27 reached epoch 1 (18 pruned there), 9 reached epoch 3"; empty where there is one rung alone."""
    if len(rungs.levels) == 1:
        return ""
    return ", ".join(_rung(each) for each in by_rung(trials, rungs))


def _rung(rung: AtRung) -> str:
    stayed = [f"{count} {word}" for count, word in ((rung.paused, "paused"), (rung.pruned, "pruned")) if count]
    beside = f" ({', '.join(stayed)} there)" if stayed else ""
    return f"{rung.reached} reached epoch {rung.epochs}{beside}"


def rungs_json(trials: Sequence[Trial], rungs: Rungs) -> dict[str, Any]:
    """Epochs trained, epochs of full training of the same trials, and the rungs, as JSON types."""
    spent, full = epochs(trials, rungs)
    return {
        "epochs": spent,
        "epochs_full": full,
        "rungs": [dataclasses.asdict(each) for each in by_rung(trials, rungs)],
    }


def state_counts(trials: Sequence[Trial], rungs: Rungs) -> str:
    """How many are in each state: "2 running (1 to 3, 1 to 9 epochs), 8 paused (5 at 1, 3 at 3 epochs), ..."."""
    words = []
    for state in State:
        there = [trial for trial in trials if trial.state is state]
        where = ""
        if there and len(rungs.levels) > 1 and state in (State.RUNNING, State.PAUSED):
            stops = [trial.budget.stop for trial in there]
            word = "to" if state is State.RUNNING else "at"
            where = ", ".join(f"{stops.count(stop)} {word} {stop}" for stop in sorted(set(stops)))
            where = f" ({where} epochs)"
        words.append(f"{len(there)} {state}{where}")
    return ", ".join(words)


def foremost(trials: Sequence[Trial], objectives: Sequence[Objective]) -> str:
    """Before one is complete: who came farthest and is best there, in words; empty when nobody has come anywhere."""
    goal = objectives[0]
    begun = [trial for trial in trials if not trial.ended or trial.state is State.PRUNED]
    seen: list[tuple[Trial, Mapping[str, float]]] = [(trial, trial.curve.get(trial.epochs, {})) for trial in begun]
    there = [(trial, metrics[goal.name]) for trial, metrics in seen if goal.name in metrics]
    if not there:
        return ""
    sign = -1 if goal.maximize else 1
    trial, value = min(there, key=lambda pair: (-pair[0].epochs, sign * pair[1], pair[0].number))
    return f"farthest is trial {trial.number}: {goal.name} {quantity(value)} at {trial.epochs} epochs"
