"""`nas retrain`: found networks, or a published one, trained fully by the recipes of the field."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from nas import zoo
from nas.api import NAME, Result
from nas.architecture import Architecture
from nas.checked import canonical_json
from nas.companions import RETRAIN
from nas.config import read_config
from nas.data import ImageData
from nas.errors import ArchitectureError, InputError
from nas.jobs import Budget
from nas.measuring import LATENCY
from nas.objectives import Objective
from nas.ranking import ranked
from nas.recipe import Recipe
from nas.recipes import recipe_for
from nas.replicates import KnownCosts, best_few, fresh, measured_of, replicated_template
from nas.space import Space
from nas.store.database import storage_url
from nas.store.reading import StudyRecord, read_study, study_names
from nas.store.trouble import redact
from nas.supernet import BY_SUPERNET
from nas.supernet.files import SupernetFile
from nas.trial import State, Trial
from nas.wording import quantity
from runners.again import check_space, recipe_of
from runners.gpu_share import gpu_share
from runners.job_setup import NetworkCosts, Setup, Training, prepare, read_architecture
from runners.retrain_epochs import Epochs
from runners.retrain_report import Retrained, facts, tell
from runners.search_command import carry_out, resumable
from runners.study_commands import setup_of


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What `nas retrain` is asked for.

    Attributes:
        study: whose networks; None with `network`, a published name or a file, on `data` at `resolution`.
        trial, top: which trial of the study, or how many of the best. seeds: for each network.
        recipe: by name. epochs: to train. fields: of the recipe that are said.
        weights: "scratch" or "search". name: of the study of trainings; None chooses one.
        export: where the best goes. workers: that share each training, through Ray.
        options: of the search file, that say where and how many at a time.
        numbers: of the trials, where they are known already.
    """

    study: str | None
    network: str | None
    data: str | None
    resolution: int | None
    trial: int | None
    top: int | None
    seeds: int
    recipe: str
    epochs: int
    fields: Mapping[str, Any]
    weights: str
    name: str | None
    export: Path | None
    workers: int
    options: Mapping[str, Any]
    numbers: Sequence[int] = ()
    supernet: SupernetFile | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which networks are trained, as what: `training` has the recipe; `chosen` are trials of the study.

    A network that no search found is a trial of its own without metrics. `inherited`: what the study judged by.
    """

    name: str
    setup: Setup
    training: Training
    space: Space
    chosen: Sequence[Trial]
    objectives: Sequence[Objective]
    used: frozenset[int]
    inherited: bool = False


def run_retrain(wanted: Wanted, storage: str | None, *, as_json: bool, out: Console, err: Console) -> int:
    """Carry out `nas retrain`; the exit code: 0 done, 1 nothing succeeded.

    Raises: NasError for bad input; Terminated, after saying how to go on.
    """
    url = storage_url(storage)
    _check(wanted)
    plan = _of_network(wanted) if wanted.network is not None else plan_of_study(wanted, url)
    with resumable(url, err):
        retrained = train(wanted, plan, url, err)
    if as_json:
        sys.stdout.write(json.dumps(facts(retrained), allow_nan=False) + "\n")
    else:
        tell(retrained, out)
    return 0 if retrained.tested else 1


def train(wanted: Wanted, plan: Plan, url: str, err: Console) -> Retrained:
    """Carry out a plan in its study, or what is missing of it there. Raises: NasError."""
    _check_workers(wanted, plan.training)
    theirs = _theirs(wanted, plan)
    if wanted.export is not None:
        from nas.export import check_target

        check_target(wanted.export.absolute(), force=True)
    replicates = fresh(plan.used, wanted.seeds)
    there = _there(url, theirs, wanted.epochs)
    pairs = [(trial, replicate) for replicate in replicates for trial in plan.chosen]
    missing = [(trial, replicate) for trial, replicate in pairs if (trial.digest, replicate) not in there]
    start = [{"network": trial.candidate, "replicate": replicate} for trial, replicate in missing]
    config = theirs.config.model_copy(update={"trials": max(1, len(there) + len(missing))})
    err.print(_opening(wanted, plan, theirs.study, url, len(missing), len(pairs)), highlight=False, soft_wrap=True)
    result = _carry_out(dataclasses.replace(theirs, config=config), plan, url, err, start, wanted)
    return _retrained(wanted, plan, theirs, result, replicates)


# -- what is asked for -------------------------------------------------------------------------------------------------


def _check(wanted: Wanted) -> None:
    """Raises: InputError for options that contradict each other or change nothing."""
    if (wanted.study is None) == (wanted.network is None):
        raise InputError("one of STUDY and --network NAME|FILE.json is expected")
    if wanted.epochs < 1:
        raise InputError(f"--epochs {wanted.epochs}: at least 1 is needed")
    if wanted.weights not in ("scratch", "search"):
        raise InputError(f"--from {wanted.weights}: scratch or search is expected")
    if wanted.trial is not None and wanted.top is not None:
        raise InputError(f"--trial {wanted.trial}, --top {wanted.top}: one of them is expected")
    if wanted.workers > 1 and wanted.options.get("at_once") is not None:
        raise InputError("--workers shares one training after the other: leave out --at-once")
    if wanted.options.get("address") is not None and wanted.workers == 1 and wanted.options.get("runner") != "ray":
        raise InputError(f"--address {wanted.options['address']}: only --workers or --runner ray connects to a cluster")
    if wanted.network is None:
        _in_vain("only with --network; a study has its own", data=wanted.data, resolution=wanted.resolution)
        return
    _in_vain("only of a study; --network is one network", trial=wanted.trial, top=wanted.top)
    if wanted.data is None:
        raise InputError(f"--network {wanted.network}: --data says what to train on")
    if wanted.weights == "search":
        raise InputError("--from search: no search has trained what --network names")


def _check_workers(wanted: Wanted, training: Training) -> None:
    """Raises: InputError for more workers than a batch has images."""
    images = round(training.data.counts["train"] * training.recipe.subset)
    if (batch := min(training.recipe.batch(images), images)) < wanted.workers:
        raise InputError(f"--workers {wanted.workers}: batches have {batch} images, and each worker needs one at least")


def _in_vain(why: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise InputError(f"--{name} {value}: {why}")


def _of_network(wanted: Wanted) -> Plan:
    """A published network, or an architecture file. Raises: InputError."""
    name = str(wanted.network)
    given = {"data": wanted.data, "resolution": wanted.resolution, "objectives": ["accuracy:max"]}
    setup = prepare(read_config(None, {key: value for key, value in given.items() if value is not None}))
    if setup.training is None:
        raise InputError(f"--network {name}: nothing to train it on")
    data = setup.training.data
    try:
        network = read_architecture(name).at(data.resolution)
    except ArchitectureError as error:
        raise InputError(f"{name} does not take {data.resolution} pixels, see --resolution: {error}") from error
    fields = dict(wanted.fields)
    if name in zoo.PUBLISHED and wanted.recipe not in ("small", "search"):
        fields.setdefault("init", zoo.entry(name).init)
    recipe = _recipe(wanted, data, fields, None)
    short = f"{Path(name).stem if name.endswith('.json') else name}-{(wanted.data or '').rpartition(':')[2]}"
    short = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in short).strip("-.")
    nobody = Budget(0, 0, 0, "cpu", "")
    trial = Trial(0, (), network, network.digest, State.PRUNED, name, 1, {}, nobody)
    training = Training(data, recipe, NetworkCosts(len(data.classes), data.channels))
    objectives = (Objective("accuracy", maximize=True),)
    return Plan(short[:100], setup, training, replicated_template(network), [trial], objectives, frozenset())


def plan_of_study(wanted: Wanted, url: str) -> Plan:
    """Trials of a study. Raises: InputError for what is not there or cannot be had again."""
    name = str(wanted.study)
    record = read_study(url, name)
    setup = setup_of(record.settings, name, "`nas retrain --network FILE.json --data ...` trains one of its networks")
    if setup.training is None:
        raise InputError(f"study {name!r} evaluates by a function of your own; `nas retrain` has no recipe for it")
    data, source = setup.training.data, record.settings["source"]
    if data.digest != source["digest"]:
        raise InputError(
            f"data {source['data']!r} has changed since study {name!r} was made: its images are others now"
        )
    known = setup.training.costs(setup.space.decode(record.trials[0].genome)) if record.trials else {}
    objectives = measured_of(record.objectives, {*known, LATENCY})
    chosen = _chosen(record, objectives[0], wanted)
    for trial in chosen:
        if not isinstance(trial.candidate, Architecture):
            raise InputError(f"trial {trial.number} of study {name!r} is no network that is known here")
    check_space(setup.space, chosen, name)
    recipe = _recipe(wanted, data, dict(wanted.fields), recipe_of(record.settings, name))
    used = frozenset(trial.budget.seed for trial in record.trials)
    training = Training(data, recipe, setup.training.costs)
    space, inherited = replicated_template(setup.space.template), record.settings.get("weights") == BY_SUPERNET
    return Plan(name, setup, training, space, chosen, record.objectives, used, inherited)


def _recipe(wanted: Wanted, data: ImageData, fields: Mapping[str, Any], search: Recipe | None) -> Recipe:
    return recipe_for(wanted.recipe, data.counts["train"], wanted.epochs, search, **fields)


def _chosen(record: StudyRecord, judge: Objective, wanted: Wanted) -> list[Trial]:
    if wanted.numbers:
        known = {trial.number: trial for trial in record.trials}
        found = [known[number] for number in wanted.numbers]
    elif wanted.trial is not None:
        found = [trial for trial in record.trials if trial.number == wanted.trial]
        if not found:
            last = len(record.trials) - 1
            raise InputError(f"study {record.name!r} has no trial {wanted.trial}; it has 0 to {last}")
    else:
        found = best_few(record.trials, record.objectives, judge, wanted.top or 1, record.limits)
        if not found:
            raise InputError(
                f"study {record.name!r} has no complete trial within its limits yet ({len(record.trials)} in all); "
                f"--trial N takes one as it is"
            )
    if wanted.weights == "search":
        from nas.export import has_weights

        for trial in found:
            if not has_weights(trial):
                raise InputError(
                    f"--from search: the weights of trial {trial.number} are gone from "
                    f"{trial.budget.checkpoint or 'the store'}; --from scratch needs none"
                )
    return found


# -- the study of trainings --------------------------------------------------------------------------------------------


def _theirs(wanted: Wanted, plan: Plan) -> Setup:
    """The full trainings as an ordinary search over networks and fresh seeds, without limits. Raises: InputError."""
    from nas.retraining import FullTraining

    name = wanted.name or plan.name + RETRAIN
    if not NAME.fullmatch(name):
        raise InputError(f"study name {name!r}: letters, digits, '.', '_' and '-' are possible, 128 at most")
    data, recipe = plan.training.data, plan.training.recipe
    weights = {trial.digest: trial.budget.checkpoint for trial in plan.chosen} if wanted.weights == "search" else {}
    objectives = [str(objective) for objective in plan.objectives if objective.name != LATENCY]
    source = plan.setup.settings["source"]
    settings = {
        "retrains": wanted.network or plan.name,
        "data": plan.setup.settings["data"],
        "source": source,
        "recipe": recipe.as_dict(),
        "from": wanted.weights,
        **({} if wanted.supernet is None else {"supernet": wanted.supernet.digest}),
    }
    changes = {"sampler": "random", "objectives": objectives, "limits": [], "seed": 0, "latency_device": None}
    changes |= {**plan.setup.config.at_once, "epochs": str(wanted.epochs), "reuse": False, "proxies": []}
    at_once = {"workers" if key == "at_once" else key: value for key, value in wanted.options.items()}
    changes |= {key: value for key, value in at_once.items() if value is not None}
    if wanted.workers > 1:
        changes |= {"runner": "ray", "workers": wanted.workers}
    return dataclasses.replace(
        plan.setup,
        study=name,
        space=plan.space,
        evaluate=FullTraining(data, recipe, weights, wanted.supernet),
        costs=KnownCosts(plan.training.costs),
        settings=settings,
        protocol={"retrain": settings, "version": plan.setup.protocol["version"]},
        training=None,
        scores=None,
        config=plan.setup.config.model_copy(update=changes),
    )


def _there(url: str, theirs: Setup, epochs: int) -> set[tuple[str, int]]:
    """The trainings that were begun, as (digest of the network, replicate). Raises: InputError."""
    try:
        known = study_names(url)
    except InputError:  # there is no database yet: a published network needs none
        return set()
    if theirs.study not in known:
        return set()
    record = read_study(url, theirs.study)
    wanted = json.loads(canonical_json({**theirs.settings, "epochs": [epochs, epochs]}))
    differ = [key for key, value in wanted.items() if json.loads(canonical_json(record.settings.get(key))) != value]
    if differ:
        raise InputError(
            f"study {theirs.study!r} holds trainings with another {' and '.join(differ)}; --study NAME makes one "
            f"beside it, `nas studies delete {theirs.study}` makes room"
        )
    return {_key(theirs.space, theirs.space.decode(trial.genome)) for trial in record.trials}


def _key(space: Space, candidate: Mapping[str, Any]) -> tuple[str, int]:
    return space.identity(candidate["network"]), candidate["replicate"]


def _opening(wanted: Wanted, plan: Plan, name: str, url: str, missing: int, count: int) -> str:
    recipe, data = plan.training.recipe, plan.training.data
    which = wanted.network or f"trial{'s' if len(plan.chosen) > 1 else ''} " + ", ".join(
        str(trial.number) for trial in plan.chosen
    )
    begun = "inherited weights" if wanted.supernet is not None else wanted.weights
    together = f", shared by {wanted.workers} workers" if wanted.workers > 1 else ""
    return (
        f"study {name} in {redact(url)}: {which}{'' if wanted.network else f' of {plan.name}'}, {wanted.epochs} epochs "
        f"by recipe {wanted.recipe} (learning rate {quantity(recipe.lr)}, batches of "
        f"{recipe.batch(data.counts['train'])}) from {begun}{together}; {missing} of {count} trainings are new"
    )


def _carry_out(theirs: Setup, plan: Plan, url: str, err: Console, start: list[Any], wanted: Wanted) -> Result:
    gpus = gpu_share(dataclasses.replace(plan.setup, config=theirs.config, training=plan.training))
    epochs = Epochs(err, wanted.epochs)
    if wanted.workers > 1:
        from runners.ray_retrain import train_together

        return train_together(theirs, url, gpus, err, start, epochs)
    return carry_out(theirs, url, gpus, err, start, epochs)


# -- what came of it ---------------------------------------------------------------------------------------------------


def _retrained(wanted: Wanted, plan: Plan, theirs: Setup, result: Result, replicates: Sequence[int]) -> Retrained:
    from nas.replicates import confirmed
    from nas.retraining import tested

    data = plan.training.data
    again = {_key(plan.space, trial.candidate): trial for trial in result.trials}
    measured = measured_of(plan.objectives, {"params", "macs", "activation_bytes", LATENCY})
    rows = confirmed(plan.chosen, again, replicates, [objective.name for objective in measured])
    found = {
        trial.number: [
            tested(again[trial.digest, replicate], replicate, data.counts["test"])
            for replicate in replicates
            if (each := again.get((trial.digest, replicate))) is not None and each.state is State.COMPLETE
        ]
        for trial in plan.chosen
    }
    failed = [
        each
        for trial in plan.chosen
        for replicate in replicates
        if (each := again.get((trial.digest, replicate))) is not None and each.state is State.FAIL
    ]
    exported = None
    ours = [each for row in found.values() for each in row]
    if wanted.export is not None and ours:
        from nas.export import export, has_weights

        best = ranked([each.trial for each in ours], [measured[0]])
        chosen = next((trial for trial in best if has_weights(trial)), None)
        if chosen is not None:
            exported = export(chosen, data, wanted.export, study=theirs.study, force=True, settings=theirs.settings)
    return Retrained(
        study=theirs.study,
        of=plan.name,
        network=wanted.network,
        recipe=wanted.recipe,
        fields=plan.training.recipe.as_dict(),
        weights=wanted.weights,
        inherited=plan.inherited,
        judge=measured[0],
        images=data.counts["test"],
        rows=rows,
        tested={number: row for number, row in found.items() if row},
        failed=failed,
        exported=exported,
    )
