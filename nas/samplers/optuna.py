"""Optuna's samplers over our genome, in memory.

Ordered genes are integers to Optuna, so that it knows neighbours; others are categorical. Genes that a candidate does
not use are filled at random: pinned to their first option they would make TPE believe in the order of options.
"""

from __future__ import annotations

import datetime
import random
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from nas.objectives import Objective
from nas.samplers.base import Outcome, Proposal
from nas.space import Genome, Space

STARTUP = 10  # random proposals before TPE models anything
POPULATION = 20  # of NSGA-II: small, since trainings are few

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # multivariate is off by default for several objectives, where it is as much better as for one
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=POPULATION),
}
RANDOM_UNTIL = {"tpe": STARTUP, "nsga2": POPULATION}
FIRST_GENERATION = {"NSGAIISampler:generation": 0}  # how Optuna marks, in its storages, what NSGA-II descends from


class _Shared(dict[str, BaseDistribution]):
    """Distributions that all trials given to Optuna share: its copies of them would be most of a study's memory."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


class _Storage(InMemoryStorage):
    """Optuna's own, where a rejected trial is the next one to be asked for.

    Under tight limits most proposals are rejected; failed trials would fill the memory, and every ask looks at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._spare: list[int] = []

    def reject(self, trial_id: int) -> None:
        """Forget what a running trial was given."""
        trial = self.get_trial(trial_id)
        trial.params, trial.distributions, trial.system_attrs = {}, {}, {}
        self._spare.append(trial_id)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """A rejected trial where there is one."""
        if template_trial is None and self._spare:
            return self._spare.pop()
        return super().create_new_trial(study_id, template_trial)


class OptunaSampler:
    """One of Optuna's samplers behind the contract of `nas.samplers.base.Sampler`. Handles are Optuna's numbers."""

    def __init__(self, name: str, space: Space, objectives: Sequence[Objective], seed: int) -> None:
        self.name, self._space = name, space
        self._rng = random.Random(seed)
        self._distributions = _Shared(
            {gene.path: _distribution(len(gene.options), gene.ordered) for gene in space.genes}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = SAMPLERS[name](seed)
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = _Storage()
        self._study = optuna.create_study(
            storage=self._storage,
            sampler=sampler,
            directions=["maximize" if objective.maximize else "minimize" for objective in objectives],
        )
        optuna.logging.set_verbosity(verbosity)
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._told, self._generation = 0, 0

    def ask(self) -> Proposal:
        """A proposal, labelled "random" while the sampler still has too little to learn from."""
        trial = self._study.ask(self._distributions)
        params = trial.params  # a deep copy at every look
        genome = tuple(int(params[gene.path]) for gene in self._space.genes)
        origin = "random" if self._told < RANDOM_UNTIL[self.name] else self.name
        return Proposal(genome, origin, trial.number)

    def accept(self, proposal: Proposal, genome: Genome) -> int:
        """The same network as proposed keeps Optuna's trial; another becomes a trial of its own."""
        if self._space.canonical(proposal.genome) == genome and proposal.ticket is not None:
            return proposal.ticket
        self.reject(proposal)
        return self.add(genome)

    def reject(self, proposal: Proposal, excesses: Sequence[float] = ()) -> None:  # noqa: ARG002
        """Nothing is learnt; the trial is used again."""
        if proposal.ticket is not None:
            self._storage.reject(self._storage.get_trial_id_from_study_id_trial_number(self._study_id, proposal.ticket))

    def see(self, handle: int, outcome: Outcome) -> None:
        """Nothing: Optuna's samplers take partial values for final ones."""

    def tell(self, handle: int, outcome: Outcome | None) -> None:
        """Pass on the values, or the failure; one that was stopped early counts as that."""
        if outcome is None or outcome.fidelity < 1:
            self._study.tell(handle, state=TrialState.FAIL)
        else:
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, handle)
            for key, excess in _constraints(outcome).items():
                self._storage.set_trial_system_attr(trial_id, key, excess)
            self._study.tell(handle, list(outcome.values))
            self._told += 1

    def add(self, genome: Genome) -> int:
        """A running trial with these parameters; for NSGA-II a member of the generation under way."""
        number = self._insert(genome, TrialState.RUNNING, None)
        sampler = self._study.sampler
        if isinstance(sampler, NSGAIISampler):
            trial = self._storage.get_all_trials(self._study_id, deepcopy=False)[number]
            generation = sampler.get_trial_generation(self._study, trial)
            if generation != self._generation:  # its parents are looked for now: later Optuna recurses over them all
                sampler.get_parent_population(self._study, generation)
                self._generation = generation
        return number

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """Trials that are complete or failed from the start; for NSGA-II all of them are the first generation."""
        for genome, outcome in ended:
            whole = None if outcome is None or outcome.fidelity < 1 else outcome
            self._insert(genome, TrialState.FAIL if whole is None else TrialState.COMPLETE, whole)
            self._told += whole is not None

    def _insert(self, genome: Genome, state: TrialState, outcome: Outcome | None) -> int:
        """Give Optuna a trial as it is; returns its number."""
        filled = self._space.fill(genome, self._rng)
        now = datetime.datetime.now()  # noqa: DTZ005 - naive as Optuna's own
        trial = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=state,
            value=None,
            values=None if outcome is None else outcome.values,
            datetime_start=now,
            datetime_complete=now if state.is_finished() else None,
            params={gene.path: option for gene, option in zip(self._space.genes, filled, strict=True)},
            distributions=self._distributions,
            user_attrs={},
            system_attrs={**(FIRST_GENERATION if state.is_finished() else {}), **_constraints(outcome)},
            intermediate_values={},
        )
        return self._storage.get_trial_number_from_id(self._storage.create_new_trial(self._study_id, trial))


def _constraints(outcome: Outcome | None) -> dict[str, float]:
    """As Optuna 5 reads them from the system attributes of a trial; it has no public way for one that is inserted."""
    excesses = () if outcome is None else outcome.excesses
    return {f"constraints:{index}": float(excess) for index, excess in enumerate(excesses)}


def _distribution(options: int, ordered: bool) -> BaseDistribution:  # noqa: FBT001
    return IntDistribution(0, options - 1) if ordered else CategoricalDistribution(tuple(range(options)))
