"""Scores as a function of a candidate, for a search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nas.architecture import Architecture
from nas.data import ImageData
from nas.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 10_000  # networks whose scores are remembered


@dataclasses.dataclass(frozen=True)
class ProxyScores:
    """Candidate to scores on one batch of the training images; what was scored is remembered by digest.

    It can be pickled, which forgets what is remembered; torch is loaded by the first network.

    Attributes:
        data: whose training images are used. names: of `nas.proxies.PROXIES`.
        seed: of the weights and of the choice of images. batch: how many. device: where to compute.
    """

    data: ImageData
    names: tuple[str, ...]
    seed: int = 0
    batch: int = 32
    device: str = "cpu"
    _known: dict[str, Mapping[str, float]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _drawn: list[tuple[Tensor, Tensor]] = dataclasses.field(default_factory=list, init=False, repr=False, compare=False)

    def __call__(self, candidate: Any) -> Mapping[str, float]:
        """Scores by name; one that this network cannot have is left out. Raises: InputError for no architecture."""
        if not isinstance(candidate, Architecture):
            raise InputError(f"proxies score architectures, not {type(candidate).__name__}")
        digest = candidate.digest
        if (known := self._known.pop(digest, None)) is None:
            from nas.proxies.scoring import score, training_batch

            if not self._drawn:
                size = min(self.batch, self.data.counts["train"])
                self._drawn.append(training_batch(self.data, size, self.seed))
            known = score(
                candidate,
                *self._drawn[0],
                names=self.names,
                num_classes=len(self.data.classes),
                seed=self.seed,
                device=self.device,
            )
        self._known[digest] = known  # the last used one last
        if len(self._known) > KEPT:
            self._known.pop(next(iter(self._known)))
        return known

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}, "_drawn": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
