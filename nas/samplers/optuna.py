"""Optuna's samplers over our genome, in memory.

Ordered genes are integers to Optuna, so that it knows neighbours; others are categorical. Genes that a candidate does
not use are filled at random: pinned to their first option they would make TPE believe in the order of options.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from nas.objectives import Objective
from nas.samplers.base import Proposal
from nas.space import Genome, Space

STARTUP = 10  # random proposals before TPE models anything
POPULATION = 20  # of NSGA-II: small, since trainings are few

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # multivariate is off by default for several objectives, where it is as much better as for one
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=POPULATION),
    "random": lambda seed: RandomSampler(seed=seed),
}
RANDOM_UNTIL = {"tpe": STARTUP, "nsga2": POPULATION, "random": 0}


class OptunaSampler:
    """One of Optuna's samplers behind the contract of `nas.samplers.base.Sampler`."""

    def __init__(self, name: str, space: Space, objectives: Sequence[Objective], seed: int) -> None:
        self.name, self._space = name, space
        self._rng = random.Random(seed)
        self._distributions = {gene.path: _distribution(len(gene.options), gene.ordered) for gene in space.genes}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = SAMPLERS[name](seed)
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            sampler=sampler, directions=["maximize" if objective.maximize else "minimize" for objective in objectives]
        )
        optuna.logging.set_verbosity(verbosity)
        self._running: dict[int, optuna.Trial] = {}
        self._told = 0

    def ask(self) -> Proposal:
        """A proposal, labelled "random" while the sampler still has too little to learn from."""
        trial = self._study.ask(self._distributions)
        self._running[trial.number] = trial
        genome = tuple(int(trial.params[gene.path]) for gene in self._space.genes)
        origin = "random" if self._told < RANDOM_UNTIL[self.name] else self.name
        return Proposal(genome, origin, trial.number)

    def accept(self, proposal: Proposal, genome: Genome) -> int:
        """The same network as proposed keeps Optuna's trial; another becomes a trial of its own."""
        if self._space.canonical(proposal.genome) == genome and proposal.ticket is not None:
            return proposal.ticket
        self.reject(proposal)
        return self.add(genome)

    def reject(self, proposal: Proposal) -> None:
        """To Optuna a failed trial, which no sampler learns from."""
        if proposal.ticket is not None:
            self._study.tell(self._running.pop(proposal.ticket).number, state=TrialState.FAIL)

    def tell(self, handle: int, values: Sequence[float] | None) -> None:
        """Pass on the values, or the failure."""
        trial = self._running.pop(handle)
        if values is None:
            self._study.tell(trial.number, state=TrialState.FAIL)
        else:
            self._study.tell(trial.number, list(values))
            self._told += 1

    def add(self, genome: Genome) -> int:
        """A trial whose parameters are given: enqueued, then asked for."""
        filled = self._space.fill(genome, self._rng)
        params = {gene.path: option for gene, option in zip(self._space.genes, filled, strict=True)}
        self._study.enqueue_trial(params)
        trial = self._study.ask(self._distributions)
        self._running[trial.number] = trial
        return trial.number


def _distribution(options: int, ordered: bool) -> BaseDistribution:  # noqa: FBT001
    return IntDistribution(0, options - 1) if ordered else CategoricalDistribution(tuple(range(options)))
