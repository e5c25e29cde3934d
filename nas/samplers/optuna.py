"""Optuna's samplers over our genome, in memory.

Ordered genes are integers to Optuna, so that it knows neighbours; others are categorical. Genes that a candidate does
not use are filled at random: pinned to their first option they would make TPE believe in the order of options.
Limits on what is measured are Optuna's constraints, in the form that all its samplers read since 5.0: named numbers on
the trial, 0 or less when kept. A sampler that proposes again and again what cannot be taken is spared: see `Kind`.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from nas.errors import SpaceError
from nas.objectives import Limit, Objective
from nas.samplers.base import Outcome, Proposal
from nas.samplers.optuna_kinds import KINDS, check
from nas.space import Genome, Space

PRUNED = TrialState.PRUNED
FIRST_GENERATION = {
    "NSGAIISampler:generation": 0,
    "NSGAIIISampler:generation": 0,
}  # Optuna's mark of who may be a parent
FURTHER = 8  # relatives that are tried at one distance before the next


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

    def __init__(
        self,
        name: str,
        space: Space,
        objectives: Sequence[Objective],
        seed: int,
        metric_limits: Sequence[Limit] = (),
    ) -> None:
        """Raises: InputError for a sampler that does not suit the space or what is searched for."""
        check(name, space, objectives, metric_limits)
        self.name, self._space, self._seed, self._kind = name, space, seed, KINDS[name]
        self._rng = random.Random(seed)
        self._distributions = _Shared(
            {gene.path: _distribution(len(gene.options), gene.ordered) for gene in space.genes}
        )
        self._storage = _Storage()
        with _quiet():
            self._study = optuna.create_study(
                storage=self._storage,
                sampler=self._sampler(),
                directions=["maximize" if objective.maximize else "minimize" for objective in objectives],
            )
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._told, self._generation = 0, 0
        self._prunes = name == "tpe" and len(objectives) == 1
        self._early = set[int]()  # told what they came to at their first rung
        self._known: set[Genome] = set()
        self._refused: list[Genome] = []  # proposals since one was taken or something was told
        self._repeats, self._relatives = 0, 0  # of those, the known ones; how many of their relatives were tried

    def _sampler(self, earlier: Sequence[FrozenTrial] = ()) -> BaseSampler:
        return self._kind.make(self._seed, earlier)

    def ask(self) -> Proposal:
        """A proposal, labelled "random" while the sampler still has too little to learn from."""
        if self._kind.results is not None and self._told >= self._kind.results:
            self.name, self._kind = "tpe", KINDS["tpe"]
            self._study.sampler = self._sampler()
        if self._stuck:
            try:
                return Proposal(self._relative(), self.name)
            except SpaceError:  # without a legal neighbour
                self._go_on()
        trial = self._study.ask(self._distributions)
        params = trial.params  # a deep copy at every look
        genome = tuple(int(params[gene.path]) for gene in self._space.genes)
        origin = "random" if self._told < self._kind.startup else self.name
        return Proposal(genome, origin, trial.number)

    @property
    def _stuck(self) -> bool:
        many = len(self._refused) >= self._kind.asks or self._repeats >= self._kind.repeats
        return many and self._told >= self._kind.startup

    def _relative(self) -> Genome:
        """Of a refused proposal a mutant, the further away the more were tried. Raises: SpaceError."""
        genome = self._refused[self._relatives % len(self._refused)]
        for _ in range(1 + self._relatives // FURTHER):
            genome = self._space.mutate(genome, self._rng)
        self._relatives += 1
        return genome

    def accept(self, proposal: Proposal, genome: Genome) -> int:
        """The same network as proposed keeps Optuna's trial; another becomes a trial of its own."""
        if self._space.canonical(proposal.genome) == genome and proposal.ticket is not None:
            self._go_on()
            self._known.add(genome)
            return proposal.ticket
        self.reject(proposal)
        return self.add(genome)

    def reject(self, proposal: Proposal, excesses: Sequence[float] = ()) -> None:  # noqa: ARG002
        """Nothing is learnt; the trial is used again."""
        if proposal.ticket is not None:
            self._refused.append(proposal.genome)
            self._repeats += self._space.canonical(proposal.genome) in self._known
            self._storage.reject(self._trial_id(proposal.ticket))

    def _go_on(self) -> None:
        self._refused.clear()
        self._repeats, self._relatives = 0, 0

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def see(self, handle: int, outcome: Outcome) -> None:
        """What has stopped at a rung.

        TPE takes it, with one objective, for what it is. The others would take it for the end: they are told the value
        of every trial at its first rung, and of no later one.
        """
        if not outcome.settled or outcome.fidelity == 1:
            return
        if self._prunes:
            step = _step(outcome.fidelity)
            self._storage.set_trial_intermediate_value(self._trial_id(handle), step, float(outcome.values[0]))
        elif handle not in self._early:
            self._finish(handle, _at_first(outcome))
            self._early.add(handle)

    def tell(self, handle: int, outcome: Outcome | None) -> None:
        """Pass on the values, or the failure; for TPE what was stopped early is pruned."""
        self._go_on()
        if handle in self._early:
            self._early.remove(handle)
        elif outcome is None or (outcome.fidelity < 1 and not self._prunes):
            self._study.tell(handle, state=TrialState.FAIL)
        elif outcome.fidelity < 1:
            self.see(handle, outcome)
            _constrain(self._storage.get_trial(self._trial_id(handle)), outcome)
            self._study.tell(handle, state=PRUNED)
            self._told += 1
        else:
            self._finish(handle, outcome)

    def _finish(self, handle: int, outcome: Outcome) -> None:
        _constrain(self._storage.get_trial(self._trial_id(handle)), outcome)
        self._study.tell(handle, list(outcome.values))
        self._told += 1

    def add(self, genome: Genome) -> int:
        """A running trial with these parameters; for NSGA a member of the generation under way."""
        self._go_on()
        number = self._insert(genome, TrialState.RUNNING, None)
        sampler = self._study.sampler
        if isinstance(sampler, BaseGASampler):
            trial = self._storage.get_all_trials(self._study_id, deepcopy=False)[number]
            generation = sampler.get_trial_generation(self._study, trial)
            if generation != self._generation:  # its parents are looked for now: later Optuna recurses over them all
                sampler.get_parent_population(self._study, generation)
                self._generation = generation
        return number

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """Complete or failed from the start: for NSGA the first generation, for CMA-ES what its first steps follow."""
        for genome, outcome in ended:
            if outcome is not None and not self._prunes:  # as `see` would have told it
                outcome = _at_first(outcome)  # noqa: PLW2901
            self._insert(genome, _state(outcome), outcome)
            self._told += outcome is not None
        if self.name == "cmaes":
            complete = (TrialState.COMPLETE,)
            with _quiet():
                earlier = self._storage.get_all_trials(self._study_id, deepcopy=False, states=complete)
                self._study.sampler = self._sampler(earlier)

    def _insert(self, genome: Genome, state: TrialState, outcome: Outcome | None) -> int:
        """Give Optuna a trial as it is; returns its number."""
        self._known.add(genome)
        filled = self._space.fill(genome, self._rng)
        steps = {_step(outcome.fidelity): float(outcome.values[0])} if outcome is not None and state is PRUNED else {}
        now = datetime.datetime.now()  # noqa: DTZ005 - naive as Optuna's own
        trial = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=state,
            value=None,
            values=None if outcome is None else [float(value) for value in outcome.values],  # pruned: of the last step
            datetime_start=now,
            datetime_complete=now if state.is_finished() else None,
            params={gene.path: option for gene, option in zip(self._space.genes, filled, strict=True)},
            distributions=self._distributions,
            user_attrs={},
            system_attrs=dict(FIRST_GENERATION) if state.is_finished() else {},
            intermediate_values=steps,
        )
        if outcome is not None:
            _constrain(trial, outcome)
        return self._storage.get_trial_number_from_id(self._storage.create_new_trial(self._study_id, trial))


def _at_first(outcome: Outcome) -> Outcome:
    """What it was at its first rung, in the place of a result."""
    return dataclasses.replace(outcome, values=outcome.earlier.get(outcome.first, outcome.values), fidelity=1.0)


def _state(outcome: Outcome | None) -> TrialState:
    if outcome is None:
        return TrialState.FAIL
    return TrialState.COMPLETE if outcome.fidelity == 1 else PRUNED


def _step(fidelity: float) -> int:
    """Thousandths of the full budget."""
    return round(1000 * fidelity)


def _distribution(options: int, ordered: bool) -> BaseDistribution:  # noqa: FBT001
    return IntDistribution(0, options - 1) if ordered else CategoricalDistribution(tuple(range(options)))


def _constrain(trial: FrozenTrial, outcome: Outcome) -> None:
    for index, excess in enumerate(outcome.excesses):
        trial.set_constraint(str(index), excess)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's warnings of experiments and its log."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
