"""Random search: legal candidates drawn from the space, nothing learnt."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from nas.samplers.base import Outcome, Proposal
from nas.space import Genome, Space


class RandomSampler:
    """Draws every choice evenly behind the contract of `nas.samplers.base.Sampler`; keeps nothing."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed, self._rng = space, seed, random.Random(seed)

    def ask(self) -> Proposal:
        """A legal canonical genome. Raises: SpaceError when the space has none."""
        return Proposal(self._space.sample(self._rng), "random")

    def accept(self, proposal: Proposal, genome: Genome) -> int:  # noqa: ARG002 - the signature is the contract's
        """Any handle: nobody asks for it."""
        return 0

    def reject(self, proposal: Proposal, excesses: Sequence[float] = ()) -> None:
        """Nothing."""

    def see(self, handle: int, outcome: Outcome) -> None:
        """Nothing."""

    def tell(self, handle: int, outcome: Outcome | None) -> None:
        """Nothing."""

    def add(self, genome: Genome) -> int:  # noqa: ARG002
        """Any handle."""
        return 0

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """Go on with other draws than those of the run before."""
        if count := sum(1 for _ in ended):
            self._rng = random.Random(f"{self._seed}:{count}")
