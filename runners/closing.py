"""What `nas search` says at its start and at its end."""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from nas.api import Result
from nas.companions import Comparison
from nas.config import SearchConfig
from nas.objectives import limits_from, objectives_from
from nas.ranking import shortfall
from nas.store.database import DEFAULT
from nas.store.trouble import redact
from nas.supernet import BY_SUPERNET
from nas.trial import Source, State, Trial
from runners.baseline import comparison_json, comparison_line
from runners.by_rung import rungs_json, rungs_line, spent_line
from runners.job_setup import Setup
from runners.tables import trial_json, trial_table

if TYPE_CHECKING:
    from nas.export import Exported
    from runners.oneshot_report import Trained


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A search that is over: what it found, the published families and random search beside it, and the export."""

    setup: Setup
    result: Result
    published: Result | None
    baseline: Comparison | None
    exported: Exported | None
    url: str
    seconds: float
    oneshot: Trained | None = None


def opening(setup: Setup, url: str) -> str:
    """One sentence about what is going to happen."""
    config = setup.config
    limits = f", within {', '.join(config.limits)}" if config.limits else ""
    images = config.evaluate or ""
    if setup.training is not None:
        data = setup.training.data
        counts = f"{data.counts['train']:,} training and {data.counts['validation']:,} validation images"
        images = f"{data.name}: {counts} of {data.resolution}x{data.resolution}"
    begin = ", each from the weights of the nearest trained one" if config.weights == "inherit" else ""
    return (
        f"study {setup.study} in {redact(url)}: {config.trials} trials {_budgets(config)}{begin}, "
        f"space {config.space} ({setup.space.count()} architectures{limits}), {images}"
    )


def _budgets(config: SearchConfig) -> str:
    rungs = config.rungs
    if config.weights == "supernet":
        return "judged by the weights of a supernet"
    if len(rungs.levels) == 1:
        return f"of {rungs.full} epochs"
    told = f"on rungs of {', '.join(map(str, rungs.levels))} epochs"
    side = f" of {config.rung_resolution}x{config.rung_resolution} pixels" if config.rung_resolution else ""
    if rungs.share < 1 or side:
        told += f", the first with {rungs.share:.0%} of the training images{side}"
    return told


def close(outcome: Outcome, out: Console) -> None:
    """The best found, what they compare with, the export, and where to look next."""
    setup, result = outcome.setup, outcome.result
    objectives = objectives_from(setup.config.objectives)
    many = len(objectives) > 1
    shown = result.pareto if many else result.ranked[:5]
    limits = limits_from(setup.config.limits)
    if shown:
        title = "the front" if many else "the best"
        title += " by inherited weights" if setup.settings.get("weights") == BY_SUPERNET else " found"
        out.print(trial_table(shown, objectives, title, limits=limits))
    if rivals := _rivals(outcome):
        names, rival_trials = zip(*rivals, strict=True)
        out.print(trial_table(rival_trials, objectives, "for comparison", names, limits))
    baseline = comparison_line(outcome.baseline) if outcome.baseline else ""
    trained = result.trials, setup.config.rungs
    spent = "; ".join(filter(None, (spent_line(*trained), rungs_line(*trained))))
    for line in (_shortfall(outcome), _counts(outcome), spent, baseline, _export_line(outcome), *_where_next(outcome)):
        if line:
            out.print(line, highlight=False, soft_wrap=True)
    if outcome.oneshot is not None:
        outcome.oneshot.tell(out)


def summary(outcome: Outcome) -> dict[str, Any]:
    """The same as JSON types."""
    result, exported = outcome.result, outcome.exported
    return {
        "study": outcome.setup.study,
        "storage": redact(outcome.url),
        "trials": len(result.trials),
        "complete": _in(result, State.COMPLETE),
        "failed": _in(result, State.FAIL),
        "pruned": _in(result, State.PRUNED),
        "paused": _in(result, State.PAUSED),
        **rungs_json(result.trials, outcome.setup.config.rungs),
        "reused": sum(trial.source is Source.REUSED for trial in result.trials),
        "inherited": _begun(result),
        "rejected": dict(result.rejected),
        "exhausted": result.exhausted,
        "seconds": outcome.seconds,
        "best": trial_json(result.best) if result.best else None,
        "nearest": trial_json(result.nearest) if result.nearest else None,
        "pareto": [trial_json(trial) for trial in result.pareto],
        "comparison": [{"what": name, **trial_json(trial)} for name, trial in _rivals(outcome)],
        "baseline": comparison_json(outcome.baseline) if outcome.baseline else None,
        "export": {"folder": str(exported.folder), "metrics": exported.metrics} if exported else None,
        "supernet": outcome.oneshot.as_json() if outcome.oneshot else None,
    }


def _rivals(outcome: Outcome) -> list[tuple[str, Trial]]:
    rivals = []
    drawn = [trial for trial in outcome.result.ranked if trial.origin == "random"]
    if drawn:
        rivals.append((f"best of the {len(drawn)} random trials", drawn[0]))
    if outcome.baseline is not None and outcome.baseline.best is not None:
        rivals.append(("the best of random search", outcome.baseline.best))
    if outcome.published is not None:
        families = outcome.published.ranked
        rivals += [(f"published, scaled down: {_family(trial)}", trial) for trial in families]
    return rivals


def _family(trial: Trial) -> str:
    """The families differ in the mixer of their blocks."""
    kinds = {
        "depthwise_conv": "ConvMixer",
        "token_mlp": "MLP-Mixer",
        "attention": "ViT",
        "pooling": "PoolFormer",
        "conv_attention": "CvT",
    }
    return kinds[trial.candidate.stages[-1].blocks[-1].mixer.kind]


def _shortfall(outcome: Outcome) -> str:
    nearest = outcome.result.nearest
    return "" if nearest is None else shortfall(nearest, limits_from(outcome.setup.config.limits))


def _in(result: Result, state: State) -> int:
    return sum(trial.state is state for trial in result.trials)


def _begun(result: Result) -> int:
    """Trials that began with the weights of another."""
    return sum(trial.parent is not None for trial in result.trials)


def _found_nothing(trial: Trial) -> bool:
    """Whether it was to begin with another's weights, and is from scratch."""
    return trial.parent is not None and any(
        told.get("inherited") == 0 and not told.get("anew") for told in trial.curve.values()
    )


def _counts(outcome: Outcome) -> str:
    result = outcome.result
    rejected = ", ".join(f"{count} {reason}" for reason, count in result.rejected.items() if count)
    text = f"{_in(result, State.COMPLETE)} trials complete, {_in(result, State.FAIL)} failed, {outcome.seconds:.0f} s"
    more = [
        f"{count} {what}"
        for what, count in (
            ("pruned", _in(result, State.PRUNED)),
            ("paused", _in(result, State.PAUSED)),
            ("run by Optuna", sum(trial.source is Source.ADOPTED for trial in result.trials)),
        )
        if count
    ]
    text += f"; {', '.join(more)}" if more else ""
    reused = sum(trial.source is Source.REUSED for trial in result.trials)
    if reused:
        text += f"; {reused} of them reused from other studies, not trained"
    if begun := _begun(result):
        text += f"; {begun} began with the weights of another"
        if empty := sum(_found_nothing(trial) for trial in result.trials):
            text += f", {empty} of them found none: is --checkpoints shared by all nodes?"
    if rejected:
        text += f"; proposed but never trained: {rejected}"
    return text + ("; nothing new is left within the limits" if result.exhausted else "")


def _export_line(outcome: Outcome) -> str:
    exported = outcome.exported
    if exported is None:
        return ""
    accuracy = {split: values["accuracy"] for split, values in exported.metrics.items()}
    return (
        f"exported: {_near(exported.folder)} ({', '.join(exported.files)}); "
        f"accuracy {accuracy['validation']:.4f} on validation, {accuracy['test']:.4f} on test; "
        f"the reloaded model gives the same logits"
    )


def _near(path: Path) -> str:
    """The path, relative where it lies below the working directory."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _where_next(outcome: Outcome) -> list[str]:
    setup, url = outcome.setup, outcome.url
    secret = "NAS_STORAGE_FILE" if os.environ.get("NAS_STORAGE_FILE") else "NAS_STORAGE"
    where = "" if url == DEFAULT else f" --storage {shlex.quote(url)}" if redact(url) == url else f"  ({secret} as now)"
    lines = [f"watch: nas dashboard{where}", f"every trial: nas trials {setup.study}{where}"]
    lines.append(f"all of it in one file: nas report {setup.study} --to {setup.study}.html{where}")
    trained = outcome.oneshot is None and setup.training is not None  # else those trained after say it of themselves
    if outcome.exported is None and trained and outcome.result.best is not None:
        lines.append(f"take it home: nas export {setup.study} --to DIR{where}")
    if outcome.baseline is not None and outcome.result.best is not None:
        lines.append(f"how much of it is luck: nas confirm {setup.study}{where}")
    return lines
