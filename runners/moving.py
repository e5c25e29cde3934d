"""How far the front of a study moved lately, in one line."""

from __future__ import annotations

from nas.history import WINDOWS, History
from nas.wording import quantity


def moved_line(history: History) -> str:
    """Of the best value, or the hypervolume of the front, over the last trainings."""
    newest, value = history.newest, history.value()
    if newest is None or value is None:
        return f"nothing complete yet after {_trainings(history.trainings)}"
    single = len(history.objectives) == 1
    ago = f"{_trainings(newest.ago)} ago" if newest.ago else "the newest training"
    if single:
        text = f"best {history.objectives[0].name} {quantity(value)} since trial {newest.trial.number}, {ago}"
    else:
        networks = "1 network" if history.front == 1 else f"{history.front} networks"
        text = f"front: {networks}, the newest is trial {newest.trial.number}, {ago}"
    gains = {window: gained for window in WINDOWS if (gained := history.gained(window)) is not None}
    if not gains:
        return text
    shown = [f"{_gain(gained, value, single=single)} in the last {window}" for window, gained in gains.items()]
    said = f"{shown[0]} trainings" + "".join(f", {each}" for each in shown[1:] if any(gains.values()))
    return f"{text}; {'' if single else 'hypervolume '}{said}"


def _trainings(count: int) -> str:
    return f"{count} training" if count == 1 else f"{count} trainings"


def _gain(gained: float, value: float, *, single: bool) -> str:
    """The change of a metric, or of the hypervolume in percent of what it was."""
    if gained == 0:
        return "unchanged"
    if single:
        return f"{gained:+.4f}" if 5e-5 <= abs(gained) < 1 else f"{gained:+.3g}"
    before = value - gained
    return f"{gained / before:+.1%}" if before else "up from nothing"
