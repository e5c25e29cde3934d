"""Quasi-random search: points that cover the space more evenly than random ones, nothing learnt.

Scrambled Sobol points, one coordinate a gene, as Optuna's QMCSampler draws them; the unit interval of a coordinate is
cut into as many equal parts as the gene has options, ordered or not. Drawn here and not by Optuna, so that a search
that goes on takes up the sequence where it was left, and so that a proposal costs microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from scipy.stats import qmc

from nas.errors import InputError
from nas.samplers.base import Oblivious, Outcome, Proposal
from nas.space import Genome, Space


class QmcSampler(Oblivious):
    """Behind the contract of `nas.samplers.base.Sampler`; keeps nothing but its place in the sequence."""

    def __init__(self, space: Space, seed: int) -> None:
        """Raises: InputError for a space of more genes than the sequence has dimensions."""
        self._options = [len(gene.options) for gene in space.genes]
        if len(space) > qmc.Sobol.MAXDIM:
            raise InputError(
                f"sampler qmc: {len(space)} genes, and the Sobol sequence has {qmc.Sobol.MAXDIM} dimensions"
            )
        self._points = qmc.Sobol(len(space), scramble=True, seed=seed)

    def ask(self) -> Proposal:
        """The next point; perhaps illegal, and not canonical."""
        (point,) = self._points.random(1)
        genome = tuple(int(share * options) for share, options in zip(point, self._options, strict=True))
        return Proposal(genome, "qmc")

    def load(self, ended: Iterable[tuple[Genome, Outcome | None]]) -> None:
        """Go on behind as many points as there were trials; of those between, some were rejected and come again."""
        if count := sum(1 for _ in ended):
            self._points.fast_forward(count)
