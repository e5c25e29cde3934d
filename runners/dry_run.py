"""`nas search --dry-run`: how large the space is, how much of it is feasible, what a trial costs."""

from __future__ import annotations

import json
import random
import statistics
import sys
from typing import Any

from rich.console import Console

from nas.config import SearchConfig
from nas.feasible import Feasibility, Pricing
from nas.wording import quantity
from runners.job_setup import Setup, Training, prepare, pricing_of, starts

TIMED = 3  # feasible networks whose training is timed


def dry_run(config: SearchConfig, *, as_json: bool, out: Console) -> int:
    """Print the facts; nothing is written. Raises: InputError when nothing is within the limits."""
    from runners.search_command import check_cluster, check_weights

    check_cluster(config)
    check_weights(config)
    setup = prepare(config)
    pricing = pricing_of(setup)
    survey = pricing.require_feasible(config.seed)
    err = Console(stderr=True)
    starts(setup, lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True))
    times = _times(setup, setup.training, pricing, survey) if setup.training is not None else {}
    if as_json:
        sys.stdout.write(json.dumps(_facts(setup, survey) | times) + "\n")
        return 0
    out.print(f"space {config.space}: {len(setup.space)} genes, {setup.space.count()} architectures", highlight=False)
    rare = f"about 1 in {max(1, round(1 / survey.estimate)):.2g} of the space" if survey.estimate else "some were found"
    share = f"{survey.share:.1%} of a sample" if survey.share else f"none of a sample; {rare}"
    known = [str(limit) for limit in pricing.limits]
    if known or not config.limits:
        out.print(f"within {', '.join(known)}: {share}" if known else "no limits", highlight=False)
    if later := [limit for limit in config.limits if limit not in known]:
        out.print(f"{', '.join(later)}: known once it is measured, not counted in that share", highlight=False)
    for name, (low, high) in survey.ranges.items():
        out.print(f"  {name}: {quantity(low)} to {quantity(high)} in the sample", highlight=False)
    if times:
        climbing = " by rungs" if len(config.rungs.levels) > 1 else ""
        out.print(
            f"a trial of {config.epoch_range[1]} epochs: about {times['trial_seconds']:.0f} s on one worker here "
            f"(median of {TIMED} networks within the limits); {config.trials} trials{climbing} on {times['workers']} "
            f"workers: about {times['search_seconds'] / 60:.0f} min",
            highlight=False,
            soft_wrap=True,
        )
    return 0


def _facts(setup: Setup, survey: Feasibility) -> dict[str, Any]:
    count = setup.space.count()
    return {
        "study": setup.study,
        "space": setup.config.space,
        "genes": len(setup.space),
        "candidates": count.value,
        "exact": count.exact,
        "feasible_share": survey.share,
        "feasible_estimate": survey.estimate,
        "ranges": {name: list(values) for name, values in survey.ranges.items()},
        "trials": setup.config.trials,
    }


def _times(setup: Setup, training: Training, pricing: Pricing, survey: Feasibility) -> dict[str, float]:
    import torch

    from nas.training import seconds_per_epoch
    from runners.local import cores

    workers = setup.config.workers or cores()
    torch.set_num_threads(max(1, cores() // workers))
    rng, seconds = random.Random(setup.config.seed), []
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for _ in range(TIMED):
        found = pricing.draw(rng) or survey.nearest
        seconds.append(seconds_per_epoch(found.candidate, training.data, training.recipe, device))
    trial = statistics.median(seconds) * training.recipe.epochs
    share = setup.config.rungs.epochs(setup.config.trials) / training.recipe.epochs
    return {"trial_seconds": trial, "workers": workers, "search_seconds": trial * share / workers}
