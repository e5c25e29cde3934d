"""`nas search --weights supernet`: a supernet is made, candidates are judged by it, and the best are trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console

from nas.api import Result
from nas.companions import RETRAIN
from nas.config import SearchConfig
from nas.costs import COSTS
from nas.errors import InputError
from nas.hypervolume import MARGIN, covering, scaled
from nas.latency import checked_device
from nas.measuring import LATENCY
from nas.objectives import limits_from, objectives_from
from nas.replicates import measured_of
from nas.runner import RunnerOptions
from nas.store.database import connect
from nas.store.reading import read_study, study_names
from nas.supernet import BY_SUPERNET, EVALUATE, files
from nas.supernet.course import Course, Phase
from nas.supernet.course_text import phase_line
from nas.supernet.files import SupernetFile
from nas.supernet.judging import JudgeInherited, leave_weights
from nas.supernet.making import Making, make
from nas.supernet.plan import Shrinking, TrainingPlan
from nas.supernet.shrinking import Rule, class_schedule
from nas.trial import Source, Trial
from runners.gpu_share import GpuShare
from runners.job_setup import Setup, Training, pricing_of
from runners.retrain import Wanted, plan_of_study, train
from runners.retrain_report import Retrained
from runners.runtime_env import read_runtime_env
from runners.supernet_progress import SupernetProgress

TIMES = 3  # epochs of a supernet, unless told, for one of a trained network
WARM_UP = 0.1  # share of the epochs before classes are ranked
FOLDER = ".supernet"  # beside the checkpoints of the study, after its name


@dataclasses.dataclass(frozen=True)
class OneShot:
    """A search whose candidates are judged by a supernet.

    Attributes:
        setup: what is carried out. asked: the configuration as it was. training: of what is trained after it.
        file: says which supernet it is.
    """

    setup: Setup
    asked: SearchConfig
    training: Training
    file: SupernetFile


def with_supernet(setup: Setup, url: str, gpus: GpuShare, err: Console) -> OneShot:
    """The search as it was asked for, with the supernet read, or made first.

    Raises: NasError; InputError also for a study that is there and holds trained trials, before anything is trained.
    """
    config, training = setup.config, setup.training
    if training is None:
        raise InputError(
            f"--weights supernet: only the built-in training has weights to inherit, and --evaluate {config.evaluate} "
            f"is one of your own: leave one out"
        )
    measured_of(objectives_from(config.objectives), {*COSTS, LATENCY})  # else there is nothing to judge
    _check_study(setup, url)
    file = read_supernet(setup, training) if config.supernet is not None else _made(setup, training, gpus, err)
    fewer = {"judge_images": images} if (images := judge_images(config, training)) else {}
    said = {"weights": BY_SUPERNET, "supernet": {"digest": file.digest, **_told(file), **fewer}}
    settings, space = {**setup.settings, **said, "evaluate": EVALUATE}, setup.space
    if (told := file.facts.get("course")) is not None:
        settings["shrinking"], space = told, Course.from_json(told).narrowed(space)
    changed = dataclasses.replace(
        setup,
        space=space,
        evaluate=JudgeInherited(training.data, file, images),
        settings=settings,
        protocol={**setup.protocol, **said},
        config=config.model_copy(update={**config.at_once, "epochs": "1"}),
    )
    return OneShot(changed, config, training, file)


def judge_images(config: SearchConfig, training: Training) -> int:
    """Of validation that candidates are judged on; 0: all."""
    return config.judge_images if config.judge_images < training.data.counts["validation"] else 0


def read_supernet(setup: Setup, training: Training) -> SupernetFile:
    """The one that `--supernet` names. Raises: InputError for one that does not fit this search."""
    file = files.read(Path(str(setup.config.supernet)))
    files.check(file, setup.space, training.data)
    _check_limits(file, setup)
    return file


def _check_limits(file: SupernetFile, setup: Setup) -> None:
    """Raises: InputError for a supernet that was trained within narrower limits: beyond them nothing was trained."""
    ours = pricing_of(setup).limits
    for each in limits_from(file.facts.get("limits") or []):
        tighter = [own for own in ours if (own.name, own.sign) == (each.name, each.sign)]
        if not any(each.excess({own.name: own.bound}) <= 0 for own in tighter):
            raise InputError(
                f"--supernet {file.path}: trained within {each} only; add --limit '{each}' to this search, or train "
                f"another one"
            )


def _told(file: SupernetFile) -> dict[str, Any]:
    """How it was trained, as the options say it. Raises: InputError for a file of another version that does not."""
    try:
        plan, shrinking = file.facts["plan"], file.facts["shrinking"]
        charged = {} if shrinking is None else {"shrink_cost": shrinking["rule"]["cost_weight"]}
        said = {name: plan[name] for name in ("sampling", "at_once")}
        said |= {"epochs": plan["recipe"]["epochs"], "shrink": shrinking is not None}
    except (KeyError, TypeError) as error:
        raise InputError(f"{file.path}: a supernet that does not say how it was trained ({error})") from error
    return {**said, **charged}


def _check_study(setup: Setup, url: str) -> None:
    """Raises: InputError where the study's trials are trained ones, or were judged by a supernet that is gone.

    Also where the trainings beside it began with other weights.
    """
    name = setup.study
    connect(url, create=True).dispose()  # one that cannot be is said before anything is trained
    known = study_names(url)
    config, after = setup.config, name + RETRAIN
    if after in known and config.retrain + config.spread:
        begun, asked = read_study(url, after).settings.get("from"), config.retrain_from
        if begun != asked:
            raise InputError(
                f"--retrain-from {asked}: study {after!r} holds trainings from {begun}; say the same, or make room "
                f"by `nas studies delete {after}`"
            )
    if name not in known:
        return
    if read_study(url, name).settings.get("weights") != BY_SUPERNET:
        raise InputError(
            f"study {name!r} holds trained trials, which do not compare with inherited weights; choose another --study"
        )
    file = _folder(setup) / files.NAME
    if config.supernet is None and not file.exists():
        raise InputError(
            f"{file} is not there, and study {name!r} was judged by a supernet: --supernet FILE says where it is now, "
            f"another --study makes a new one"
        )


def _folder(setup: Setup) -> Path:
    """Where the supernet of a study is made."""
    return Path(setup.config.checkpoints).absolute() / (setup.study + FOLDER)


def _made(setup: Setup, training: Training, gpus: GpuShare, err: Console) -> SupernetFile:
    folder = _folder(setup)
    making = making_of(setup, training)
    with SupernetProgress(err, setup.study, making.plan.recipe.epochs) as progress:

        def shrunk(phase: Phase, classes: int) -> None:
            progress.say(phase_line(phase, classes))

        if setup.config.runner != "ray":
            checked_device(gpus.here)
            return make(making, folder, progress, shrunk, device=gpus.here)
        from runners.ray_supernet import make_together

        config = setup.config
        options = RunnerOptions(
            workers=config.supernet_workers, cpus_per_trial=config.cpus_per_trial, gpus_per_trial=gpus.share,
            resources=config.resources, address=config.address,
            runtime_env=read_runtime_env(Path(config.runtime_env)) if config.runtime_env is not None else None,
        )  # fmt: skip
        return make_together(making, folder, progress, shrunk, options)


def making_of(setup: Setup, training: Training) -> Making:
    """What the supernet of a search is made from, and how. Raises: InputError for too few epochs."""
    config, recipe = setup.config, training.recipe
    epochs = config.supernet_epochs or TIMES * recipe.epochs
    warmup = min(recipe.warmup, epochs / 5)
    plan = TrainingPlan(
        recipe=dataclasses.replace(recipe, epochs=epochs, held=1, schedule="cosine", warmup=warmup),
        sampling=config.supernet_sampling,
        at_once=config.supernet_at_once or 0,
    )
    shrinking = None
    if config.shrink:
        warm_up, phases = max(1, round(WARM_UP * epochs)), len(class_schedule(range(len(training.data.classes))))
        if epochs < warm_up + phases:
            raise InputError(
                f"--supernet-epochs {epochs}: --shrink takes {warm_up + phases} at least, one for each of its phases"
            )
        rule = Rule(cost_weight=config.shrink_cost)
        shrinking = Shrinking(warm_up=warm_up, epochs=(epochs - warm_up) // phases, rule=rule)
    return Making(pricing_of(setup), training.data, plan, shrinking, config.seed)


def train_best(oneshot: OneShot, result: Result, url: str, err: Console) -> Retrained | None:
    """The best, and some over the range of what was judged, trained in a study of their own.

    The best are left their inherited weights too, for `nas export` and `nas retrain --from search`. None where nothing
    is to be trained. Raises: NasError.
    """
    config = oneshot.asked
    best, others = chosen_of(result, config)
    for trial in best:
        if trial.source is not Source.TRAINED:
            continue  # the folder of another study, or none
        leave_weights(oneshot.file, trial.candidate, oneshot.training.data, Path(trial.budget.checkpoint))
    if not best and not others:
        return None
    options = {
        "runner": config.runner, "at_once": config.workers, "address": config.address,
        "checkpoints": config.checkpoints, "gpus_per_trial": config.gpus_per_trial,
        "cpus_per_trial": config.cpus_per_trial, "resources": config.resources or None,
        "runtime_env": config.runtime_env, "trial_timeout": config.trial_timeout,
    }  # fmt: skip
    wanted = Wanted(
        study=oneshot.setup.study, network=None, data=None, resolution=None, trial=None, top=None, seeds=1,
        recipe="search", epochs=config.retrain_epochs or oneshot.training.recipe.epochs, fields={},
        weights=config.retrain_from, supernet=oneshot.file if config.retrain_from == BY_SUPERNET else None, name=None,
        export=Path(config.export) if config.export else None, workers=1, options=options,
        numbers=[trial.number for trial in (*best, *others)],
    )  # fmt: skip
    return train(wanted, plan_of_study(wanted, url), url, err)


def chosen_of(result: Result, config: SearchConfig) -> tuple[list[Trial], list[Trial]]:
    """The best, and others spread evenly over the order of all that were judged, down to the worst.

    Of several objectives the best are that by the first that training changes, then those that cover most of the front.
    """
    objectives = objectives_from(config.objectives)
    judge = measured_of(objectives, {*COSTS, LATENCY})[0]
    order = sorted(result.ranked, key=lambda trial: judge.loss(trial.metrics))  # stable: ties stay as they were
    best = order[: config.retrain]
    if len(objectives) > 1 and best:
        front = sorted(result.pareto, key=lambda trial: judge.loss(trial.metrics))
        losses = [[goal.loss(trial.metrics) for goal in objectives] for trial in (*front, *order)]
        points = scaled(losses[: len(front)], losses)
        best = [front[index] for index in covering(points, [1 + MARGIN] * len(objectives), config.retrain, begun=[0])]
    rest = [trial for trial in order if trial not in best]
    count = min(config.spread, len(rest))
    return best, [rest[(index + 1) * len(rest) // count - 1] for index in range(count)]
