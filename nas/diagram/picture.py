"""An architecture as an SVG picture: self-contained, with its words in title and description."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from nas.architecture import Architecture
from nas.costs import parts
from nas.diagram import words
from nas.diagram.cards import SMALL
from nas.diagram.ink import SOFT, Drawing, page, phrases, placed, text, wrapped
from nas.diagram.mixer_words import mixer_facts, mixer_name
from nas.diagram.panels import Frame, Notes, Scale, arrow, head_panel, scale_of, stage_panel
from nas.tally import Tally

WIDE = Frame(wide=800, margin=20, map_wide=140, cost_wide=146, beside=True)
GAP = 18.0
LEGEND = (
    "Boxes: the face is the side of the map, the depth its width (root scale). Bars: share of the whole network. "
    "×N: so many equal blocks in a row."
)


def svg(architecture: Architecture, *, num_classes: int = 1000, in_channels: int = 3, title: str = "") -> str:
    """The architecture as an SVG of 800 pixels width, with the costs of each stage.

    It holds no script, style sheet, font or link, and has a white ground of its own. `title` is its heading.
    """
    counts = parts(architecture, num_classes=num_classes, in_channels=in_channels)
    total = Tally().plus(*counts.values())
    scale = scale_of([architecture], total)
    heading = title.strip() or default_title(architecture)
    top = header(WIDE, heading, summary(architecture, num_classes, in_channels, total))
    elements, y = [placed(0, 0, top.elements)], top.height
    for panel in panels(WIDE, scale, architecture, counts, num_classes):
        elements += [*arrow(WIDE.middle_of_map, y + 1, GAP - 2), placed(0, y + GAP, panel.elements)]
        y += GAP + panel.height
    foot = footer(WIDE)
    elements.append(placed(0, y, foot.elements))
    said = in_words(architecture, num_classes=num_classes, in_channels=in_channels)
    return page(WIDE.wide, y + foot.height, elements, title=heading, words=said)


def panels(
    frame: Frame,
    scale: Scale,
    architecture: Architecture,
    counts: Mapping[str, Tally],
    num_classes: int,
    notes: Notes | None = None,
) -> list[Drawing]:
    """The stages and the head, from top to bottom; `notes` are what differs from another network."""
    notes = notes or {}
    drawn = []
    for index, (stage, place) in enumerate(zip(architecture.stages, architecture.places, strict=True)):
        path, name = f"stages[{index}]", f"Stage {index + 1}"
        drawn.append(stage_panel(frame, scale, path, stage, place, counts[path], name, notes))
    steps = words.head_steps(architecture.head, num_classes)
    return [*drawn, head_panel(frame, scale, steps, num_classes, counts["head"], notes)]


def default_title(architecture: Architecture) -> str:
    """As in "3 stages, 13 blocks"."""
    stages, blocks = len(architecture.stages), sum(len(stage.blocks) for stage in architecture.stages)
    return f"{stages} stage{'' if stages == 1 else 's'}, {blocks} block{'' if blocks == 1 else 's'}"


def summary(architecture: Architecture, num_classes: int, in_channels: int, total: Tally) -> list[str]:
    """Input, output and the costs of the whole."""
    side = architecture.resolution
    frozen = f" (+ {words.amount(total.frozen)} frozen)" if total.frozen else ""
    return [
        f"image {side} × {side} × {in_channels} → {num_classes:,} classes",
        f"{words.amount(total.params)} parameters{frozen}",
        f"{words.amount(total.macs)} MACs",
        f"{words.data_size(total.saved)} an image in training",
    ]


def header(frame: Frame, title: str, facts: Sequence[str]) -> Drawing:
    """The heading and the summary below it."""
    y, elements = 14.0, []
    for line in wrapped(title, 19, frame.wide - 2 * frame.margin, bold=True, most=3):
        elements.append(text(frame.margin, y + 19, line, size=19, bold=True))
        y += 25
    for line in phrases(facts, 12.5, frame.wide - 2 * frame.margin):
        elements.append(text(frame.margin, y + 14, line, size=12.5, fill=SOFT))
        y += 18
    return Drawing(y + 4, elements)


def footer(frame: Frame) -> Drawing:
    """What the shapes mean."""
    y, elements = 8.0, []
    for line in wrapped(LEGEND, SMALL, frame.wide - 2 * frame.margin):
        elements.append(text(frame.margin, y + SMALL, line, size=SMALL, fill=SOFT))
        y += 15
    return Drawing(y + 9, elements)


def in_words(architecture: Architecture, *, num_classes: int, in_channels: int) -> str:
    """The picture for who cannot see it."""
    side, said = architecture.resolution, []
    counts = parts(architecture, num_classes=num_classes, in_channels=in_channels)
    total = Tally().plus(*counts.values())
    said.append(f"{default_title(architecture)} for images of {side} by {side} by {in_channels}.")
    for index, (stage, place) in enumerate(zip(architecture.stages, architecture.places, strict=True)):
        runs = [
            f"{len(list(run))} × {', '.join([mixer_name(block.mixer), *mixer_facts(block.mixer, place)])}"
            + (f", MLP ×{block.mlp_ratio:g}" if block.mlp_ratio else "")
            for block, run in itertools.groupby(stage.blocks)
        ]
        count = counts[f"stages[{index}]"]
        said.append(
            f"Stage {index + 1}, {words.map_size(place)}: {', '.join(words.stage_steps(stage, place))}; "
            f"{'; '.join(runs)}; {words.amount(count.params)} parameters, {words.amount(count.macs)} MACs."
        )
    said.append(f"Head: {', '.join(words.head_steps(architecture.head, num_classes))}.")
    said.append(f"In all {words.amount(total.params)} parameters and {words.amount(total.macs)} MACs.")
    return " ".join(said)
