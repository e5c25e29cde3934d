"""An exported folder back in memory: as our model, or as a function from images to logits of any of its formats."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nas.architecture import Architecture
from nas.errors import InputError, unknown
from nas.export.formats import EXTRA, FORMATS, PT2, PY, SAFETENSORS, missing
from nas.model import Backbone, build

Forward = Callable[[Tensor], Tensor]
"""Normalised BCHW float32 images to logits, on the CPU."""


def load_exported(folder: Path) -> tuple[Backbone, dict[str, Any]]:
    """The model of an exported folder, in evaluation mode, and its `export.json`.

    Raises: InputError when the folder is no export of ours.
    """
    try:
        facts = read_facts(folder)
        architecture = Architecture.load(folder / "architecture.json")
        weights = load_file(folder / FORMATS[SAFETENSORS])
        model = build(architecture, in_channels=facts["channels"], num_classes=len(facts["classes"]))
        model.load_state_dict(weights)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise _refused(folder, error) from error
    return model.eval(), facts


def read_facts(folder: Path) -> dict[str, Any]:
    """`export.json`. Raises: InputError when the folder is no export of ours."""
    try:
        facts = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(folder, error) from error
    if not isinstance(facts, dict) or "mixer_nas" not in facts:
        raise InputError(f"{folder} is no export of mixer-nas: export.json does not say which version wrote it")
    sizes = [facts.get(name) for name in ("channels", "resolution")]
    if not all(isinstance(size, int) and size > 0 for size in sizes) or not isinstance(facts.get("classes"), list):
        raise InputError(f"{folder} is no export of mixer-nas: export.json has no channels, resolution or classes")
    return facts


def read_preprocessing(folder: Path) -> dict[str, Any]:
    """`preprocess.json`. Raises: InputError when there is none, or none that fits the model."""
    facts, path = read_facts(folder), folder / "preprocess.json"
    try:
        how = json.loads(path.read_text(encoding="utf-8"))
        fits = (how["channels"], how["size"], how["classes"]) == tuple(
            facts[name] for name in ("channels", "resolution", "classes")
        )
        numbers = [float(value) for name in ("mean", "std") for value in how[name]]
    except FileNotFoundError as error:  # weights of others come without
        raise InputError(f"{folder} has no preprocess.json: how images must be normalised for it is unknown") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} cannot be read: {_line(error)}") from error
    if not fits or len(numbers) != 2 * how["channels"]:
        raise InputError(f"{path} is not that of the model: channels, size, classes, mean and std must fit export.json")
    return dict(how)


def formats_in(folder: Path) -> tuple[str, ...]:
    """The formats that an exported folder holds."""
    return tuple(name for name, file in FORMATS.items() if (folder / file).is_file())


def opened(folder: Path, form: str = SAFETENSORS, *, threads: int | None = None) -> Forward:
    """What one format of an exported folder computes; `threads` are those of onnxruntime [default: torch's number].

    "safetensors" and "onnx" run nothing that the folder holds. "py" runs its program, in an interpreter of its own
    every time; "pt2" is refused where it holds pickles, but what torch reads else of it is no data format either. Both
    are for folders of people you trust.
    Raises: InputError for a folder that is no export of ours, a format that it lacks or that cannot be used here.
    """
    if form not in FORMATS:
        raise unknown("format", form, list(FORMATS))
    facts = read_facts(folder)
    if form not in formats_in(folder):
        raise InputError(f"{folder} holds no {FORMATS[form]}; it has {', '.join(formats_in(folder))}")
    if form == SAFETENSORS:
        return _quietly(load_exported(folder)[0])
    if form == PY:
        return _program(folder)
    shape = (facts["channels"], facts["resolution"], facts["resolution"])
    path = folder / FORMATS[form]
    try:
        return _quietly(_exported_program(path)) if form == PT2 else _session(path, threads, shape)
    except InputError:
        raise
    except Exception as error:  # what a damaged file raises shares no class
        raise InputError(f"{path} cannot be read: {_line(error)}") from error


def _quietly(model: torch.nn.Module) -> Forward:
    def forward(images_BCHW: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = model(images_BCHW)
        return logits

    return forward


def _program(folder: Path) -> Forward:
    from nas import standalone

    def forward(images_BCHW: Tensor) -> Tensor:
        logits: Tensor = standalone.run(folder, images_BCHW)
        return logits

    return forward


def _exported_program(path: Path) -> torch.nn.Module:
    _without_pickles(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.load(path).module()


def _without_pickles(path: Path) -> None:
    """Torch unpickles what such a file says is a pickle; ours holds none. Raises: ValueError, pickle.PickleError."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inner = name.partition("/")[2]
            if inner.endswith("_config.json"):
                entries = json.loads(archive.read(name))["config"].values()
                if any(entry.get("use_pickle") or "obj" in entry["path_name"] for entry in entries):
                    raise ValueError("it holds pickled objects, which are not opened")
            elif inner.startswith("data/sample_inputs/") and archive.getinfo(name).file_size:
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)
            elif inner.startswith("data/aotinductor/") or (inner.endswith(".pt") and inner.startswith("data/")):
                raise ValueError(f"it holds {inner}, which is not opened")


def _session(path: Path, threads: int | None, shape: tuple[int, int, int]) -> Forward:
    if lacking := missing():
        raise InputError(f"{path.name} needs {', '.join(lacking)} to run: {EXTRA}")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    if tuple(taken.shape[1:]) != shape:
        raise ValueError(f"it takes images of {taken.shape[1:]}, and export.json says {list(shape)}")

    def forward(images_BCHW: Tensor) -> Tensor:
        (logits,) = session.run(None, {taken.name: images_BCHW.contiguous().numpy()})
        return torch.from_numpy(logits)

    return forward


def _refused(folder: Path, error: Exception) -> InputError:
    if isinstance(error, InputError) and str(error).startswith(str(folder)):
        return error
    return InputError(f"{folder} is no export of mixer-nas: {_line(error)}")


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:300] or type(error).__name__
