"""What `nas retrain` says at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from nas.intervals import interval
from nas.objectives import Objective
from nas.replicates import FIRST_SEED, Confirmed, by_mean, network_of
from nas.trial import State, Trial
from nas.wording import quantity, short_architecture
from runners.tables import trial_json

if TYPE_CHECKING:
    from nas.export import Exported
    from nas.retraining import Ranks, Tested


@dataclasses.dataclass(frozen=True)
class Retrained:
    """What full training came to.

    Attributes:
        study: of the trainings. of: the study whose networks they are, or "". network: what was named instead, or None.
        recipe, fields: by name, and in full. weights: they began with. judge: the objective that was searched for.
        inherited: whether the search judged by inherited weights. images: in the test split. rows: by network.
        tested: by number of the network's trial. failed: trainings.
    """

    study: str
    of: str
    network: str | None
    recipe: str
    fields: Mapping[str, Any]
    weights: str
    inherited: bool
    judge: Objective
    images: int
    rows: Sequence[Confirmed]
    tested: Mapping[int, Sequence[Tested]]
    failed: Sequence[Trial]
    exported: Exported | None

    @property
    def ranks(self) -> Ranks | None:
        """How far the order in the search is the order now."""
        from nas.retraining import ranks

        return ranks(self.rows, self.judge)


def tell(found: Retrained, out: Console) -> None:
    """For people."""
    if found.tested:
        out.print(_table(found))
    for line in (*_by_network(found), _ranks_line(found), *_failures(found), *_next(found)):
        out.print(line, highlight=False, markup=False, soft_wrap=True) if line else None


def _table(found: Retrained) -> Table:
    judge = found.judge.name
    table = Table(
        title=f"{found.network or found.of}, trained fully by recipe {found.recipe}",
        title_justify="left",
        header_style="bold",
    )
    if found.network is None:
        table.add_column("trial", justify="right")
    for name in ("seed", "inherited" if found.inherited else "search", judge, "on test", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("network", overflow="fold")
    for row in by_mean(found.rows, found.judge):
        for each in found.tested.get(row.trial.number, ()):
            metrics = each.trial.metrics
            cells = [str(row.trial.number)] if found.network is None else []
            table.add_row(
                *cells,
                str(each.replicate),
                _searched(row, judge),
                quantity(metrics[judge]),
                quantity(each.accuracy),
                f"{each.low:.4f} to {each.high:.4f}",
                short_architecture(network_of(each.trial.candidate)),
            )
    return table


def _searched(row: Confirmed, judge: str) -> str:
    """The value that the search had; of a trial that did not end, the last with its epochs."""
    if judge in row.trial.metrics:
        return quantity(row.trial.metrics[judge])
    reached = row.trial.curve.get(row.trial.epochs, {})
    return f"{quantity(reached[judge])} at {row.trial.epochs}" if judge in reached else "-"


def _by_network(found: Retrained) -> list[str]:
    """Of each network, what the search said and what it is now, on validation and test images."""
    lines, judge = [], found.judge.name
    for row in by_mean(found.rows, found.judge):
        tests = found.tested.get(row.trial.number, ())
        if not tests:
            continue
        name = found.network or f"trial {row.trial.number} of {found.of}"
        after = row.intervals[judge].mean
        then = ""
        if row.trial.state is State.COMPLETE and judge in row.trial.metrics:
            before = row.trial.metrics[judge]
            then = f"{quantity(before)} {_how(found, row)}, "
            change = f" ({after - before:+.4f})"
        else:
            change = ""
        test = interval([each.accuracy for each in tests])
        spread = ""
        if test.low is not None and test.high is not None:
            spread = f", 95 % interval {test.low:.4f} to {test.high:.4f} over {test.count} seeds"
        elif test.count == 1:
            spread = f", 95 % interval {tests[0].low:.4f} to {tests[0].high:.4f} by the {found.images:,} images"
        lines.append(f"{name}: {judge} {then}{quantity(after)} now{change}; {test.mean:.4f} on test{spread}")
    return lines


def _how(found: Retrained, row: Confirmed) -> str:
    """What the search knew a network by."""
    return "by inherited weights" if found.inherited else f"in the search after {row.trial.budget.stop} epochs"


def _ranks_line(found: Retrained) -> str:
    ranks = found.ranks
    if ranks is None:
        return ""
    then = "by inherited weights" if found.inherited else "in the search"
    if ranks.spearman is None or ranks.kendall is None:
        return f"the {ranks.count} networks have one value {then} or now: no rank correlation"
    few = "; of so few networks that may be chance" if ranks.count < 8 else ""
    return (
        f"the order of the {ranks.count} networks {then} and now: Spearman {ranks.spearman:+.2f}, "
        f"Kendall {ranks.kendall:+.2f}{few}"
    )


def _failures(found: Retrained) -> list[str]:
    return [f"training {trial.number} of {found.study} failed: {trial.reason}" for trial in found.failed]


def _next(found: Retrained) -> list[str]:
    if found.exported is not None:
        accuracy = {split: values["accuracy"] for split, values in found.exported.metrics.items()}
        line = (
            f"exported: {found.exported.folder}; accuracy {accuracy['validation']:.4f} on validation, "
            f"{accuracy['test']:.4f} on test; the reloaded model gives the same logits"
        )
        return [line]
    return [f"take it home: nas export {found.study} --to DIR"] if found.tested else []


def facts(found: Retrained) -> dict[str, Any]:
    """As JSON types."""
    ranks = found.ranks
    return {
        "study": found.study,
        "of": found.network or found.of,
        "recipe": {"name": found.recipe, **found.fields},
        "from": found.weights,
        "objective": str(found.judge),
        "test_images": found.images,
        "networks": [_network(row, found) for row in by_mean(found.rows, found.judge)],
        "ranks": None if ranks is None else dataclasses.asdict(ranks),
        "failed": {str(trial.number): trial.reason for trial in found.failed},
        "export": {"folder": str(found.exported.folder), "metrics": found.exported.metrics} if found.exported else None,
    }


def _network(row: Confirmed, found: Retrained) -> dict[str, Any]:
    tests, judge = found.tested.get(row.trial.number, ()), found.judge.name
    return {
        "trial": row.trial.number if found.network is None else None,
        "search": row.trial.metrics.get(judge),
        "search_epochs": row.trial.epochs if found.network is None else None,
        "intervals": {name: dataclasses.asdict(each) for name, each in row.intervals.items()},
        "test": dataclasses.asdict(interval([each.accuracy for each in tests])) if tests else None,
        "trainings": [
            {
                "number": each.trial.number,
                "seed": FIRST_SEED + each.replicate,
                "test_accuracy": each.accuracy,
                "wilson": [each.low, each.high],
                "metrics": dict(each.trial.metrics),
            }
            for each in tests
        ],
        "candidate": trial_json(row.trial)["candidate"],
    }
