"""How a supernet is trained: a frozen value."""

from __future__ import annotations

import dataclasses
from typing import Any

from nas.costs import COSTS
from nas.errors import InputError
from nas.recipe import Recipe
from nas.supernet.shrinking import CANDIDATES, SHARES, Rule

COST_WEIGHT = 0.02  # of accuracy that a cost e times as high must bring, unless told
AT_ONCE = {"sandwich": 4, "uniform": 1}  # networks a step, by sampling, unless told
LEAST = {"sandwich": 3, "uniform": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The training protocol of a supernet.

    Attributes:
        recipe: epochs, learning rate, augmentation and so on, as of one network; drop path is the largest one's only.
        sampling: "sandwich": every step trains the largest network by the labels, then the smallest and some between
            by what the largest says of the images (Yu and Huang 2019, arXiv 1903.05134; BigNAS, arXiv 2003.11142);
            "uniform": every step trains some networks drawn alike, by the labels (Guo et al. 2020, arXiv 1904.00420).
        at_once: networks a step; 0 becomes 4 of a sandwich, and 1 of uniform sampling.
    """

    recipe: Recipe = dataclasses.field(default_factory=lambda: Recipe(epochs=30, schedule="cosine"))
    sampling: str = "sandwich"
    at_once: int = 0

    def __post_init__(self) -> None:
        if self.sampling not in AT_ONCE:
            raise InputError(f"unknown sampling {self.sampling!r} of a supernet; known: {', '.join(AT_ONCE)}")
        object.__setattr__(self, "at_once", self.at_once or AT_ONCE[self.sampling])
        if self.at_once < LEAST[self.sampling]:
            raise InputError(
                f"{self.at_once} networks a step (--supernet-at-once): {self.sampling} sampling takes "
                f"{LEAST[self.sampling]} at least"
            )

    def as_dict(self) -> dict[str, Any]:
        """By name, as JSON types."""
        return {"recipe": self.recipe.as_dict(), "sampling": self.sampling, "at_once": self.at_once}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shrinking:
    """How a space shrinks while its supernet trains; see `nas.supernet.shrinking`.

    Attributes:
        warm_up: epochs on all classes, after which these are ranked. epochs: of each phase.
        shares: of the classes, by phase. candidates: judged after each. rule: what is dropped.
        cost: the known cost that options are charged for.
    """

    warm_up: int = 3
    epochs: int = 5
    shares: tuple[float, ...] = SHARES
    candidates: int = CANDIDATES
    rule: Rule = dataclasses.field(default_factory=lambda: Rule(cost_weight=COST_WEIGHT))
    cost: str = "macs"

    def __post_init__(self) -> None:
        """Raises: InputError."""
        for name in ("warm_up", "epochs", "candidates"):
            if (given := getattr(self, name)) < 1:
                raise InputError(f"{name} {given}: at least 1 is expected of a space that shrinks")
        if self.cost not in COSTS:
            raise InputError(f"cost {self.cost!r}: one of {', '.join(COSTS)} is known before training")

    def as_dict(self) -> dict[str, Any]:
        """By name, as JSON types."""
        return dataclasses.asdict(self) | {"shares": list(self.shares)}
