"""The forms that a model is written in: safetensors, a program of its own, ONNX, and torch's exported program."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from nas.errors import ExportError, InputError, unknown
from nas.export.facts import title_of
from nas.model import Backbone

SAFETENSORS, PY, ONNX, PT2 = "safetensors", "py", "onnx", "pt2"
FORMATS: Mapping[str, str] = {
    SAFETENSORS: "model.safetensors",
    PY: "model.py",
    ONNX: "model.onnx",
    PT2: "model.pt2",
}
QUICK = (SAFETENSORS, PY)  # those that take no compiler: what a search exports at its end
OPSET = 20  # of ONNX: the first with a GELU
EXTRA = "pip install 'mixer-nas[export]'"
NEEDED = ("onnx", "onnxscript", "onnxruntime")
NOISY = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def missing() -> tuple[str, ...]:
    """The packages that ONNX needs and that are not installed."""
    return tuple(name for name in NEEDED if find_spec(name) is None)


def choose(asked: Sequence[str] = ()) -> tuple[tuple[str, ...], str]:
    """The formats to write, safetensors first, and a line on what is left out: all that can be had unless asked.

    Raises: InputError for an unknown one, or one that is asked for and cannot be had here.
    """
    for name in asked:
        if name not in FORMATS:
            raise unknown("format", name, list(FORMATS))
    lacking = missing()
    if lacking and ONNX in asked:
        raise InputError(f"--format onnx needs {', '.join(lacking)}: {EXTRA}")
    wanted = tuple(name for name in FORMATS if name == SAFETENSORS or not asked or name in asked)
    if lacking and not asked:
        return tuple(
            name for name in wanted if name != ONNX
        ), f"without ONNX, which needs {', '.join(lacking)}: {EXTRA}"
    return wanted, ""


def write_formats(
    model: Backbone, facts: Mapping[str, Any], formats: Sequence[str], folder: Path, *, strict: bool = True
) -> dict[str, str]:
    """Write a model that is in evaluation mode in these formats, safetensors always.

    A mixer of the user's own may stand in the way of the others. Without `strict` those are left out: returned by name
    with the reason. Raises: ExportError naming the one that failed, with `strict`.
    """
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / FORMATS[SAFETENSORS], metadata={"format": "pt"})
    left_out: dict[str, str] = {}
    traced: list[torch.export.ExportedProgram] = []

    def program() -> torch.export.ExportedProgram:
        if not traced:
            traced.append(_traced(model))
        return traced[0]

    writers: dict[str, Callable[[Path], None]] = {
        PY: lambda path: _write_program(model, facts, path),
        PT2: lambda path: _write_pt2(program(), path),
        ONNX: lambda path: _write_onnx(program(), facts, path),
    }
    for name in [name for name in FORMATS if name in formats and name in writers]:
        path = folder / FORMATS[name]
        try:
            with _quiet():
                _written(name, writers[name], path)
        except ExportError as error:
            if strict:
                raise
            path.unlink(missing_ok=True)
            left_out[name] = str(error)
    return left_out


def _written(name: str, write: Callable[[Path], None], path: Path) -> None:
    """What torch raises on the way is of many kinds; a full disk stays what it is. Raises: ExportError, OSError."""
    try:
        write(path)
    except (OSError, ExportError):
        raise
    except Exception as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"the model cannot be written as {name}: {type(error).__name__}: {reason}") from error


def _write_program(model: Backbone, facts: Mapping[str, Any], path: Path) -> None:
    from nas import standalone

    text = standalone.source(
        model.architecture,
        in_channels=model.in_channels,
        num_classes=model.num_classes,
        title=title_of(facts),
        classes=tuple(facts.get("classes", ())),
        mean=tuple(facts.get("mean", ())),
        std=tuple(facts.get("std", ())),
    )
    path.write_text(text, encoding="utf-8")


def _traced(model: Backbone) -> torch.export.ExportedProgram:
    side = model.architecture.resolution
    images_BCHW = torch.zeros(2, model.in_channels, side, side)  # of 1, torch would take the batch for fixed
    with torch.no_grad():
        program = torch.export.export(model, (images_BCHW,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def _write_pt2(program: torch.export.ExportedProgram, path: Path) -> None:
    written = io.BytesIO()  # torch ends the process when it meets a full disk itself
    torch.export.save(program, written)
    path.write_bytes(written.getbuffer())


def _write_onnx(program: torch.export.ExportedProgram, facts: Mapping[str, Any], path: Path) -> None:
    made = torch.onnx.export(
        program, input_names=["images"], output_names=["logits"], opset_version=OPSET, dynamo=True, verbose=False
    )
    if made is None:
        raise ExportError("the model cannot be written as onnx: torch gave nothing back")
    for value in (*made.model.graph.inputs, *made.model.graph.outputs):
        if value.shape is not None:
            value.shape[0] = "batch"
    told = {"title": title_of(facts), **{name: facts[name] for name in ("classes", "mean", "std") if name in facts}}
    made.model.metadata_props.update({name: json.dumps(value) for name, value in told.items()})
    made.save(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch and its exporters warn their own developers of."""
    before = {name: logging.getLogger(name).level for name in NOISY}
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
