"""Which networks of a space hold all its weights together: the largest, and the largest with each option taken."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from nas.architecture import Architecture
from nas.costs import cost
from nas.errors import ArchitectureError, SpaceError
from nas.space import Genome, Space

Fits = Callable[[Any], bool]
Sides = tuple[int, ...]
PASSES = 8  # over all genes; a climb has ended long before
TRIES = 200  # random candidates to find one that can take an option
STARTS = 4  # climbs for the largest, from random candidates


def everything(_: Any) -> bool:
    """No limits."""
    return True


def extreme(
    space: Space, *, largest: bool, fits: Fits = everything, starts: Sequence[Genome] = (), seed: int = 0
) -> Genome:
    """The genome of the largest network (or the smallest) that fits, in parameters, then in MACs.

    Climbed gene by gene from `starts`, or from some random candidates, so it may be a little less than the very largest
    where limits cut the space. Raises: SpaceError when none of those drawn fits.
    """
    rng, begin = random.Random(seed), [*starts]
    for _ in range(0 if starts else TRIES):
        genome = space.sample(rng)
        if fits(space.decode(genome)):
            begin.append(genome)
        if len(begin) == STARTS:
            break
    if not begin:
        raise SpaceError(f"none of {TRIES} candidates drawn from this space is within the limits")
    found = [_climbed(space, genome, range(len(space)), fits, 1 if largest else -1) for genome in begin]
    return (max if largest else min)(found, key=lambda genome: _size(space.decode(genome)))


def covering(space: Space, seed: int = 0) -> Iterator[Genome]:
    """The largest network, then for each option of each choice one that takes it and is as large as it can be.

    The same again for each row of map sides that networks of the space have, since what counts positions is shared
    among equal maps only. An option that no legal candidate was found with is left out.
    """
    rng = random.Random(seed)
    largest = extreme(space, largest=True, seed=seed)
    yield largest
    for sides, start in _sides(space, largest).items():
        yield from _covering(space, start, partial(_has_sides, sides), rng)


def _covering(space: Space, start: Genome, fits: Fits, rng: random.Random) -> Iterator[Genome]:
    kept = [_climbed(space, start, range(len(space)), fits, 1)]
    yield kept[0]
    for index, gene in enumerate(space.genes):
        base = next((genome for genome in kept if space.active(genome)[index]), kept[0])
        for option in range(len(gene.options)):
            if any(genome[index] == option and space.active(genome)[index] for genome in kept):
                continue
            chain = _chain(space, index, option)
            genome = _with(space, base, chain, fits) or _drawn_with(space, chain, fits, rng)
            if genome is None:
                continue
            free = [other for other in range(len(space)) if other not in chain]
            kept.append(_climbed(space, genome, free, fits, 1))
            yield kept[-1]


def _sides(space: Space, start: Genome) -> dict[Sides, Genome]:
    """A network for each row of map sides that is met on the way from `start` by single options."""
    found = {_sides_of(space.decode(start)): start}
    for genome in (waiting := [start]):
        for index, used in enumerate(space.active(genome)):
            for option in range(len(space.genes[index].options)) if used else ():
                changed = _with(space, genome, {index: option}, everything)
                if changed is not None and (sides := _sides_of(space.decode(changed))) not in found:
                    found[sides] = changed
                    waiting.append(changed)
    return found


def _has_sides(sides: Sides, candidate: Any) -> bool:
    return _sides_of(candidate) == sides


def _sides_of(candidate: Any) -> Sides:
    return tuple(place.side for place in candidate.places) if isinstance(candidate, Architecture) else ()


def _size(candidate: Any) -> tuple[int, int]:
    if not isinstance(candidate, Architecture):
        raise SpaceError(f"a supernet holds architectures, not {type(candidate).__name__}")
    found = cost(candidate)
    return found.params, found.macs


def _chain(space: Space, index: int, option: int) -> dict[int, int]:
    """The genes, with their options, that must be taken for an option to count."""
    chain, gene = {index: option}, space.genes[index]
    while gene.parent is not None and gene.when is not None:
        chain[gene.parent] = gene.when
        gene = space.genes[gene.parent]
    return chain


def _with(space: Space, genome: Sequence[int], chain: dict[int, int], fits: Fits) -> Genome | None:
    changed = space.canonical([chain.get(index, option) for index, option in enumerate(genome)])
    try:
        return changed if fits(space.decode(changed)) else None
    except (ArchitectureError, SpaceError):
        return None


def _drawn_with(space: Space, chain: dict[int, int], fits: Fits, rng: random.Random) -> Genome | None:
    for _ in range(TRIES):
        if (found := _with(space, space.fill(space.sample(rng), rng), chain, fits)) is not None:
            return found
    return None


def _climbed(space: Space, genome: Genome, free: Sequence[int], fits: Fits, sign: int) -> Genome:
    """Change one free gene at a time while the network grows (`sign` 1) or shrinks (-1)."""

    def rated(candidate: Genome) -> tuple[int, int] | None:
        try:
            value = space.decode(candidate)
        except (ArchitectureError, SpaceError):
            return None
        params, macs = _size(value)
        return (sign * params, sign * macs) if fits(value) else None

    best = rated(genome)
    for _ in range(PASSES):
        before = best
        for index in free:
            for option in range(len(space.genes[index].options)):
                if not space.active(genome)[index]:
                    break
                changed = space.canonical([*genome[:index], option, *genome[index + 1 :]])
                found = rated(changed)
                if found is not None and (best is None or found > best):
                    genome, best = changed, found
        if best == before:
            break
    return genome
