"""`nas search`: from a configuration to a finished search, its comparison and its export."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from nas import zoo
from nas.api import NAME, Result, search
from nas.architecture import Architecture
from nas.companions import BASELINE, PUBLISHED, RETRAIN, Comparison
from nas.config import SearchConfig
from nas.errors import InputError, Terminated
from nas.objectives import excess
from nas.runner import Watch
from nas.space import Space, one_of
from nas.store.database import storage_url
from nas.store.trouble import redact
from nas.study import Study
from runners.baseline import check, compare, random_search
from runners.closing import Outcome, close, opening, summary
from runners.gpu_share import GpuShare, gpu_share
from runners.job_setup import Setup, Training, import_attribute, latency_of, prepare, pricing_of, rung_scale, starts
from runners.progress import Watcher
from runners.runtime_env import checked_runtime_env, read_runtime_env
from runners.screen import Screen
from runners.tables import save_picture

if TYPE_CHECKING:
    from nas.export import Exported
    from runners.oneshot import OneShot
    from runners.oneshot_report import Trained


OF_A_SUPERNET = (
    "supernet_epochs",
    "supernet_sampling",
    "supernet_at_once",
    "supernet_workers",
    "shrink",
    "shrink_cost",
)  # options of its training


def run_search(config: SearchConfig, *, svg: Path | None, as_json: bool, out: Console, err: Console) -> int:
    """Carry out `nas search`; the exit code: 0 done, 1 nothing succeeded.

    Raises: NasError for bad input; Terminated, after saying how to go on.
    """
    check_cluster(config)
    check_weights(config)
    for name in config.callbacks:
        import_attribute(name, "callback")  # a name that is wrong is said before anything is loaded
    url = storage_url(config.storage)
    setup = prepare(config)
    _check_beside(setup)
    gpus = gpu_share(setup)
    if gpus.told:
        err.print(gpus.told, highlight=False, soft_wrap=True)
    if config.export is not None:
        from nas.export import check_target

        check_target(Path(config.export).absolute(), force=True)
    err.print(opening(setup, url), highlight=False, markup=False, soft_wrap=True)
    started = time.monotonic()
    with resumable(url, err):
        if config.weights == "supernet":
            starts(setup, lambda _: None)  # a wrong one is refused before the supernet is trained
        judged = _with_supernet(setup, url, gpus, err)
        setup = setup if judged is None else judged.setup
        start = starts(setup, lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True))
        result = carry_out(setup, url, gpus, err, start)
        oneshot = None if judged is None else trained_after(judged, result, url, err)
        comparison = _baseline(setup, url, gpus, err) if config.baseline else None
        published = None
        if config.published and setup.training is not None:
            published = _published(setup, setup.training, url, gpus, err)
        seconds = time.monotonic() - started
        outcome = Outcome(setup, result, published, comparison, None, url, seconds, oneshot)
        if config.export is not None and judged is None and setup.training is not None and result.best is not None:
            outcome = dataclasses.replace(
                outcome, exported=_exported(result, setup.training, config.export, err, setup.settings)
            )
    if as_json:
        sys.stdout.write(json.dumps(summary(outcome), allow_nan=False) + "\n")
    else:
        close(outcome, out)
    if svg is not None:
        picture = Screen(record=True, width=110, file=io.StringIO())
        close(outcome, picture)
        save_picture(picture, svg, f"nas search: {setup.study}")
    return 0 if result.best is not None else 1


def check_weights(config: SearchConfig) -> None:
    """Raises: InputError for what contradicts, or changes nothing without, weights of a supernet."""
    oneshot, said = config.weights == "supernet", config.model_fields_set
    with_it = ("supernet", *OF_A_SUPERNET, "judge_images", "retrain", "retrain_from", "retrain_epochs", "spread")
    if not oneshot and (vain := [name for name in with_it if name in said]):
        raise InputError(f"--{_option(vain[0])}: only --weights supernet makes use of it")
    if oneshot and (config.published or config.baseline):
        beside = "published" if config.published else "baseline"
        raise InputError(f"--{beside}: trained trials do not compare with inherited weights; leave one out")
    if oneshot and len(config.rungs.levels) > 1 and "epochs" in said:
        raise InputError(
            f"--epochs {config.epochs}: inherited weights have no rungs; --epochs MAX is what the best are trained for"
        )
    if config.supernet is not None and (vain := [name for name in OF_A_SUPERNET if name in said]):
        raise InputError(f"--supernet {config.supernet}: it is trained already; leave out --{_option(vain[0])}")
    if config.supernet_at_once is not None:
        from nas.supernet.plan import TrainingPlan

        TrainingPlan(sampling=config.supernet_sampling, at_once=config.supernet_at_once)  # refused before any database
    if "shrink_cost" in said and not config.shrink:
        raise InputError(f"--shrink-cost {config.shrink_cost:g}: only --shrink charges for costs")
    if config.supernet_workers > 1 and config.runner != "ray":
        raise InputError(f"--supernet-workers {config.supernet_workers}: only --runner ray shares a training")


def _option(name: str) -> str:
    return name.replace("_", "-")


def check_cluster(config: SearchConfig) -> None:
    """Raises: InputError for what is said of a Ray cluster in vain or wrongly."""
    if config.runner != "ray" and config.address is not None:
        raise InputError(f"--address {config.address}: only --runner ray connects to a cluster")
    if config.runner != "ray" and config.runtime_env is not None:
        raise InputError(f"--runtime-env {config.runtime_env}: only --runner ray has nodes to set up")
    if config.runner != "ray" and config.callbacks:
        raise InputError(f"--callback {config.callbacks[0]}: only --runner ray has callbacks")
    if config.runtime_env is not None:
        checked_runtime_env(read_runtime_env(Path(config.runtime_env)))


def _with_supernet(setup: Setup, url: str, gpus: GpuShare, err: Console) -> OneShot | None:
    """The search by inherited weights; None for one by training. Raises: NasError."""
    if setup.config.weights != "supernet":
        return None
    from runners.oneshot import with_supernet

    return with_supernet(setup, url, gpus, err)


def trained_after(judged: OneShot, result: Result, url: str, err: Console) -> Trained:
    """What the best by inherited weights come to when they are trained. Raises: NasError."""
    from runners.oneshot import train_best
    from runners.oneshot_report import Trained, trust_of

    found = train_best(judged, result, url, err)
    return Trained(judged.file, found, trust_of(found))


def _check_beside(setup: Setup) -> None:
    """Raises: InputError when a study beside the search cannot be."""
    config = setup.config
    for asked, ending, what in (
        (config.published, PUBLISHED, "the published families"),
        (config.baseline, BASELINE, "random search"),
        (config.weights == "supernet", RETRAIN, "the trainings of the best"),
    ):
        if asked and not NAME.fullmatch(setup.study + ending):
            raise InputError(f"study name {setup.study!r} is too long for the study of {what} beside it")
    if config.baseline:
        check(config)


def _exported(
    result: Result, training: Training, to: str, err: Console, settings: Mapping[str, Any]
) -> Exported | None:
    """The best trial whose weights are there: a reused one may have lost them, one that Optuna ran never had any."""
    from nas.export import export, has_weights

    chosen = next((trial for trial in result.ranked if has_weights(trial)), None)
    if chosen is not result.best and result.best is not None:
        err.print(
            f"the weights of trial {result.best.number}, the best, are not there; "
            + (f"trial {chosen.number} is exported" if chosen else "nothing is exported"),
            highlight=False,
            soft_wrap=True,
        )
    if chosen is None:
        return None
    return export(chosen, training.data, Path(to), study=result.study, force=True, settings=settings)


def carry_out(
    setup: Setup, url: str, gpus: GpuShare, err: Console, start: list[Any], also: Watch | None = None
) -> Result:
    """`nas.search` as a configuration says it, with `gpus` for each trial, watched on `err`, and by `also`.

    Raises: NasError.
    """
    config = setup.config
    with Watcher(err, setup.study) as watcher:

        def watch(study: Study) -> None:
            watcher(study)
            if also is not None:
                also(study)

        return search(
            setup.space,
            setup.evaluate,
            objectives=config.objectives,
            costs=setup.costs,
            constraints=config.limits,
            measure=latency_of(setup, gpus.here),
            scores=setup.scores,
            trials=config.trials,
            sampler=config.sampler,
            storage=url,
            study=setup.study,
            runner=config.runner,
            workers=config.workers,
            cpus_per_trial=config.cpus_per_trial,
            gpus_per_trial=gpus.share,
            trial_bytes=gpus.trial_bytes,
            resources=config.resources,
            address=config.address,
            runtime_env=read_runtime_env(Path(config.runtime_env)) if config.runtime_env is not None else None,
            epochs=config.epoch_range,
            factor=config.factor,
            brackets=config.brackets,
            rung_subset=config.rung_subset,
            rung_scale=rung_scale(setup),
            seed=config.seed,
            timeout=config.timeout,
            trial_timeout=config.trial_timeout,
            device=gpus.device,
            checkpoints=config.checkpoints,
            start=start,
            settings=setup.settings,
            protocol=setup.protocol,
            reuse=config.reuse,
            inherit=config.weights == "inherit",
            watch=watch,
            callbacks=[made(import_attribute(name, "callback")) for name in config.callbacks],
        )


def made(callback: Any) -> Any:
    """An object as it is; of a class or a function, what it makes: one for every search."""
    return callback() if callable(callback) else callback


def _baseline(setup: Setup, url: str, gpus: GpuShare, err: Console) -> Comparison:
    theirs = random_search(setup)
    err.print(f"random search with the same budget: study {theirs.study}", highlight=False, soft_wrap=True)
    carry_out(theirs, url, gpus, err, [])
    return compare(setup, url)


def _published(setup: Setup, training: Training, url: str, gpus: GpuShare, err: Console) -> Result | None:
    """The published families, scaled down to the limits on known costs, trained in a study of their own alike."""
    limits = pricing_of(setup).limits

    def fits(network: Architecture) -> bool:
        return excess(limits, training.costs(network)) == 0

    members = {
        family.name: member
        for family in zoo.FAMILIES
        if (member := zoo.scaled(family, training.data.resolution, fits)) is not None
    }
    if len(members) < 2:  # a space of one is no search
        err.print(f"published families within the limits at some scale: {', '.join(members) or 'none'}; none trained")
        return None
    space = Space(one_of(**members))
    changes: dict[str, Any] = {"trials": len(members), "timeout": None, "reuse": False, "limits": [*map(str, limits)]}
    changes["weights"] = "scratch"  # a family that began with another's weights would be neither
    config = setup.config.model_copy(update=changes | setup.config.at_once)
    theirs = dataclasses.replace(setup, space=space, study=setup.study + PUBLISHED, config=config, scores=None)
    return carry_out(theirs, url, gpus, err, list(members.values()))


@contextmanager
def resumable(url: str, err: Console) -> Iterator[None]:
    """As `signals`, and what is said then is how to go on."""
    try:
        with signals():
            yield
    except Terminated:
        err.print(f"stopped; what is done is in {redact(url)}, and the same command goes on from there", soft_wrap=True)
        raise


@contextmanager
def signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP (a closed terminal) raise Terminated; one that is ignored, as by nohup, stays so."""
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGHUP:
            _let_go_of_terminal()
        raise KeyboardInterrupt  # Ray's C code lets no other one through

    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    pool = logging.getLogger("sqlalchemy.pool")  # a second Ctrl-C while a connection closes is a traceback to it
    level = pool.level
    pool.setLevel(logging.CRITICAL)
    try:
        yield
    except KeyboardInterrupt:
        raise Terminated(received[0] if received else signal.SIGINT) from None
    finally:
        pool.setLevel(level)
        for number, handler in before.items():
            signal.signal(number, handler)


def _let_go_of_terminal() -> None:
    """Where the output was a terminal that is gone, writing to it is an error; from now on it goes nowhere."""
    for stream in (sys.stdout, sys.stderr):
        try:
            os.write(stream.fileno(), b"")
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
