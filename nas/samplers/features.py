"""Genomes as rows of numbers for a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.space import Genome, Space

Array = NDArray[np.float64]


class Encoder:
    """Genomes as rows: each active gene by its option, and how often each option is taken by genes of one kind.

    A gene is one-hot, an ordered one also a number; unused genes are zeros. Genes of one kind have the same options, as
    the mixers of all stages: what a network has how much of says more than where it has it.

    Attributes:
        width: columns of the genes, before those of the counts.
    """

    def __init__(self, space: Space) -> None:
        self._genes = space.genes
        self.width = sum(len(gene.options) + int(gene.ordered) for gene in space.genes)
        kinds: dict[tuple[object, ...], list[int]] = {}
        for index, gene in enumerate(space.genes):
            kinds.setdefault((type(gene.options[0]), *gene.options), []).append(index)
        self._kinds = [(len(options) - 1, indices) for options, indices in kinds.items() if len(indices) > 1]

    def rows(self, genomes: Sequence[Genome]) -> Array:
        """(m, width + counts); two genomes that differ in one of g genes are about 1 / sqrt(g) apart in the genes."""
        options = np.array(genomes, dtype=np.int64).reshape(len(genomes), len(self._genes))
        active = np.ones(options.shape, dtype=bool)
        columns: list[Array] = []
        for index, gene in enumerate(self._genes):
            if gene.parent is not None:
                active[:, index] = active[:, gene.parent] & (options[:, gene.parent] == gene.when)
            height = 0.5 if gene.ordered else np.sqrt(0.5)
            taken = np.where(active[:, index], options[:, index], -1)
            columns += [height * (taken == option) for option in range(len(gene.options))]
            if gene.ordered:
                columns.append(np.maximum(taken, 0) / max(1, len(gene.options) - 1))
        taken = np.where(active, options, -1)
        counts = [(taken[:, indices] == option).mean(1) for size, indices in self._kinds for option in range(size)]
        genes = np.stack(columns, axis=1) / np.sqrt(len(self._genes))
        return np.hstack([genes, np.stack(counts, axis=1)]) if counts else genes
