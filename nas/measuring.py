"""What is measured before training, as a latency: in the driver, once for each network and device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from nas.errors import InputError
from nas.feasible import Priced, numbers
from nas.objectives import Limit, excess
from nas.space import Space

LATENCY = "latency_ms"  # what nas.latency measures
LONGEST = 255  # letters of `Measure.where`


@dataclasses.dataclass(frozen=True)
class Measure:
    """A measurement of a candidate that needs no training but takes its time.

    Attributes:
        function: function(candidate) -> {"latency_ms": 3.1, ...}; runs in the process that drives the search.
        names: what of that may be an objective or be limited.
        where: what all of it depends on besides the candidate, in words (the device, its library, the size of a batch).
            What was measured there is kept in the database and not measured again; empty: it is not kept.

    Raises: InputError for no names, or too long a `where`.
    """

    function: Callable[[Any], Mapping[str, float]]
    names: tuple[str, ...]
    where: str = ""

    def __post_init__(self) -> None:
        if not self.names or not all(name.isidentifier() for name in self.names):
            raise InputError(f"measure: names {self.names!r}: at least one is needed, as in ('latency_ms',)")
        if len(self.where) > LONGEST:
            raise InputError(f"measure: where has {len(self.where)} letters; {LONGEST} are possible")


class Kept(Protocol):
    """Who remembers what was measured; see `nas.store.base.Store`."""

    def measured(self, digest: str) -> Mapping[str, float] | None: ...

    def keep_measured(self, digest: str, metrics: Mapping[str, float]) -> None: ...


class Measuring:
    """Candidates with what is measured of them.

    Attributes:
        limits: on that.
    """

    def __init__(self, space: Space, measure: Measure | None, limits: Sequence[Limit], kept: Kept) -> None:
        self.limits = tuple(limits)
        self._space, self._measure, self._kept = space, measure, kept

    def __call__(self, priced: Priced) -> Priced:
        """The candidate with its measurements among its costs, and how far it is over the limits on them.

        `priced` is within the limits on known costs. Without a measurement it is given back as it is.
        Raises: InputError for a measurement that fails.
        """
        if self._measure is None:
            return priced
        digest = self._space.identity(priced.candidate)
        metrics = self._kept.measured(digest)
        if metrics is None:
            metrics = self._measured(self._measure, priced.candidate)
            self._kept.keep_measured(digest, metrics)
        over = tuple(limit.excess(metrics) for limit in self.limits)
        costs = {**metrics, **priced.costs}
        return dataclasses.replace(priced, costs=costs, excess=excess(self.limits, metrics), over=over)

    def _measured(self, measure: Measure, candidate: Any) -> Mapping[str, float]:
        metrics = numbers("measure", measure.function, candidate)
        for name in measure.names:
            if name not in metrics:
                raise InputError(f"measure returned {', '.join(metrics) or 'nothing'}, and {name!r} is not among them")
        return metrics
