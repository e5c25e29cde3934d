"""Who proposes candidates: samplers by name."""

from __future__ import annotations

from collections.abc import Sequence

from nas.errors import unknown
from nas.objectives import Objective
from nas.samplers.base import Proposal, Sampler
from nas.space import Space

NAMES = ("auto", "evolution", "tpe", "nsga2", "random")

__all__ = ["NAMES", "Proposal", "Sampler", "make_sampler"]


def make_sampler(name: str, space: Space, objectives: Sequence[Objective], seed: int) -> Sampler:
    """A sampler by name; "auto" is TPE over all genes jointly. Raises: InputError for an unknown name."""
    if name not in NAMES:
        raise unknown("sampler", name, NAMES)
    if name == "random":
        from nas.samplers.random import RandomSampler

        return RandomSampler(space, seed)
    if name == "evolution":
        from nas.samplers.evolution import EvolutionSampler

        return EvolutionSampler(space, objectives, seed)
    from nas.samplers.optuna import OptunaSampler

    return OptunaSampler("tpe" if name == "auto" else name, space, objectives, seed)
