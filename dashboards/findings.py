"""All that a report tells of a study, as numbers; words and pictures are made of them elsewhere."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from dashboards.correlations import Scores, Short, scores, short_trainings
from dashboards.course import Climb, climb, courses
from dashboards.course import Course as Progress
from dashboards.effects import Effect, effects
from dashboards.evidence import judge_of, telling_level, values_at
from dashboards.failures import Failure, failures
from dashboards.fronts import Front, front_of
from dashboards.headline import Headline, headline
from dashboards.importance import Importance, importance
from dashboards.provenance import Provenance, provenance
from dashboards.shrinking import course_of
from nas.architecture import Architecture
from nas.store.accounts import Account
from nas.supernet import BY_SUPERNET
from nas.supernet.course import Course
from nas.trial import Source, State

FORMAT = "mixer-nas report"  # what a report file is known by


@dataclasses.dataclass(frozen=True)
class Findings:
    """What is found in a study.

    Attributes:
        format, version: of this description. study: its name. now: who drives it, empty for nobody.
        objectives, limits: what it searches. states: trials by state. reused, adopted: that it did not train itself.
        inherited: trials that began with the weights of another.
        headline: the best and its rivals. front: accuracy against cost. courses: progress, of random search too.
        climb: rungs. level: epochs at which choices are judged, and judged: networks that came there.
        importance, effects: of the genes. short: rank correlations of short trainings. scores: of scores without
            training. shrinking: what became of the options while a supernet was trained.
            by_supernet: whether it judged the trials. failures: by reason.
        provenance: how to repeat it. winner: the best network itself.
    """

    format: str
    version: int
    study: str
    now: str
    objectives: tuple[str, ...]
    limits: tuple[str, ...]
    states: Mapping[str, int]
    reused: int
    adopted: int
    inherited: int
    headline: Headline
    front: Front | None
    courses: tuple[Progress, ...]
    climb: Climb
    level: int
    judged: int
    importance: Importance
    effects: tuple[Effect, ...]
    short: tuple[Short, ...]
    scores: Scores | None
    shrinking: Course | None
    by_supernet: bool
    failures: tuple[Failure, ...]
    provenance: Provenance
    winner: Any

    def as_json(self) -> dict[str, Any]:
        """The same as JSON types; what no number is becomes null."""
        found: dict[str, Any] = _plain(dataclasses.asdict(dataclasses.replace(self, winner=None)))
        found["importance"]["verdict"] = self.importance.verdict
        if self.scores is not None:
            for row, each in zip(found["scores"]["agreements"], self.scores.agreements, strict=True):
                row["verdict"] = each.verdict
        found["winner"] = self.winner.as_json() if isinstance(self.winner, Architecture) else _plain(self.winner)
        return found


def findings(account: Account, *, seed: int = 0) -> Findings:
    """Of a study as it was read; the same numbers for the same `seed` of what is drawn at random."""
    record = account.record
    judge, driver = judge_of(record), record.driver
    level = telling_level(record, judge.name)
    values = values_at(record.trials, judge.name, level)
    top = headline(account)
    by_number = {trial.number: trial for trial in record.trials}
    return Findings(
        format=FORMAT,
        version=1,
        study=record.name,
        now=f"process {driver['pid']} on {driver['host']}" if driver else "",
        objectives=tuple(map(str, record.objectives)),
        limits=tuple(map(str, record.limits)),
        states={state.value: sum(trial.state is state for trial in record.trials) for state in State},
        reused=sum(trial.source is Source.REUSED for trial in record.trials),
        adopted=sum(trial.source is Source.ADOPTED for trial in record.trials),
        inherited=sum(trial.parent is not None for trial in record.trials),
        headline=top,
        front=front_of(account),
        courses=courses(account),
        climb=climb(record),
        level=level,
        judged=len(values),
        importance=importance(account.choices, account.taken, values, seed=seed),
        effects=effects(account.choices, account.taken, values, judge),
        short=short_trainings(record, judge.name, seed=seed),
        scores=scores(record, judge, seed=seed),
        shrinking=course_of(record.settings),
        by_supernet=record.settings.get("weights") == BY_SUPERNET,
        failures=failures(record.trials),
        provenance=provenance(account),
        winner=by_number[top.winner.trial].candidate if top.winner else None,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
