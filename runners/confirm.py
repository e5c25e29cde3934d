"""`nas confirm`: the best few of a study trained again with fresh seeds, reported with intervals."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nas.api import NAME
from nas.companions import CONFIRM
from nas.errors import InputError
from nas.intervals import Interval
from nas.measuring import LATENCY
from nas.objectives import Objective
from nas.replicates import (
    FIRST_SEED,
    Again,
    Confirmed,
    KnownCosts,
    best_few,
    by_mean,
    confirmed,
    fresh,
    lead,
    measured_of,
    optimism,
    replicated,
)
from nas.space import Space
from nas.store.database import storage_url
from nas.store.reading import StudyRecord, read_study, study_names
from nas.store.trouble import redact
from nas.supernet import BY_SUPERNET
from nas.trial import Trial
from nas.version import __version__
from nas.wording import quantity, short_network
from runners.again import check_space, recipe_of
from runners.gpu_share import gpu_share
from runners.job_setup import Setup
from runners.screen import plain
from runners.search_command import carry_out, resumable
from runners.study_commands import setup_of
from runners.tables import trial_json


@dataclasses.dataclass(frozen=True)
class Report:
    """What `nas confirm` found.

    Attributes:
        study: that was confirmed. judge: the objective they are ranked by. measured: all that seeds change.
        replicates: which fresh seeds. rows: best mean first.
    """

    study: str
    judge: Objective
    measured: tuple[Objective, ...]
    replicates: Sequence[int]
    rows: Sequence[Confirmed]

    @property
    def lead(self) -> Interval | None:
        """Of the first over the second, where both have results."""
        two = [row for row in self.rows if row.intervals][:2]
        return lead(two[0], two[1], self.judge) if len(two) == 2 else None


def run_confirm(
    name: str,
    storage: str | None,
    *,
    top: int,
    seeds: int,
    options: Mapping[str, Any],
    as_json: bool,
    out: Console,
    err: Console,
) -> int:
    """Carry out `nas confirm`; `options` are those of the search file that say where and how many at a time.

    The exit code: 0 done, 1 nothing succeeded. Raises: NasError for bad input; Terminated, after saying how to go on.
    """
    url = storage_url(storage)
    record = read_study(url, name)
    setup = _setup(record, options)
    measured = _measured(setup, record)
    judge = measured[0]
    chosen = best_few(record.trials, record.objectives, judge, top, record.limits)
    check_space(setup.space, chosen, name)
    replicates = fresh({trial.budget.seed for trial in record.trials}, seeds)
    theirs = _theirs(setup, record)
    there = _there(url, theirs)
    wanted = [(trial, replicate) for replicate in replicates for trial in chosen]
    missing = [(trial, replicate) for trial, replicate in wanted if (trial.digest, replicate) not in there]
    config = theirs.config.model_copy(update={"trials": max(1, len(there) + len(missing))})
    start = [{"network": setup.space.decode(trial.genome), "replicate": replicate} for trial, replicate in missing]
    if setup.training is not None and record.version != __version__:
        err.print(f"{name} was trained by mixer-nas {record.version}, this is {__version__}: trainings may differ")
    err.print(
        f"study {theirs.study} in {redact(url)}: the best {len(chosen)} of {name}, each with {seeds} fresh seeds; "
        f"{len(missing)} of {len(wanted)} trainings are new",
        highlight=False,
        soft_wrap=True,
    )
    with resumable(url, err):
        result = carry_out(dataclasses.replace(theirs, config=config), url, gpu_share(setup), err, start)
    again = {_key(setup.space, trial.candidate): trial for trial in result.trials}
    rows = confirmed(chosen, again, replicates, [objective.name for objective in measured])
    report = Report(name, judge, measured, replicates, by_mean(rows, judge))
    if as_json:
        sys.stdout.write(json.dumps(_facts(report, theirs.study), allow_nan=False) + "\n")
    else:
        _tell(report, out)
    return 0 if any(row.intervals for row in rows) else 1


# -- the study of replicates -------------------------------------------------------------------------------------------


def _complete(record: StudyRecord) -> list[Trial]:
    found = best_few(record.trials, record.objectives, record.objectives[0], 1, record.limits)
    if not found:
        raise InputError(
            f"study {record.name!r} has no complete trial to train again yet ({len(record.trials)} in all)"
        )
    return found


def _measured(setup: Setup, record: StudyRecord) -> tuple[Objective, ...]:
    """The objectives that another seed can change. Raises: InputError for none, or when the space is another one."""
    first = _complete(record)[0]
    check_space(setup.space, [first], record.name)
    costs = setup.costs(setup.space.decode(first.genome)) if setup.costs else {}
    return measured_of(record.objectives, {*costs, LATENCY} if setup.training else costs)


def _setup(record: StudyRecord, options: Mapping[str, Any]) -> Setup:
    """The study's own evaluation, data and recipe. Raises: InputError for what cannot be had again."""
    name, settings = record.name, record.settings
    if not NAME.fullmatch(name + CONFIRM):
        raise InputError(f"study name {name!r} is too long for the study of its replicates beside it")
    _complete(record)
    if settings.get("weights") == BY_SUPERNET:
        raise InputError(
            f"study {name!r} was judged by inherited weights, whatever the seed; `nas retrain {name}` trains its best"
        )
    setup = setup_of(settings, name, "`nas.search` can train its best again in the same way")
    config = setup.config.model_copy(update={key: value for key, value in options.items() if value is not None})
    setup = dataclasses.replace(setup, config=config)
    if setup.training is None:
        return setup
    data, source = setup.training.data, settings["source"]
    if data.digest != source["digest"]:
        raise InputError(
            f"data {source['data']!r} has changed since study {name!r} was made; nothing trained now compares with it"
        )
    recipe = recipe_of(settings, name)
    from nas.training import TrainAndValidate

    return dataclasses.replace(setup, evaluate=TrainAndValidate(data, recipe))


def _theirs(setup: Setup, record: StudyRecord) -> Setup:
    """The study of replicates as an ordinary search: over networks and fresh seeds, without limits of its own.

    A latency is no objective of it: it was measured before training, and is the same with every seed.
    """
    timed = LATENCY if setup.training is not None else None
    objectives = [str(objective) for objective in record.objectives if objective.name != timed]
    changes = {"sampler": "random", "objectives": objectives, "limits": [], "seed": FIRST_SEED}
    changes |= setup.config.at_once  # a replicate that pauses tells nothing
    return dataclasses.replace(
        setup,
        study=record.name + CONFIRM,
        space=replicated(setup.space),
        evaluate=Again(setup.evaluate),
        costs=KnownCosts(setup.costs) if setup.costs else None,
        settings={"confirms": record.name, "data": record.settings.get("data"), "of": dict(record.settings)},
        protocol={"replicates": True, **setup.protocol},
        training=None,
        scores=None,
        config=setup.config.model_copy(update=changes),
    )


def _there(url: str, theirs: Setup) -> set[tuple[str, int]]:
    """The replicates that were begun, as (digest of the network, replicate). Raises: InputError."""
    if theirs.study not in study_names(url):
        return set()
    record = read_study(url, theirs.study)
    if record.settings.get("of") != theirs.settings["of"]:
        raise InputError(
            f"study {theirs.study!r} confirms a study of this name with other settings; "
            f"`nas studies delete {theirs.study}` makes room"
        )
    return {_key(theirs.space, theirs.space.decode(trial.genome)) for trial in record.trials}


def _key(space: Space, candidate: Mapping[str, Any]) -> tuple[str, int]:
    return space.identity(candidate["network"]), candidate["replicate"]


# -- what is said ------------------------------------------------------------------------------------------------------


def _tell(report: Report, out: Console) -> None:
    out.print(_table(report))
    for line in (_lead_line(report), _optimism_line(report)):
        if line:
            out.print(line, highlight=False, soft_wrap=True)


def _table(report: Report) -> Table:
    judge = report.judge.name
    table = Table(
        title=f"the best {len(report.rows)} of {report.study}, trained again with {len(report.replicates)} fresh seeds",
        title_justify="left",
        header_style="bold",
    )
    others = [objective.name for objective in report.measured if objective.name != judge]
    costs = [name for name in ("params", "macs", LATENCY) if any(name in row.trial.metrics for row in report.rows)]
    for name in ("trial", judge, "95 % interval", "smallest", "largest", "seeds", "in the search", *others, *costs):
        table.add_column(name, justify="right", no_wrap=name == "95 % interval")
    table.add_column("network", overflow="fold")
    for row in report.rows:
        found = row.intervals.get(judge)
        cells = (
            [quantity(found.mean), _range(found), quantity(found.smallest), quantity(found.largest)] if found else []
        )
        cells = [*cells, *["-"] * (4 - len(cells)), f"{len(row.values)} of {len(report.replicates)}"]
        cells.append(quantity(row.trial.metrics[judge]))
        cells += [quantity(row.intervals[name].mean) if row.intervals else "-" for name in others]
        cells += [quantity(row.trial.metrics[name]) if name in row.trial.metrics else "-" for name in costs]
        table.add_row(str(row.trial.number), *cells, Text(plain(short_network(row.trial))))
    return table


def _range(found: Interval) -> str:
    if found.low is None or found.high is None:
        return "-"
    return f"{quantity(found.low)} to {quantity(found.high)}"


def _lead_line(report: Report) -> str:
    """Whether the first is ahead of the second for more than luck."""
    found = report.lead
    if found is None:
        return ""
    first, second = (row.trial.number for row in report.rows[:2])
    by = f"{found.mean:+.4f} {report.judge.name}, seed by seed"
    if found.low is None or found.high is None:
        return f"trial {first} and trial {second} share one seed: {by}; more --seeds tell whether that is luck"
    says = f"95 % interval {found.low:+.4f} to {found.high:+.4f} over {found.count} seeds"
    if found.sign > 0:
        return f"trial {first} is ahead of trial {second}: {by} ({says})"
    return f"trial {first} is not shown to be ahead of trial {second}: {by} ({says}); more --seeds may tell"


def _optimism_line(report: Report) -> str:
    found = optimism(report.rows, report.judge)
    if found is None:
        return "no replicate has a result"
    if found <= 0:
        return ""
    return (
        f"chosen for their {report.judge.name}, they looked {found:.4f} better in the search than they are on average"
    )


def _facts(report: Report, study: str) -> dict[str, Any]:
    found = report.lead
    two = [row.trial.number for row in report.rows[:2]]
    return {
        "study": report.study,
        "confirm": study,
        "objective": str(report.judge),
        "seeds": [FIRST_SEED + replicate for replicate in report.replicates],
        "candidates": [_row(row, report) for row in report.rows],
        "lead": found and {"of": two[0], "over": two[1], **dataclasses.asdict(found), "ahead": found.sign > 0},
        "optimism": optimism(report.rows, report.judge),
    }


def _row(row: Confirmed, report: Report) -> dict[str, Any]:
    return {
        "trial": row.trial.number,
        "search": row.trial.metrics[report.judge.name],
        "complete": len(row.values),
        "failed": row.failed,
        "intervals": {name: dataclasses.asdict(found) for name, found in row.intervals.items()},
        "values": {str(FIRST_SEED + replicate): dict(metrics) for replicate, metrics in row.values.items()},
        "candidate": trial_json(row.trial)["candidate"],
    }
