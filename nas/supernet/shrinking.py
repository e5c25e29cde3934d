"""Shrinking a space while its supernet trains: from easy classes and all options to all classes and the best options.

After DA-NAS (Dai et al., "DA-NAS: Data Adapted Pruning for Efficient Neural Architecture Search", ECCV 2020, arXiv
2003.12563): training begins with few easy classes, the weakest candidates of every choice are dropped, classes are
added, and so on to the whole data set. How classes are ranked, the score and the rounding are our own reading, which
docs/oneshot.md tells. Nothing here trains: the supernet comes as two callables.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from nas.errors import InputError, SpaceError
from nas.narrow import narrowed
from nas.space import Genome, Space
from nas.supernet.course import Course, OptionScore, Phase
from nas.supernet.scoring import Judged, scored

__all__ = [
    "Course", "Judge", "Judged", "OptionScore", "Phase", "Rule", "Train", "class_schedule", "difficulty", "dropped",
    "scored", "shrink",
]  # fmt: skip

SHARES = (0.1, 0.3, 0.6, 1.0)  # 100, 300, 600 and 1,000 classes of 1,000
EPOCHS = 20  # a phase
CANDIDATES = 256  # that are judged after a phase
FEWEST_CLASSES = 3  # at first: two classes are told apart by too little
SLACK = 1e-9  # for shares of counts that are whole numbers but for rounding

Train = Callable[[int, Space, tuple[int, ...], int], None]
"""Train the supernet: number of the phase, what is left of the space, classes, epochs. Called anew after a crash."""

Judge = Callable[[Space, Sequence[Genome], tuple[int, ...]], Sequence[Judged]]
"""Judge candidates of a space with inherited weights on images of some classes; those that cannot be are left out."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which options are dropped after a phase.

    Attributes:
        share: of the options of a choice, the weakest. cost_weight: as `scored` has it, in units of accuracy.
        z: standard errors of the difference by which an option must be worse than the best of its choice.
        least: judged candidates below which an option is kept.
    """

    share: float = 0.4
    cost_weight: float = 0.0
    z: float = 1.0
    least: int = 5

    def __post_init__(self) -> None:
        """Raises: InputError."""
        if not 0 <= self.share < 1:
            raise InputError(f"share dropped {self.share:g}: 0 or more and below 1 is expected")
        if not (math.isfinite(self.z) and self.z >= 0):
            raise InputError(f"z {self.z:g}: 0 or more standard errors are expected")
        if self.least < 1:
            raise InputError(f"least {self.least}: an option needs at least 1 judged candidate")


def difficulty(accuracies: Sequence[float]) -> tuple[int, ...]:
    """The classes, easiest first, by the accuracy that each has early in training; ties by number.

    Raises: InputError for an accuracy that is no number.
    """
    for number, accuracy in enumerate(accuracies):
        if not math.isfinite(accuracy):
            raise InputError(f"class {number}: its accuracy is {accuracy}, and a number is expected")
    return tuple(sorted(range(len(accuracies)), key=lambda number: (-accuracies[number], number)))


def class_schedule(
    order: Sequence[int], shares: Sequence[float] = SHARES, fewest: int = FEWEST_CLASSES
) -> tuple[tuple[int, ...], ...]:
    """The classes of each phase, rounded up; phases that would have no more than the one before are left out.

    Args:
        order: all classes, easiest first.
        shares: of them, rising to 1.
        fewest: classes of any phase, if there are so many.

    Raises: InputError.
    """
    if sorted(order) != list(range(len(order))) or not order:
        raise InputError(f"order of classes: each of 0 to {len(order) - 1} once is expected, not {list(order)!r:.60}")
    if not shares or list(shares) != sorted({*shares}) or shares[0] <= 0 or shares[-1] != 1:
        shown = ", ".join(f"{each:g}" for each in shares)
        raise InputError(f"class shares {shown}: numbers above 0 that rise to 1 are expected")
    counts = [min(len(order), max(fewest, math.ceil(share * len(order) - SLACK))) for share in shares]
    return tuple(tuple(order[:count]) for count in sorted({*counts}))


def dropped(
    scores: Sequence[OptionScore], rule: Rule, *, counts: Mapping[str, int] | None = None, phase: int = 1
) -> tuple[OptionScore, ...]:
    """The scores with the weakest of each choice marked as not kept, and why others among the weakest are.

    A choice that began with k options has dropped floor(k (1 - (1 - share)^n)) of them after n phases: what rounding or
    caution left goes over to the next phase, so that a choice of two options is decided too.

    Args:
        scores: of one phase.
        rule: how many, and when not.
        counts: options that each choice began with; those that it has unless told.
        phase: from 1.
    """
    genes: dict[str, list[int]] = {}
    for place, each in enumerate(scores):
        genes.setdefault(each.gene, []).append(place)
    found = list(scores)
    for gene, places in genes.items():
        began = max((counts or {}).get(gene, len(places)), len(places))
        quota = math.floor(began * (1 - (1 - rule.share) ** phase) + SLACK) - (began - len(places))
        known = [place for place in places if scores[place].score is not None and scores[place].judged >= rule.least]
        ranking = sorted(known, key=lambda place: -_score(scores[place]))
        if quota <= 0:
            continue
        for place in places:
            if place not in known:
                found[place] = dataclasses.replace(scores[place], kept=True, why="few")
        weakest = ranking[max(1, len(ranking) - quota) :]
        for place in weakest:
            best, last = scores[ranking[0]], scores[ranking[len(ranking) - len(weakest) - 1]]
            why = _spared(scores[place], best, last, rule.z)
            found[place] = dataclasses.replace(scores[place], kept=bool(why), why=why)
    return tuple(found)


def _score(each: OptionScore) -> float:
    return -math.inf if each.score is None else each.score


def _spared(each: OptionScore, best: OptionScore, last: OptionScore, z: float) -> str:
    """Why one of the weakest is kept: it ties with the last that is, or is not clearly worse than the best."""
    if math.isclose(_score(each), _score(last), rel_tol=1e-9, abs_tol=1e-12):
        return "tie"
    if z == 0:
        return ""
    if each.error is None or best.error is None:
        return "noise"
    return "" if _score(best) - _score(each) > z * math.hypot(each.error, best.error) else "noise"


def shrink(
    space: Space,
    order: Sequence[int],
    *,
    train: Train,
    judge: Judge,
    shares: Sequence[float] = SHARES,
    epochs: int = EPOCHS,
    candidates: int = CANDIDATES,
    rule: Rule = Rule(),
    seed: int = 0,
    draw: Callable[[Space, random.Random], Genome] = Space.sample,
    done: Sequence[Phase] = (),
) -> Iterator[Phase]:
    """One phase after the other, each handed out when it has ended, so that it can be kept.

    Options are dropped after every phase but the last, which has all classes: there they are scored for the record.

    Args:
        space: what a search begins with.
        order: classes, easiest first.
        train: trains the supernet.
        judge: judges candidates by it.
        shares: of the classes, by phase.
        epochs: of each phase.
        candidates: drawn for judging after each phase; fewer where the space has no more.
        rule: what is dropped.
        seed: of the draws.
        draw: draws a legal genome, perhaps within limits.
        done: phases that have ended already, which are not run again.

    Raises: InputError for what does not go together, SpaceError when nothing legal is left, and what the callables do.
    """
    schedule = class_schedule(order, shares)
    if epochs < 1 or candidates < 1:
        raise InputError(f"epochs {epochs}, candidates {candidates}: at least 1 of each is expected")
    counts = {gene.path: len(gene.options) for gene in space.genes}
    for number, phase in enumerate(done, start=1):
        if number > len(schedule) or (phase.number, phase.classes) != (number, schedule[number - 1]):
            raise InputError(f"phase {number} of what was begun has other classes than it would have now")
        space = narrowed(space, phase.kept)
    for number, classes in enumerate(schedule[len(done) :], start=len(done) + 1):
        train(number, space, classes, epochs)
        drawn = _drawn(space, candidates, random.Random(f"{seed}:{number}"), draw)
        scores = scored(space, judge(space, drawn, classes), rule.cost_weight)
        if number < len(schedule):
            scores = dropped(scores, rule, counts=counts, phase=number)
        phase = Phase(number, classes, epochs, space.count().value, 0, scores)
        space = narrowed(space, phase.kept)
        _check_legal(space, number)
        yield dataclasses.replace(phase, after=space.count().value)


def _check_legal(space: Space, number: int) -> None:
    try:
        space.sample(random.Random(0))
    except SpaceError as error:
        raise SpaceError(f"phase {number}: no legal candidate has kept options only; drop a smaller share") from error


def _drawn(
    space: Space, wanted: int, rng: random.Random, draw: Callable[[Space, random.Random], Genome]
) -> list[Genome]:
    """Different genomes, in the order drawn; as many as turn up in a few times as many draws."""
    found: dict[Genome, None] = {}
    for _ in range(4 * wanted):
        found.setdefault(draw(space, rng))
        if len(found) == wanted:
            break
    return list(found)
