"""The head of a model card: what the Hugging Face hub reads, in YAML."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nas.data import ImageData
from nas.export.equality import Check
from nas.export.facts import title_of
from nas.trial import Trial

TASK = "image-classification"


@dataclasses.dataclass(frozen=True)
class Told:
    """What a card is made of.

    Attributes:
        facts: of `export.json`. trial, data: what was trained on what. checks: of the formats, safetensors first.
        settings: of the study; empty where they are not known. licence: an identifier of the hub.
    """

    facts: Mapping[str, Any]
    trial: Trial
    data: ImageData
    checks: Sequence[Check]
    settings: Mapping[str, Any]
    licence: str


def head(told: Told) -> str:
    """YAML whose strings are JSON's, which YAML reads alike whatever is in them."""
    data = str(told.facts["data"])
    lines = [
        "---",
        f"license: {_quoted(told.licence)}",
        "library_name: mixer-nas",
        f"pipeline_tag: {TASK}",
        "tags:",
        *(f"- {tag}" for tag in (TASK, "mixer-nas", "neural-architecture-search", "pytorch")),
        *(f"- {check.form}" for check in told.checks if check.form in ("safetensors", "onnx")),
    ]
    if data.startswith("hf:"):
        lines += ["datasets:", f"- {_quoted(data.removeprefix('hf:'))}"]
    lines += [
        "metrics:",
        "- accuracy",
        "model-index:",
        f"- name: {_quoted(title_of(told.facts))}",
        "  results:",
        *(line for split in ("test", "validation") for line in _result(told, data, split)),
        "---",
    ]
    return "\n".join(lines)


def _result(told: Told, data: str, split: str) -> Iterator[str]:
    name = _quoted(data.partition(":")[2] or data)
    yield "  - task:"
    yield f"      type: {TASK}"
    yield "    dataset:"
    yield f"      name: {name}"
    yield f"      type: {name}"
    yield f"      split: {split}"
    yield "    metrics:"
    yield "    - type: accuracy"
    yield f"      value: {told.checks[0].metrics[split]['accuracy']:.6f}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())
