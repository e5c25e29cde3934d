"""How far inherited weights can be trusted: the order that they gave beside that of trained networks."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import Console

from nas.retraining import FEWEST
from nas.supernet import BY_SUPERNET
from nas.supernet.files import SupernetFile
from nas.trial import State
from runners.retrain_report import Retrained, facts, tell
from runners.view import clock

ENOUGH = 0.5  # Kendall's tau from which on an order is of use
CHANCE = 0.05  # probability of such a tau without any relation, above which nothing is known


@dataclasses.dataclass(frozen=True)
class Trust:
    """Kendall's tau-b with the accuracy after training, over `count` networks.

    Attributes:
        inherited: of what the supernet said. params, macs: of the sizes alone. None where all are alike.
        chance: the probability of so large a tau of `inherited` where there is no relation.
    """

    count: int
    inherited: float | None
    chance: float | None
    params: float | None
    macs: float | None

    @property
    def low(self) -> bool:
        """Whether the supernet's order says little."""
        return self.inherited is None or self.chance is None or self.inherited < ENOUGH or self.chance > CHANCE


def trust_of(found: Retrained | None) -> Trust | None:
    """None for fewer than `FEWEST` networks that were judged and trained."""
    rows = [] if found is None else [row for row in found.rows if row.intervals and row.trial.state is State.COMPLETE]
    if found is None or len(rows) < FEWEST:
        return None
    judge = found.judge
    trained = [-judge.loss({judge.name: row.intervals[judge.name].mean}) for row in rows]
    inherited, chance = _tau([-judge.loss(row.trial.metrics) for row in rows], trained)
    sizes = {name: _tau([row.trial.metrics[name] for row in rows], trained)[0] for name in ("params", "macs")}
    return Trust(len(rows), inherited, chance, sizes["params"], sizes["macs"])


def _tau(values: list[float], trained: list[float]) -> tuple[float | None, float | None]:
    if len(set(values)) == 1 or len(set(trained)) == 1:
        return None, None
    from scipy import stats

    found = stats.kendalltau(values, trained)
    return float(found.statistic), float(found.pvalue)


@dataclasses.dataclass(frozen=True)
class Trained:
    """What became of a search by inherited weights: the supernet, the networks trained after it, and how they agree."""

    file: SupernetFile
    found: Retrained | None
    trust: Trust | None

    def tell(self, out: Console) -> None:
        """For people."""
        if self.found is not None:
            tell(self.found, out)
        on = self.found is not None and self.found.weights == BY_SUPERNET
        for line in _lines(self.file, self.trust, on=on):
            out.print(line, highlight=False, markup=False, soft_wrap=True)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON types."""
        trust = None if self.trust is None else {**dataclasses.asdict(self.trust), "low": self.trust.low}
        found = None if self.found is None else facts(self.found)
        return {"file": self.file.path, "digest": self.file.digest, **self.file.facts, "trained": found, "trust": trust}


def _lines(file: SupernetFile, trust: Trust | None, *, on: bool) -> list[str]:
    """`on`: whether the networks were trained on from their inherited weights, which flatters the order."""
    epochs, spent = file.facts["epochs"], clock(file.facts["seconds"])
    again = "--supernet takes it for another search of this space on these images"
    lines = [f"supernet: {file.path}, {epochs} epochs in {spent}; {again}"]
    if trust is None:
        return [*lines, f"how far its order can be trusted is not known: fewer than {FEWEST} networks were trained"]
    if trust.inherited is None or trust.chance is None:
        return [
            *lines,
            f"inherited or trained accuracy is one value for all {trust.count} networks: no rank correlation",
        ]
    sizes = ", ".join(
        f"{tau:+.2f} by {name}" for name, tau in (("parameters", trust.params), ("MACs", trust.macs)) if tau is not None
    )
    after = "theirs when they are trained on" if on else "theirs when they are trained from scratch"
    lines.append(
        f"inherited accuracy of {trust.count} networks and {after}: Kendall's tau {trust.inherited:+.2f} "
        f"(p {trust.chance:.2g}); {sizes or 'sizes are all alike'}"
    )
    if on:
        lines.append("both are of the same weights, the more alike the shorter the training: from scratch says more")
    if trust.low:
        why = "that may be chance" if trust.inherited >= ENOUGH else "the order by inherited weights says little"
        lines.append(
            f"{why}: believe the trained networks only; a space with one type of token mixer (as --space cvt), more "
            f"--supernet-epochs or --shrink give better weights, and a larger --spread says it with more certainty"
        )
    return lines
