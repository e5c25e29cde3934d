"""The winner itself: drawn where it is an architecture, by its choices where it is something else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from dashboards.findings import Findings
from dashboards.pages import Picture, Section, Table
from nas import diagram
from nas.architecture import Architecture
from nas.costs import cost

MOST_CLASSES = 100_000


def network_section(found: Findings) -> Section | None:
    """None where there is no winner."""
    top = found.headline.winner
    if top is None:
        return None
    title = f"The winner: trial {top.trial}"
    if isinstance(found.winner, Architecture):
        outputs = outputs_of(found.winner, top.metrics)
        channels, classes = outputs or (3, 1000)
        lines = (
            () if outputs else (f"Drawn for {channels} channels and {classes} classes, since the study does not tell.",)
        )
        block = diagram.text(found.winner, num_classes=classes, in_channels=channels, width=76)
        drawing = partial(
            diagram.svg, found.winner, num_classes=classes, in_channels=channels, title=f"trial {top.trial}"
        )
        caption = f"The network of trial {top.trial} from the image to the classes, with what each stage costs."
        picture = Picture("network", f"Diagram of the network of trial {top.trial}", caption, drawing, wide=True)
        return Section("network", title, lines, (picture,), block=block)
    rows = tuple(
        (path, json.dumps(value) if not isinstance(value, str) else value) for path, value in _leaves(found.winner)
    )
    return Section("network", title, tables=(Table("its choices", ("what", "value"), rows),))


def _leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [leaf for name, item in value.items() for leaf in _leaves(item, f"{path}.{name}" if path else str(name))]
    if isinstance(value, list | tuple) and value:
        return [leaf for index, item in enumerate(value) for leaf in _leaves(item, f"{path}[{index}]")]
    known = value is None or isinstance(value, str | int | float)
    return [(path or "candidate", value if known else str(value))]


def outputs_of(architecture: Architecture, metrics: Mapping[str, float]) -> tuple[int, int] | None:
    """Channels and classes for which it has the `params` and `macs` of the study; None where that is ambiguous.

    Both costs rise by a constant with each class, so that two costs tell the number of classes.
    """
    if "params" not in metrics or "macs" not in metrics:
        return None
    found = []
    for channels in (1, 3):
        two, three = (cost(architecture, num_classes=classes, in_channels=channels) for classes in (2, 3))
        step = three.params - two.params
        classes, rest = divmod(round(metrics["params"]) - two.params, step) if step else (0, 1)
        classes += 2
        if rest or not 2 <= classes <= MOST_CLASSES:
            continue
        if cost(architecture, num_classes=classes, in_channels=channels).macs == round(metrics["macs"]):
            found.append((channels, classes))
    return found[0] if len(found) == 1 else None
