"""`nas search --dry-run`: how large the space is, how much of it is feasible, what a trial costs."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

from nas.config import SearchConfig
from nas.feasible import Feasibility
from nas.wording import quantity
from runners.estimate import estimated
from runners.job_setup import Setup, prepare, pricing_of, starts


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
    estimate = None if setup.training is None else estimated(setup, setup.training, pricing, survey.nearest)
    if as_json:
        sys.stdout.write(json.dumps(_facts(setup, survey) | ({} if estimate is None else estimate.as_dict())) + "\n")
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
    if estimate is not None:
        out.print(estimate.line(config), highlight=False, soft_wrap=True)
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
