"""Genomes as numbers for a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nas.samplers.gaussian import Array, Points
from nas.space import Genome, Space

COUNTS = 2.0  # weight of how often an option is taken


class Encoder:
    """Genomes as rows: each active gene by its option, and how often each option is taken by genes of one kind.

    A gene is one-hot, an ordered one also a number; unused genes are zeros. Genes of one kind have the same options, as
    the mixers of all stages: what a network has how much of says more than where it has it.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._offsets: list[int] = []
        width = 0
        for gene in space.genes:
            self._offsets.append(width)
            width += len(gene.options) + int(gene.ordered)
        self._width = width
        kinds: dict[tuple[object, ...], list[int]] = {}
        for index, gene in enumerate(space.genes):
            kinds.setdefault(gene.options, []).append(index)
        self._kinds = [(len(options), indices) for options, indices in kinds.items() if len(indices) > 1]

    def genes(self, genome: Genome) -> Array:
        """A row; two genomes that differ in one of g genes are about 1 / sqrt(g) apart."""
        row, active = np.zeros(self._width), self._space.active(genome)
        for gene, option, offset, used in zip(self._space.genes, genome, self._offsets, active, strict=True):
            if not used:
                continue
            row[offset + option] = 0.5 if gene.ordered else np.sqrt(0.5)
            if gene.ordered:
                row[offset + len(gene.options)] = option / max(1, len(gene.options) - 1)
        counts = [
            sum(active[index] and genome[index] == option for index in indices) / len(indices)
            for options, indices in self._kinds
            for option in range(options)
        ]
        return np.concatenate([row / np.sqrt(len(self._space.genes)), COUNTS * np.array(counts)])


def costs_row(costs: Mapping[str, float], names: Sequence[str]) -> Array:
    """Known costs on a logarithmic scale, whose range spans orders of magnitude."""
    return np.array([np.log(max(costs[name], 1e-9)) for name in names])


Scale = tuple[Array, Array]
"""Mean and deviation of each known cost."""


def stacked(genes: Sequence[Array], costs: Sequence[Array], scale: Scale | None = None) -> tuple[Points, Scale]:
    """Rows as points; costs are standardised, by `scale` where given, which is returned."""
    table = np.stack(list(costs))
    if scale is None:
        deviation = table.std(0)
        scale = table.mean(0), np.where(deviation > 0, deviation, 1.0)
    width = max(1, table.shape[1])
    return Points(np.stack(list(genes)), (table - scale[0]) / scale[1] / np.sqrt(width)), scale
