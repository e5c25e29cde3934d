"""Candidates that somebody asked for by some of their parameters."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from nas.errors import SpaceError
from nas.space import Genome, Space

FILLS = 200  # draws for the genes that are left open


def granted(space: Space, params: Mapping[str, Any], rng: random.Random) -> Genome:
    """A legal canonical genome with these parameters by gene path, the others drawn.

    Raises: SpaceError saying which parameter does not fit.
    """
    genes = {gene.path: index for index, gene in enumerate(space.genes)}
    for path in params:
        if path not in genes:
            raise SpaceError(f"no gene is called {path!r}")
    wanted = {genes[path]: space.genes[genes[path]].index(label) for path, label in params.items()}
    for index in [*wanted]:  # what was asked for is switched on, unless it was asked for otherwise
        gene = space.genes[index]
        while gene.parent is not None and gene.when is not None:
            wanted.setdefault(gene.parent, gene.when)
            gene = space.genes[gene.parent]
    for _ in range(FILLS):
        options = list(space.fill(space.sample(rng), rng))
        for index, option in wanted.items():
            options[index] = option
        if space.contains(options):
            return space.canonical(options)
    raise SpaceError("no legal candidate has these parameters")
