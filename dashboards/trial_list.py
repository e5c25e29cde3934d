"""The trial list of a study, in the words of Optuna Dashboard 0.21 and answered from memory: `GET /api/studies/<id>`.

Stock reads every trial anew, tells each parameter's whole distribution with each of its values, and looks for the best
trials in all of them, at every look. Here a finished trial is read and put into words once.

Other than stock's answer: without the distribution and the Python type that stock repeats in each parameter (no page
reads them); best are only trials within the limits, as in `nas best`; choices keep their order; a trial that waits
does not empty the space that all trials share; with notes and a plot of ours, see `notes` and `plots`.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dashboards.drawings import Drawings
from dashboards.notes import study_note, trial_note
from dashboards.plots import Point, plots
from dashboards.spans import Seen, parameter, search_spaces
from nas.objectives import front
from nas.store.listing import ENDED, Header, Known, Look, Reader, Row

DRAWN = 500  # trials below this number have their network as text in the note; of all there is a link to it
LONG = 1024  # characters that stock shows of an attribute


@dataclasses.dataclass(frozen=True)
class Told:
    """A trial in words, and what the study as a whole takes from it."""

    trial_id: int
    number: int
    state: str
    ended: datetime.datetime | None
    words: str
    point: Point
    spans: tuple[Seen, ...]
    sortable: Mapping[str, bool]
    stepped: bool
    ours: bool
    seeds: tuple[int, ...]
    versions: tuple[str, ...]


class _Study:
    """What is remembered of one study."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self.name = ""
        self.notes: dict[str, Any] = {}  # of trials, that others wrote: they are in the words of the trials
        self.told: list[Told] = []  # finished, by number
        self.open: list[Told] = []
        self.spans: Counter[Seen] = Counter()
        self.spanned = 0  # finished trials that did not fail
        self.sortable: dict[str, bool] = {}
        self.stepped = False

    def known(self) -> Known:
        every = [*self.told, *self.open]
        ends = {each.trial_id: each.ended for each in (*self.told[:1], *self.told[-1:])}
        return Known(
            name=self.name,
            ends=tuple(ends.items()),
            above=max((each.trial_id for each in every), default=0),
            open=frozenset(each.trial_id for each in self.open),
            ours=sum(each.ours for each in every),
        )

    def take(self, look: Look, found: Iterable[Told]) -> None:
        if look.whole:
            notes = self.notes
            self.forget()
            self.notes = notes
        self.name, self.open, before = look.header.name, [], len(self.told)
        for told in found:
            if told.state not in ENDED:
                self.open.append(told)
                continue
            self.told.append(told)
            self.stepped |= _steps_count(told)
            _count(self.spans, told)
            self.spanned += _spans_count(told)
            _sort(self.sortable, told)
        if len(self.told) > before:
            self.told.sort(key=lambda each: each.number)


class TrialList:
    """The trial lists of a database; for several threads."""

    def __init__(self, reader: Reader, drawings: Drawings, where: str) -> None:
        """`where` is what the command line needs to find the database: ` --storage URL`, or empty."""
        self._reader, self._drawings, self._where = reader, drawings, where
        self._studies: dict[int, _Study] = {}
        self._lock = threading.Lock()

    def answer(self, study_id: int, after: int) -> str | None:
        """The study as JSON, with its trials from position `after` on; None for a study that is not ours.

        Raises: StoreError when the database cannot be read.
        """
        study = self._study(study_id)
        with study.lock:
            header = self._renew(study, study_id)
            return None if header is None else self._words(study, header, after)

    def stamp(self, study_id: int) -> object:
        """What changes when a trial completes; None for a study that is not ours. Raises: StoreError."""
        study = self._study(study_id)
        with study.lock:
            if self._renew(study, study_id) is None:
                return None
            return study.known().ends[:1], sum(told.point.complete for told in study.told)

    def _study(self, study_id: int) -> _Study:
        with self._lock:
            return self._studies.setdefault(study_id, _Study())

    def _renew(self, study: _Study, study_id: int) -> Header | None:
        """Read what is new; the study's header, or None for a study that is not ours."""
        look = self._reader.look(study_id, study.known(), drawn=DRAWN)
        if look is not None and study.notes != (notes := _beside(look.header)):
            study.forget()
            study.notes = notes
            look = look if look.whole else self._reader.look(study_id, Known(), drawn=DRAWN)
        if look is None:
            study.forget()
            return None
        study.take(look, [self._tell(row, look.header) for row in look.rows])
        return look.header

    def _words(self, study: _Study, header: Header, after: int) -> str:
        trials = sorted((*study.told, *study.open), key=lambda each: each.number)
        spans, spanned, sortable = Counter(study.spans), study.spanned, dict(study.sortable)
        for told in study.open:
            _count(spans, told)
            spanned += _spans_count(told)
            _sort(sortable, told)
        shared, union = search_spaces(spans, spanned)
        best = set(_best([told.point for told in trials], header.directions))
        attrs = header.system_attrs
        names = attrs.get("study:metric_names") or attrs.get("dashboard:objective_names")
        head = {
            "name": header.name,
            "directions": list(header.directions),
            "user_attrs": _attrs(header.user_attrs),
            "artifacts": _artifacts(attrs, "artifacts:"),
            "intersection_search_space": shared,
            "union_search_space": union,
            "union_user_attrs": [{"key": key, "sortable": sorts} for key, sorts in sortable.items()],
            "has_intermediate_values": study.stepped or any(map(_steps_count, study.open)),
            "note": _note(attrs, None, self._study_note(trials, header)),
            "is_preferential": False,
            **({"objective_names": names} if names else {}),
            "feedback_component_type": {"output_type": "note"},
            "plotly_graph_objects": [
                *_stored_plots(attrs),
                *plots([told.point for told in trials], best, header.settings),
            ],
        }
        listed = ",".join(told.words for told in trials[after:])
        bests = ",".join(told.words for told in trials if told.number in best)
        return f'{json.dumps(head)[:-1]}, "trials": [{listed}], "best_trials": [{bests}]}}'

    def _study_note(self, trials: Sequence[Told], header: Header) -> str:
        origins = Counter(told.point.origin for told in trials if told.point.origin)
        seeds = [seed for told in trials for seed in told.seeds]
        versions = {each for told in trials for each in told.versions}
        return study_note(header, origins, seeds, versions, self._where)

    def _tell(self, row: Row, header: Header) -> Told:
        study_id = header.study_id
        network = row.kind == "architecture"
        drawing = self._drawings.text(row) if row.body is not None and row.number < DRAWN else ""
        address = f"/nas/studies/{study_id}/trials/{row.number}"
        note = trial_note(
            row,
            full=int(header.settings.get("epochs", (1, 1))[1]),
            curves=len(header.directions) > 1,
            picture=f"{address}.svg" if network else "",
            text=f"{address}.txt" if row.kind else "",
            drawing=drawing,
        )
        constraints = [_bounded(value) for value in row.system_attrs.get("constraints", [])]
        fixed = row.system_attrs.get("fixed_params", {})
        words: dict[str, Any] = {
            "trial_id": row.trial_id,
            "study_id": study_id,
            "number": row.number,
            "state": row.state.capitalize(),
            "fixed_params": [{"name": name, "param_external_value": str(value)} for name, value in fixed.items()],
            "user_attrs": _attrs(row.user_attrs),
            "note": _note(header.system_attrs, row.trial_id, note),
            "artifacts": [
                *_artifacts(header.system_attrs, f"dashboard:artifacts:{row.trial_id}:"),
                *_artifacts(row.system_attrs, "artifacts:"),
            ],
            "constraints": constraints,
            "intermediate_values": [{"step": step, "value": _finite(value)} for step, value in row.steps],
        }
        if row.values:
            words["values"] = [_finite(value) for value in row.values]
        if row.started is not None:
            words["datetime_start"] = row.started.isoformat()
        if row.ended is not None:
            words["datetime_complete"] = row.ended.isoformat()
        params = ",".join(parameter(*param) for param in row.params)
        return Told(
            trial_id=row.trial_id,
            number=row.number,
            state=row.state,
            ended=row.ended,
            words=f'{json.dumps(words)[:-1]}, "params": [{params}]}}',
            point=_point(row, constraints, self._drawings),
            spans=tuple((name, distribution) for name, distribution, _ in row.params),
            sortable={name: _sorts(value) for name, value in row.user_attrs.items()},
            stepped=bool(row.steps),
            ours=bool(row.digest),
            seeds=tuple(attempt.seed for attempt in row.attempts[-1:]),
            versions=tuple(attempt.versions for attempt in row.attempts[-1:]),
        )


def _point(row: Row, constraints: Sequence[float], drawings: Drawings) -> Point:
    started = row.origin == "start" and row.body is not None
    return Point(
        number=row.number,
        complete=row.state == "COMPLETE" and bool(row.values),
        feasible=all(value <= 0 for value in constraints),
        values=tuple(row.values),
        metrics={name: value for name, value in row.user_attrs.items() if _sorts(value)},
        origin=row.origin,
        label=drawings.family(row) if started else "",
    )


def _spans_count(told: Told) -> bool:
    return told.state not in ("FAIL", "WAITING")


def _steps_count(told: Told) -> bool:
    return told.stepped and told.state != "FAIL"


def _count(spans: Counter[Seen], told: Told) -> None:
    if _spans_count(told):
        spans.update(told.spans)


def _sort(sortable: dict[str, bool], told: Told) -> None:
    for name, sorts in told.sortable.items():
        sortable[name] = sortable.get(name, True) and sorts


def _sorts(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _best(points: Sequence[Point], directions: Sequence[str]) -> list[int]:
    """The numbers of the complete trials within the limits that no other dominates; of one objective, the first."""
    found = [point for point in points if point.complete and point.feasible and len(point.values) == len(directions)]
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    losses = [[sign * value for sign, value in zip(signs, point.values, strict=True)] for point in found]
    if len(directions) == 1:
        return (
            [min(zip(losses, found, strict=True), key=lambda pair: (pair[0], pair[1].number))[1].number]
            if found
            else []
        )
    kept = {tuple(losses[index]) for index in front(losses)}  # equal ones stay, as in stock
    return [point.number for point, loss in zip(found, losses, strict=True) if tuple(loss) in kept]


def _bounded(value: float) -> float:
    """A number for JSON, of the same sign; what is none is over its limit."""
    return sys.float_info.max if math.isnan(value) else max(-sys.float_info.max, min(sys.float_info.max, value))


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _attrs(attrs: Mapping[str, Any]) -> list[dict[str, str]]:
    """As text; what is neither text nor a number as JSON, as long as stock shows it."""
    return [{"key": key, "value": _shown(value)} for key, value in attrs.items()]


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) else json.dumps(value)[:LONG]


def _artifacts(attrs: Mapping[str, Any], prefix: str) -> list[Any]:
    found = [json.loads(value) for key, value in attrs.items() if key.startswith(prefix)]
    return [each for each in found if each is not None]


def _note(attrs: Mapping[str, Any], trial_id: int | None, ours: str) -> dict[str, Any]:
    """Somebody's own note, where one was written through stock's dashboard, and ours below it."""
    middle = "" if trial_id is None else f"{trial_id}:"
    version = int(attrs.get(f"dashboard:{middle}note_ver", 0))
    theirs = "".join(_pieces(attrs, f"dashboard:{middle}note_str:")) if version else ""
    return {"version": version, "body": f"{theirs}\n\n---\n\n{ours}" if theirs else ours}


def _beside(header: Header) -> dict[str, Any]:
    """Notes and artifacts of trials that are kept with the study."""
    return {key: value for key, value in header.system_attrs.items() if re.match(r"dashboard:(\d+|artifacts):", key)}


def _pieces(attrs: Mapping[str, Any], prefix: str) -> list[str]:
    found = {int(key.removeprefix(prefix)): value for key, value in attrs.items() if key.startswith(prefix)}
    return [str(found[index]) for index in sorted(found)]


def _stored_plots(attrs: Mapping[str, Any]) -> list[dict[str, str]]:
    prefix = "dashboard:plot_data:"
    ids = {key.removeprefix(prefix).rpartition(":")[0] for key in attrs if key.startswith(prefix)}
    return [{"id": each, "graph_object": "".join(_pieces(attrs, f"{prefix}{each}:"))} for each in sorted(ids)]
