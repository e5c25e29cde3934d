"""Who proposes candidates: samplers by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from nas.errors import InputError, unknown
from nas.feasible import Pricing, Scores, numbers
from nas.objectives import Limit, Objective
from nas.samplers.base import Outcome, Proposal, Sampler
from nas.space import Space

NAMES = ("auto", "evolution", "tpe", "nsga2", "nsga3", "gp", "qmc", "random", "brute-force", "cmaes")

__all__ = ["NAMES", "Outcome", "Proposal", "Sampler", "make_sampler"]


def make_sampler(
    name: str,
    space: Space,
    objectives: Sequence[Objective],
    seed: int,
    *,
    pricing: Pricing | None = None,
    metric_limits: Sequence[Limit] = (),
    scores: Scores | None = None,
) -> Sampler:
    """A sampler by name; what is known before training and what is limited comes from `pricing`.

    `scores` of a candidate, known without training but slow, are for "auto".

    Raises: InputError for an unknown name, one that does not suit the space, or scores that it would not look at.
    """
    if name not in NAMES:
        raise unknown("sampler", name, NAMES)
    if scores is not None and name != "auto":
        raise InputError(f"sampler {name}: only auto chooses by scores of untrained candidates: leave one out")
    if name == "random":
        from nas.samplers.random import RandomSampler

        return RandomSampler(space, seed)
    if name == "evolution":
        from nas.samplers.evolution import EvolutionSampler

        return EvolutionSampler(space, objectives, seed, metric_limits)
    if name == "auto":
        from nas.samplers.surrogate import SurrogateSampler

        told = partial(numbers, "scores", scores, finite=False) if scores is not None else None
        return SurrogateSampler(pricing or Pricing(space, None, ()), objectives, seed, told)
    if name == "qmc":
        from nas.samplers.qmc import QmcSampler

        return QmcSampler(space, seed)
    if name == "brute-force":
        from nas.samplers.brute_force import BruteForceSampler

        return BruteForceSampler(pricing or Pricing(space, None, ()), seed)
    from nas.samplers.optuna import OptunaSampler

    return OptunaSampler(name, space, objectives, seed, metric_limits)
