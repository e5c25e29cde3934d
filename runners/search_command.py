"""`nas search`: from a configuration to a finished search, its closing table and its export."""

from __future__ import annotations

import json
import shlex
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from nas import zoo
from nas.api import Result, search
from nas.config import SearchConfig
from nas.errors import InputError
from nas.feasible import Pricing
from nas.objectives import excess, limits_from, objectives_from
from nas.space import Space, one_of
from nas.store.database import DEFAULT, redact, storage_url
from nas.trial import State, Trial
from runners.job_setup import Setup, prepare, starts
from runners.progress import Watcher
from runners.tables import quantity, trial_json, trial_table

PUBLISHED = ".published"  # the study of the scaled published families is called so after the search's name


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a search as Ctrl-C does."""


def run_search(config: SearchConfig, *, as_json: bool, out: Console, err: Console) -> int:
    """Carry out `nas search`; the exit code: 0 done, 1 nothing succeeded.

    Raises: NasError for bad input, KeyboardInterrupt (after saying how to go on) when interrupted.
    """
    url = storage_url(config.storage)
    setup = prepare(config)
    gpus = _gpus(config, setup)
    err.print(_opening(setup, url), highlight=False, soft_wrap=True)
    started = time.monotonic()
    try:
        with _sigterm():
            result = _search(setup, setup.space, setup.study, url, gpus, err, starts(setup), config.trials, config.timeout)
            published = _published(setup, url, gpus, err) if config.published and setup.data is not None else None
    except KeyboardInterrupt:
        err.print(f"stopped; what is done is in {redact(url)}, and the same command goes on from there")
        raise
    exported = _export(setup, result) if config.export and result.best is not None and setup.data is not None else None
    if as_json:
        sys.stdout.write(json.dumps(_summary(setup, result, published, exported, url), allow_nan=False) + "\n")
    else:
        _close(setup, result, published, exported, url, time.monotonic() - started, out)
    return 0 if result.best is not None else 1


def _search(
    setup: Setup, space: Space, study: str, url: str, gpus: float, err: Console, start: Sequence[Any], trials: int, timeout: float | None
) -> Result:
    config = setup.config
    with Watcher(err, study) as watch:
        return search(
            space,
            setup.evaluate,
            objectives=config.objectives,
            costs=setup.costs,
            constraints=config.limits,
            trials=trials,
            sampler=config.sampler,
            storage=url,
            study=study,
            runner=config.runner,
            workers=config.workers,
            gpus_per_trial=gpus,
            address=config.address,
            epochs=config.epoch_range,
            seed=config.seed,
            timeout=timeout,
            device="cuda" if gpus else "cpu",
            checkpoints=config.checkpoints,
            start=start,
            settings=setup.settings,
            watch=watch,
        )


def _published(setup: Setup, url: str, gpus: float, err: Console) -> Result | None:
    """The published families, scaled down to the limits, trained in a study of their own."""
    assert setup.data is not None and setup.costs is not None
    limits, costs, resolution = limits_from(setup.config.limits), setup.costs, setup.data.resolution
    members = {
        family.name: member
        for family in zoo.FAMILIES
        if (member := zoo.scaled(family, resolution, lambda network: excess(limits, costs(network)) == 0))
    }
    if not members:
        err.print("no published family fits the limits at any scale")
        return None
    if len(members) == 1:
        members["again"] = next(iter(members.values()))
    space = Space(one_of(**members))
    return _search(setup, space, setup.study + PUBLISHED, url, gpus, err, list(members.values()), len(members), None)


def _gpus(config: SearchConfig, setup: Setup) -> float:
    """The share of a GPU for each trial: as asked; else one where the built-in training finds one."""
    if config.gpus_per_trial is not None:
        return config.gpus_per_trial
    if setup.data is None or config.runner == "ray":
        return 0.0
    import torch

    return 1.0 if torch.cuda.is_available() else 0.0


@contextmanager
def _sigterm() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _export(setup: Setup, result: Result) -> Any:
    from nas.export import export

    assert setup.data is not None and setup.config.export is not None and result.best is not None
    return export(result.best, setup.data, Path(setup.config.export), study=setup.study, force=True)


# -- what is said ------------------------------------------------------------------------------------------------------


def _opening(setup: Setup, url: str) -> str:
    config = setup.config
    limits = f", within {', '.join(config.limits)}" if config.limits else ""
    data = f"{setup.data.name}: {setup.data.counts['train']:,} training and {setup.data.counts['validation']:,} validation images" if setup.data else str(config.evaluate)
    return (
        f"study {setup.study} in {redact(url)}: {config.trials} trials of {config.epoch_range[1]} epochs, "
        f"space {config.space} ({setup.space.count()} architectures{limits}), {data}"
    )


def _close(
    setup: Setup, result: Result, published: Result | None, exported: Any, url: str, seconds: float, out: Console
) -> None:
    objectives = objectives_from(setup.config.objectives)
    complete = [trial for trial in result.trials if trial.state is State.COMPLETE]
    shown = result.pareto if len(objectives) > 1 else result.ranked[:5]
    title = "the front found" if len(objectives) > 1 else "the best found"
    if shown:
        out.print(trial_table(shown, objectives, title))
    rivals = _rivals(result, published)
    if rivals:
        out.print(trial_table([trial for _, trial in rivals], objectives, "for comparison: " + ", ".join(name for name, _ in rivals)))
    failed = sum(trial.state is State.FAIL for trial in result.trials)
    rejected = ", ".join(f"{count} {reason}" for reason, count in result.rejected.items() if count)
    out.print(
        f"{len(complete)} trials complete, {failed} failed in {seconds:.0f} s"
        + (f"; never trained: {rejected}" if rejected else "")
        + ("; nothing new is left within the limits" if result.exhausted else ""),
        highlight=False, soft_wrap=True,
    )
    if exported is not None:
        accuracy = {split: values["accuracy"] for split, values in exported.metrics.items()}
        out.print(
            f"exported to {exported.folder} ({', '.join(exported.files)}): accuracy {accuracy['validation']:.4f} on "
            f"validation, [bold]{accuracy['test']:.4f} on test[/bold]; the reloaded model gives the same logits",
            highlight=False, soft_wrap=True,
        )
    for line in _where_next(setup, exported, url):
        out.print(line, highlight=False, soft_wrap=True)


def _rivals(result: Result, published: Result | None) -> list[tuple[str, Trial]]:
    rivals = []
    drawn = [trial for trial in result.ranked if trial.origin == "random"]
    if drawn:
        rivals.append((f"best of {sum(trial.origin == 'random' for trial in result.trials)} random trials", drawn[0]))
    if published is not None and published.best is not None:
        family = next((f.name for f in zoo.FAMILIES if _is_member(f.name, published.best)), "family")
        rivals.append((f"best published family scaled down ({family})", published.best))
    return rivals


def _is_member(family: str, trial: Trial) -> bool:
    kinds = {block.mixer.kind for stage in trial.candidate.stages for block in stage.blocks}
    own = {"convmixer": "depthwise_conv", "mlp-mixer": "token_mlp", "vit": "attention", "poolformer": "pooling", "cvt": "conv_attention"}
    return own[family] in kinds


def _where_next(setup: Setup, exported: Any, url: str) -> list[str]:
    where = "" if url == DEFAULT else f" --storage {shlex.quote(url)}" if redact(url) == url else "  (NAS_STORAGE as now)"
    lines = [f"look: nas dashboard{where}", f"all trials: nas trials {setup.study}{where}"]
    if exported is None and setup.data is not None:
        lines.append(f"export: nas export {setup.study} --to DIR{where}")
    return lines


def _summary(setup: Setup, result: Result, published: Result | None, exported: Any, url: str) -> dict[str, Any]:
    return {
        "study": setup.study,
        "storage": redact(url),
        "trials": len(result.trials),
        "complete": sum(trial.state is State.COMPLETE for trial in result.trials),
        "failed": sum(trial.state is State.FAIL for trial in result.trials),
        "rejected": dict(result.rejected),
        "exhausted": result.exhausted,
        "best": trial_json(result.best) if result.best else None,
        "pareto": [trial_json(trial) for trial in result.pareto],
        "published": trial_json(published.best) if published and published.best else None,
        "export": {"folder": str(exported.folder), "metrics": exported.metrics} if exported else None,
    }


def dry_run(config: SearchConfig, *, as_json: bool, out: Console) -> int:
    """`nas search --dry-run`: how large the space is, how much of it is feasible, what a trial costs."""
    setup = prepare(config)
    pricing = Pricing(setup.space, setup.costs, limits_from(config.limits))
    survey = pricing.require_feasible(config.seed)
    count = setup.space.count()
    facts: dict[str, Any] = {
        "study": setup.study,
        "space": config.space,
        "genes": len(setup.space),
        "candidates": count.value,
        "exact": count.exact,
        "feasible_share": survey.share,
        "ranges": {name: list(values) for name, values in survey.ranges.items()},
        "trials": config.trials,
    }
    if setup.data is not None and setup.recipe is not None:
        facts |= _trial_seconds(setup, pricing)
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return 0
    out.print(f"space {config.space}: {len(setup.space)} genes, {count} candidates", highlight=False)
    share = f"{survey.share:.1%}" if survey.share else "under 0.4%"
    out.print(f"within the limits: {share} of a sample" if config.limits else "no limits", highlight=False)
    for name, (low, high) in survey.ranges.items():
        out.print(f"  {name}: {quantity(low)} to {quantity(high)} in the sample", highlight=False)
    if "trial_seconds" in facts:
        out.print(
            f"a trial of {config.epoch_range[1]} epochs: about {facts['trial_seconds']:.0f} s on one worker of this machine "
            f"(median of {facts['timed']} feasible networks); {config.trials} trials on {facts['workers']} workers: about {facts['search_seconds'] / 60:.0f} min",
            highlight=False, soft_wrap=True,
        )
    return 0


def _trial_seconds(setup: Setup, pricing: Pricing) -> dict[str, Any]:
    import random

    import torch

    from nas.training import seconds_per_epoch
    from runners.local import cores

    assert setup.data is not None and setup.recipe is not None
    workers = setup.config.workers or cores()
    torch.set_num_threads(max(1, cores() // workers))
    rng, seconds = random.Random(setup.config.seed), []
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for _ in range(3):
        start = pricing.price(setup.space.sample(rng))
        network = pricing.walk_down(start, rng, lambda _: True).candidate
        seconds.append(seconds_per_epoch(network, setup.data, setup.recipe, device) * setup.recipe.epochs)
    trial = statistics.median(seconds)
    return {"trial_seconds": trial, "timed": len(seconds), "workers": workers, "search_seconds": trial * setup.config.trials / workers}


def check_runner(config: SearchConfig) -> None:
    """Raises: InputError for combinations that no runner takes."""
    if config.runner != "ray" and config.address is not None:
        raise InputError(f"--address {config.address}: only --runner ray connects to a cluster")
