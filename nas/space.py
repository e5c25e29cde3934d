"""A search space: a template with choices, seen as a fixed-length genome.

Each choice is a gene named by its path (`stages.0.mixer.conv_attention.kv_stride`); a genome holds one option index per
gene. Genes under an option that is not taken are inactive; the canonical genome has 0 there, so equal networks have
equal canonical genomes. No torch.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from nas.checked import Checked, canonical_json, digest
from nas.compiling import compile_template
from nas.errors import ArchitectureError, SpaceError
from nas.nodes import Draw, Gene, Genome, Node
from nas.template import Scalar, int_range, of, one_of, repeat

__all__ = ["Count", "Gene", "Genome", "Space", "int_range", "of", "one_of", "repeat"]

ATTEMPTS = 2000  # tries to draw a legal candidate before a space is called wrong
STEPS = 0.5  # share of the moves in an ordered gene that go to the next option


@dataclasses.dataclass(frozen=True)
class Count:
    """How many candidates a space holds: exact, or estimated from the legal share of a sample."""

    value: int
    exact: bool

    def __str__(self) -> str:
        number = f"{self.value:,}" if self.value < 10**9 else f"{self.value:.2e}"
        return number if self.exact else f"about {number}"


class Space:
    """The candidates that a template describes.

    Args:
        template: any nested dict, list, tuple, scalar or `of(...)` with choices in it.
        legal: the author's word that no combination is illegal, which makes the count exact.

    Raises: SpaceError for a template without a choice, or two genes of one name.
    """

    def __init__(self, template: Any, *, legal: bool = False) -> None:
        self.template, self.legal = template, legal
        genes: list[Gene] = []
        self.root: Node = compile_template(template, genes)
        self.genes: tuple[Gene, ...] = tuple(genes)
        if not genes:
            raise SpaceError("this space has no choice: use one_of(...) or int_range(...) somewhere in it")
        self._index = {gene.path: index for index, gene in enumerate(genes)}
        if len(self._index) < len(genes):
            twice = next(gene.path for index, gene in enumerate(genes) if self._index[gene.path] != index)
            raise SpaceError(
                f"two genes are called {twice!r}: name the options, as in one_of(small=of(...), large=of(...))"
            )

    def __len__(self) -> int:
        return len(self.genes)

    @cached_property
    def digest(self) -> str:
        """32 hex digits that are equal for equal spaces."""
        return digest(self.root.describe())

    # -- genomes and values ------------------------------------------------------------------------------------------

    def decode(self, genome: Sequence[int]) -> Any:
        """The value of a genome.

        Raises: SpaceError for a genome of another length or range, ArchitectureError when its value is illegal.
        """
        self._check(genome)
        return self.root.build(genome)

    def encode(self, value: Any) -> Genome:
        """The canonical genome of a value; the inverse of `decode`.

        Raises: SpaceError saying where the value leaves the space.
        """
        found: dict[int, int] = {}
        if misfit := self.root.match(value, found, ""):
            raise SpaceError(f"not in the space: {misfit}")
        return tuple(found.get(index, 0) for index in range(len(self.genes)))

    def contains(self, genome: Sequence[int]) -> bool:
        """Whether the genome has a legal value."""
        try:
            self.decode(genome)
        except (SpaceError, ArchitectureError):
            return False
        return True

    def active(self, genome: Sequence[int]) -> list[bool]:
        """For each gene, whether the genome uses it."""
        flags: list[bool] = []
        for gene in self.genes:
            flags.append(gene.parent is None or (flags[gene.parent] and genome[gene.parent] == gene.when))
        return flags

    def canonical(self, genome: Sequence[int]) -> Genome:
        """The genome with 0 in every gene that it does not use."""
        self._check(genome)
        return tuple(option if used else 0 for option, used in zip(genome, self.active(genome), strict=True))

    def params(self, genome: Sequence[int]) -> dict[str, Scalar]:
        """The active genes by path, with the option taken: what SQL and the dashboard show."""
        self._check(genome)
        flags = self.active(genome)
        return {
            gene.path: gene.options[option]
            for gene, option, used in zip(self.genes, genome, flags, strict=True)
            if used
        }

    def genome(self, params: Mapping[str, Scalar]) -> Genome:
        """The canonical genome of active genes by path; the inverse of `params`. Raises: SpaceError."""
        options = [0] * len(self.genes)
        for path, label in params.items():
            if path not in self._index:
                raise SpaceError(f"no gene is called {path!r}")
            gene = self.genes[self._index[path]]
            options[self._index[path]] = gene.index(label)
        genome = self.canonical(options)
        if missing := set(self.params(genome)) - set(params):
            raise SpaceError(f"the gene {min(missing)!r} has no value")
        return genome

    def identity(self, value: Any) -> str:
        """The digest that tells candidates apart: equal for identical networks."""
        if isinstance(value, Checked):
            own = getattr(value, "digest", None)
            return own if isinstance(own, str) else digest(value.as_json())
        try:
            return digest(value)
        except (TypeError, ValueError):
            return digest([self.digest, canonical_json(self.params(self.encode(value)))])

    # -- size --------------------------------------------------------------------------------------------------------

    def count(self, sample: int = 1000) -> Count:
        """How many different candidates there are; exact when no combination can be illegal or all can be tried."""
        total = self.root.count
        if self.legal or not self.root.may_be_illegal:
            return Count(total, exact=True)
        if total <= 4 * sample:
            return Count(sum(self.contains(genome) for genome in self.root.enumerate(len(self.genes))), exact=True)
        rng = random.Random(0)
        legal = sum(self.contains(self._draw(rng, Draw.GENOMES)) for _ in range(sample))
        return Count(total * legal // sample, exact=False)

    def __iter__(self) -> Iterator[Genome]:
        """All canonical genomes with a legal value, in order. Only for spaces that are small enough."""
        return (genome for genome in self.root.enumerate(len(self.genes)) if self.contains(genome))

    # -- moves -------------------------------------------------------------------------------------------------------

    def sample(self, rng: random.Random) -> Genome:
        """A legal canonical genome; the options of every choice are alike. Raises: SpaceError when none is found."""
        return self._legal_draw(rng, Draw.CHOICES)

    def uniform(self, rng: random.Random) -> Genome:
        """A legal canonical genome, each as likely as any other; what has most settings comes most often.

        Raises: SpaceError when none is found.
        """
        return self._legal_draw(rng, Draw.GENOMES)

    def _legal_draw(self, rng: random.Random, how: Draw) -> Genome:
        for _ in range(ATTEMPTS):
            genome = self._draw(rng, how)
            if self.contains(genome):
                return genome
        raise SpaceError(f"none of {ATTEMPTS} candidates drawn from this space is legal")

    def mutate(self, genome: Sequence[int], rng: random.Random) -> Genome:
        """A legal candidate that differs in one active gene (and in what that gene switches on).

        Half of the moves in an ordered gene are steps to the next option; the others go to any option.

        Raises: SpaceError when no such candidate is found.
        """
        genome = self.canonical(genome)
        movable = [
            index for index, used in enumerate(self.active(genome)) if used and len(self.genes[index].options) > 1
        ]
        if not movable:
            raise SpaceError("this candidate has no legal neighbour: no gene of it has a second option")
        for _ in range(ATTEMPTS):
            index = rng.choice(movable)
            changed = list(self.fill(genome, rng))
            gene = self.genes[index]
            stepping = gene.ordered and rng.random() < STEPS
            changed[index] = rng.choice((gene.near if stepping else gene.others)(genome[index]))
            child = self.canonical(changed)
            if self.contains(child):
                return child
        raise SpaceError("this candidate has no legal neighbour")

    def crossover(self, first: Sequence[int], second: Sequence[int], rng: random.Random) -> Genome:
        """Each gene from one of two parents that use it; a legal candidate. `first` when none is found."""
        first, second = self.canonical(first), self.canonical(second)
        given = [
            (mine,) if not theirs_used else (theirs,) if not used else (mine, theirs)
            for mine, theirs, used, theirs_used in zip(
                first, second, self.active(first), self.active(second), strict=True
            )
        ]
        for _ in range(ATTEMPTS):
            genome = self.canonical([rng.choice(options) for options in given])
            if self.contains(genome):
                return genome
        return first

    def neighbours(self, genome: Sequence[int]) -> Iterator[Genome]:
        """The legal candidates one step away in one active gene; genes that it switches on have their first option.

        A step goes to the next lower or higher option of an ordered gene, and to any other option of others.
        """
        genome = self.canonical(genome)
        for index, used in enumerate(self.active(genome)):
            for option in self.genes[index].near(genome[index]) if used else ():
                changed = self.canonical([*genome[:index], option, *genome[index + 1 :]])
                if self.contains(changed):
                    yield changed

    def fill(self, genome: Sequence[int], rng: random.Random) -> Genome:
        """The genome with the genes that it does not use drawn at random, as if each were switched on."""
        drawn = self._draw(rng, Draw.EVERYWHERE)
        return tuple(
            option if used else other for option, used, other in zip(genome, self.active(genome), drawn, strict=True)
        )

    def _draw(self, rng: random.Random, how: Draw) -> Genome:
        options = [0] * len(self.genes)
        self.root.draw(rng, options, how)
        return tuple(options)

    def _check(self, genome: Sequence[int]) -> None:
        if len(genome) != len(self.genes):
            raise SpaceError(f"a genome of this space has {len(self.genes)} genes, not {len(genome)}")
        for gene, option in zip(self.genes, genome, strict=True):
            if not 0 <= option < len(gene.options):
                raise SpaceError(f"{gene.path}: option {option} of {len(gene.options)}")
