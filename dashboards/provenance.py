"""Where the numbers come from, and how to have them again."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.resume import epochs_of, sampler_of, weights_of
from nas.companions import BASELINE, CONFIRM, PUBLISHED
from nas.recipe import Recipe
from nas.store.accounts import Account
from nas.trial import Source, Trial

SIDE = re.compile(r", (\d+) px\)$")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What it takes to repeat a study.

    Attributes:
        commands: that make such a study, as far as it tells: random search, published families and replicates too.
        untold: what a command may have had that the study does not tell.
        data, space, evaluate: as the study was told; empty for one that was made from
            Python. recipe: of our own training, by field.
        seed: of the search; each trial has it plus its number. None where trials tell of none.
        origins: trials by who proposed them. hosts, devices: trials by where they ran last.
        versions: of the programs that ran attempts, with how many attempts. version: of mixer-nas that made the study.
        began, ended: of the first attempt and of the last, ISO 8601 in UTC; empty where nothing did.
        settings: of the study, as they are kept.
    """

    commands: tuple[str, ...]
    untold: str
    data: str
    space: str
    evaluate: str
    recipe: Mapping[str, Any]
    seed: int | None
    origins: Mapping[str, int]
    hosts: Mapping[str, int]
    devices: Mapping[str, int]
    versions: tuple[tuple[Mapping[str, str], int], ...]
    version: str
    began: str
    ended: str
    settings: Mapping[str, Any]


def provenance(account: Account) -> Provenance:
    """Of a study and those beside it."""
    record, settings = account.record, account.record.settings
    counted = Counter(tuple(sorted(attempt.versions.items())) for attempt in account.attempts)
    began = min((each.began for each in account.attempts if each.began), default=None)
    ended = max((each.ended for each in account.attempts if each.ended), default=None)
    trained = [trial for trial in record.trials if trial.source is Source.TRAINED]
    return Provenance(
        commands=commands(account),
        untold="--workers, --runner and --start are not kept; with more than one worker results come in another order, "
        "and the search with them goes another way",
        data=str(settings.get("data") or ""),
        space=str(settings.get("space") or ""),
        evaluate=str(settings.get("evaluate") or ""),
        recipe=dict(settings.get("recipe") or {}),
        seed=_seed(record.trials),
        origins=_counts(trial.origin for trial in record.trials),
        hosts=_counts(trial.host for trial in trained),
        devices=_counts(trial.budget.device for trial in trained),
        versions=tuple((dict(pairs), count) for pairs, count in counted.most_common()),
        version=record.version,
        began=began.isoformat(timespec="seconds") if began else "",
        ended=ended.isoformat(timespec="seconds") if ended else "",
        settings=dict(settings),
    )


def _counts(words: Any) -> dict[str, int]:
    return dict(Counter(word or "unknown" for word in words).most_common())


def _seed(trials: Sequence[Trial]) -> int | None:
    seeds = Counter(trial.budget.seed - trial.number for trial in trials if trial.source is Source.TRAINED)
    return seeds.most_common(1)[0][0] if seeds else None


def commands(account: Account) -> tuple[str, ...]:
    """The commands that make such a study; none for one that was made from Python."""
    record, settings = account.record, account.record.settings
    if "confirms" in settings:
        return (f"nas confirm {shlex.quote(str(settings['confirms']))}",)
    source = settings.get("source") or {}
    if "space" not in settings or "evaluate" not in settings or not isinstance(source, dict):
        return ()
    words = ["nas", "search", "--study", record.name, "--space", settings["space"]]
    if source:
        words += ["--data", source["data"]]
        if source.get("resolution"):
            words += ["--resolution", source["resolution"]]
    else:
        words += ["--evaluate", settings["evaluate"]]
        words += ["--costs", settings["costs"]] if settings.get("costs") else []
    for name in ("objective", "limit"):
        words += [word for each in settings[f"{name}s"] for word in (f"--{name}", each)]
    low, high = epochs_of(settings)
    words += ["--epochs", f"{low}:{high}" if low != high else high, *_rungs(settings)]
    words += ["--trials", sum(trial.source is Source.TRAINED for trial in record.trials)]
    words += ["--sampler", sampler_of(Counter(trial.origin for trial in record.trials))]
    words += ["--seed", seed] if (seed := _seed(record.trials)) is not None else []
    words += [word for option, value in weights_of(settings) if value is not None for word in (*option.split(), value)]
    plain = dataclasses.asdict(Recipe())
    recipe = settings.get("recipe") or {}
    for name in ("subset", "batch_size", "lr", "augment"):
        if recipe.get(name, plain[name]) != plain[name]:
            words += [f"--{name.replace('_', '-')}", recipe[name]]
    words += [f"--{ending[1:]}" for ending in (PUBLISHED, BASELINE) if ending in account.companions]
    return (shlex.join(map(str, words)), *_confirmations(account))


def _confirmations(account: Account) -> list[str]:
    record, found = account.record, list[str]()
    for ending in (CONFIRM, BASELINE + CONFIRM):
        if (again := account.companions.get(ending)) is not None:
            networks = {trial.genome[:-1] for trial in again.trials}
            seeds = {trial.genome[-1] for trial in again.trials}
            study = shlex.quote(record.name + ending.removesuffix(CONFIRM))
            found.append(f"nas confirm {study} --top {len(networks)} --seeds {len(seeds)}")
    return found


def _rungs(settings: Mapping[str, Any]) -> list[Any]:
    """Options of the rungs that are not as they would be anyway."""
    told = settings.get("rungs") or {}
    words: list[Any] = []
    for name, usual in (("factor", 3), ("brackets", 1), ("rung_subset", 1.0)):
        if told.get(name, usual) != usual:
            words += [f"--{name.replace('_', '-')}", told[name]]
    side = SIDE.search(str(settings.get("data") or ""))
    if (scale := told.get("rung_scale", 1.0)) < 1 and side:
        words += ["--rung-resolution", round(scale * int(side[1]))]
    return words
