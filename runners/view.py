"""A search in progress, in words: one moment of it, and what happens to single trials."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from nas.goals import Goals
from nas.progress import BeganAgain, LostWorker, Note, Place, WentOn
from nas.ranking import broken
from nas.study import Study
from nas.trial import State, Trial
from nas.wording import quantity, short_network

WIDE = 160  # letters of a reason that is not the last one
HOSTS = 4  # that are named; the others are counted


@dataclasses.dataclass(frozen=True)
class View:
    """How far a search is at one moment.

    Attributes:
        running, workers: trials that workers have; how many there may be (0: the runner did not say).
        places: where the running ones are, as far as they have said so.
        paused: trials set aside, by the epochs of their rung. promoted: how often one went on.
        ended: trials by state. total: trials that there shall be.
        epochs, expected: trained, and about how many there will be; full: of one trial to its end.
        repeated: epochs trained twice.
        best: the first objective of the best trial, in words; empty before there is one.
        away: that the database is away, in words; empty when it is not.
    """

    running: int
    workers: int
    places: tuple[Place, ...]
    paused: Mapping[int, int]
    promoted: int
    ended: Mapping[State, int]
    total: int
    epochs: int
    expected: float
    full: int
    repeated: int
    best: str
    away: str

    @property
    def work(self) -> str:
        """Who runs where, who is set aside, who went on."""
        of = f" of {self.workers}" if self.workers else ""
        parts = [f"running {self.running}{of}{_where(self.places)}"]
        if self.paused:
            parts.append(f"paused {_rungs(self.paused)}")
        if self.promoted:
            parts.append(f"promoted {self.promoted}")
        return ", ".join(parts)

    @property
    def counts(self) -> str:
        """What has ended, and the best of it."""
        named = {State.COMPLETE: "complete", State.PRUNED: "pruned", State.FAIL: "failed"}
        parts = [f"{self.ended[state]} {word}" for state, word in named.items() if self.ended.get(state)]
        text = f"{', '.join(parts) or '0 complete'} of {self.total} trials"
        if self.repeated:
            text += f", {self.repeated} epochs trained twice"
        return ", ".join(part for part in (text, self.best, self.away) if part)

    @property
    def done(self) -> tuple[float, float]:
        """How much is done and how much there will be: epochs, or trials where each has one epoch."""
        if self.full == 1:
            return float(sum(self.ended.values())), float(self.total)
        return float(self.epochs), self.expected

    @property
    def share(self) -> str:
        """The same in words."""
        done, total = self.done
        return f"{done:,.0f} of {total:,.0f} trials" if self.full == 1 else f"{done:,.0f} of about {total:,.0f} epochs"

    def pace(self, before: float, seconds: float) -> str:
        """How fast it is and how long it will take, by what was done in `seconds` since there were `before`."""
        done, total = self.done
        if done <= before or seconds <= 0:
            return ""
        rate = (done - before) / seconds
        unit = "trials" if self.full == 1 else "epochs"
        return f"{rate * 60:.3g} {unit}/min, about {clock(max(0.0, total - done) / rate)} left"


def view_of(study: Study, ended: Mapping[State, int], best: Trial | None) -> View:
    """A moment of a study; `ended` and `best` are the caller's, who counts as trials end."""
    progress = study.progress
    away = "" if study.away_s is None else f"database away for {study.away_s:.0f} s, {study.pending} results wait"
    return View(
        running=study.at_work,
        workers=progress.workers,
        places=tuple(progress.places.values()),
        paused=Counter(study.ladder.waiting.values()),
        promoted=progress.promotions.total(),
        ended=dict(ended),
        total=study.total,
        epochs=progress.epochs,
        expected=study.epochs_expected,
        full=study.ladder.rungs.full,
        repeated=progress.repeated,
        best=_best(study, best),
        away=away,
    )


def ended_line(trial: Trial, goals: Goals) -> str:
    """A trial that has ended, with its values."""
    if trial.state is State.FAIL:
        return f"trial {trial.number} failed: {trial.reason}"
    begun = "" if trial.parent is None else f", from the weights of {trial.parent}"
    after = f"({trial.seconds or 0:.1f} s, {trial.origin}{begun})"
    if trial.state is State.PRUNED:
        return f"trial {trial.number} pruned: {_reached(trial, goals)}  {after}"
    values = "  ".join(f"{goal.name} {quantity(trial.metrics[goal.name])}" for goal in goals.objectives)
    if over := broken(trial, goals.all_limits):
        values += f"  over {', '.join(map(str, over))}"
    return f"trial {trial.number}: {values}  {after}  {short_network(trial)}"


def note_line(note: Note, trial: Trial, goals: Goals) -> str:
    """What happened to a trial that goes on."""
    match note:
        case WentOn(reached=reached, level=level):
            seen = {**trial.metrics, **trial.curve.get(reached, {})}
            return f"trial {note.number} goes on to {level} epochs after {_values(seen, goals)} at {reached}"
        case BeganAgain(epoch=epoch, had=had, host=host, before=before):
            line = f"trial {note.number} began again at epoch {epoch}: its checkpoint of epoch {had} was not there"
            return line if host and host == before else f"{line}; is --checkpoints shared by all nodes?"
        case LostWorker(attempt=attempt, reason=reason):
            return f"trial {note.number} is tried again after attempt {attempt}: {_short(reason)}"
    raise ValueError(f"{note!r} is no note that has words")


def _short(reason: str) -> str:
    """The first sentence of what may be a page."""
    first = reason.partition(". ")[0]
    return first if len(first) <= WIDE else f"{first[:WIDE]}..."


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03, or 2:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _reached(trial: Trial, goals: Goals) -> str:
    seen = {**trial.metrics, **trial.curve.get(trial.epochs, {})}
    return f"{_values(seen, goals)} at {trial.epochs}"


def _values(metrics: Mapping[str, float], goals: Goals) -> str:
    """The objectives that are there."""
    there = [goal.name for goal in goals.objectives if goal.name in metrics]
    return ", ".join(f"{name} {quantity(metrics[name])}" for name in there)


def _best(study: Study, best: Trial | None) -> str:
    """Of the complete trials; before there is one, of those at the highest rung."""
    goal = study.goals.objectives[0].name
    if best is not None:
        return f"best {goal} {quantity(best.metrics[goal])} (trial {best.number})"
    if study.ladder.leader is None:
        return ""
    level, number = study.ladder.leader
    seen = {**study.trials[number].metrics, **study.trials[number].curve.get(level, {})}
    return f"best so far {goal} {quantity(seen[goal])} at {level} (trial {number})" if goal in seen else ""


def _rungs(paused: Mapping[int, int]) -> str:
    """As in "8 at 1, 3 at 3 epochs"."""
    return ", ".join(f"{paused[level]} at {level}" for level in sorted(paused)) + " epochs"


def _where(places: tuple[Place, ...]) -> str:
    """Hosts with how many of them run there, GPUs by name where there is one host."""
    hosts = Counter(place.host for place in places)
    devices = sorted({place.device for place in places if place.device.startswith("cuda")})
    if len(hosts) < 2:
        return f" ({', '.join(devices[: 2 * HOSTS])}{', ...' if len(devices) > 2 * HOSTS else ''})" if devices else ""
    gpus = len({place for place in places if place.device.startswith("cuda")})
    named = [f"{host} {count}" for host, count in sorted(hosts.items())[:HOSTS]]
    named += [f"{len(hosts) - HOSTS} more hosts"] if len(hosts) > HOSTS else []
    return f" ({', '.join(named)}{f'; {gpus} GPUs' if gpus else ''})"
