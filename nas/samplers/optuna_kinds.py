"""Which of Optuna's samplers there are, how each is set up, and the spaces that one of them is refused for."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence

from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial

from nas.errors import InputError
from nas.objectives import Limit, Objective
from nas.space import Space

STARTUP = 10  # random proposals before anything is modelled
POPULATION = 20  # of NSGA-II and NSGA-III: small, since trainings are few


@dataclasses.dataclass(frozen=True)
class Kind:
    """One of Optuna's samplers.

    Attributes:
        make: from a seed and the complete trials of earlier runs.
        startup: how many of its first proposals are random.
        asks: how many refused proposals in a row are waited for; after them relatives of those are tried, which cost
            microseconds and of which some are new.
        repeats: how many of them that the sampler knows the result of.
        results: how many results it is good for; TPE goes on from there.
    """

    make: Callable[[int, Sequence[FrozenTrial]], BaseSampler]
    startup: int
    asks: int = 40
    repeats: int = 20
    results: int | None = None


def _tpe(seed: int, earlier: Sequence[FrozenTrial]) -> BaseSampler:  # noqa: ARG001
    # multivariate is off by default for several objectives, where it is as much better as for one; the constant liar
    # keeps those that are asked for together apart
    return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=STARTUP)


def _nsga2(seed: int, earlier: Sequence[FrozenTrial]) -> BaseSampler:  # noqa: ARG001
    return NSGAIISampler(seed=seed, population_size=POPULATION)


def _nsga3(seed: int, earlier: Sequence[FrozenTrial]) -> BaseSampler:  # noqa: ARG001
    return NSGAIIISampler(seed=seed, population_size=POPULATION)


def _gp(seed: int, earlier: Sequence[FrozenTrial]) -> BaseSampler:  # noqa: ARG001
    return GPSampler(seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False)  # trainings are noisy


def _cmaes(seed: int, earlier: Sequence[FrozenTrial]) -> BaseSampler:
    # without the margin it stands still once its step is below that between two options
    return CmaEsSampler(
        seed=seed, with_margin=True, warn_independent_sampling=False, source_trials=list(earlier) or None
    )


KINDS = {
    "tpe": Kind(_tpe, STARTUP, repeats=4),
    "nsga2": Kind(_nsga2, POPULATION),
    "nsga3": Kind(_nsga3, POPULATION),
    "gp": Kind(_gp, STARTUP, asks=1, repeats=1, results=500),  # a second of processor time for each 200 or so
    "cmaes": Kind(_cmaes, 1),
}


def check(name: str, space: Space, objectives: Sequence[Objective], metric_limits: Sequence[Limit]) -> None:
    """CMA-ES is for numbers, one objective and no limit on what is measured. Raises: InputError."""
    if name != "cmaes":
        return
    instead = "use auto, tpe or evolution"
    foreign = [gene.path for gene in space.genes if gene.parent is not None or not gene.ordered]
    if foreign:
        shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise InputError(
            f"sampler cmaes: {len(foreign)} of {len(space)} genes are not numbers that every candidate has ({shown}), "
            f"where CMA-ES falls back to random search: {instead}"
        )
    if len(space) < 2:
        raise InputError(f"sampler cmaes: the space has one gene, and CMA-ES needs two: {instead}")
    if len(objectives) > 1:
        raise InputError(f"sampler cmaes: {len(objectives)} objectives, and CMA-ES knows only one: {instead}")
    if metric_limits:
        raise InputError(f"sampler cmaes: CMA-ES does not look at limits such as {metric_limits[0]}: {instead}")
    if importlib.util.find_spec("cmaes") is None:
        raise InputError("sampler cmaes: the package cmaes is not installed: pip install cmaes")
