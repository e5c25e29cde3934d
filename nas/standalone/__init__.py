"""A network as one readable Python file that needs torch and nothing else, and the proof that it is the same."""

from __future__ import annotations

from collections.abc import Sequence

from nas.architecture import Architecture
from nas.errors import ExportError
from nas.standalone.definitions import Definitions
from nas.standalone.expressions import Spelling
from nas.standalone.frame import (
    DTYPES,
    LOAD,
    MAIN,
    NAMES,
    NEEDED,
    PREPROCESS,
    READER,
    class_lines,
    constant,
    docstring,
    import_lines,
)
from nas.standalone.fresh import run, run_all
from nas.standalone.network import model_class
from nas.standalone.recording import record
from nas.standalone.specialise import Specialiser, used_by_others


def source(
    architecture: Architecture,
    *,
    in_channels: int,
    num_classes: int,
    title: str = "",
    classes: Sequence[str] = (),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> str:
    """The text of a Python file with this network: the layers it uses, `Model`, and `load` for its weights.

    `title` goes into its docstring; `classes` are the names of the classes (left out where they would fill the file).
    With `mean` and `std` of every channel (of values from 0 to 1) it has `preprocess` for uint8 BHWC images.
    Raises: ExportError naming the token mixer whose module cannot be written into a file of its own.
    """
    calls = record(architecture, in_channels, num_classes)
    try:
        specialiser = Specialiser(calls, used_by_others(calls.model))
    except (OSError, TypeError) as error:  # an installation without its .py files
        raise ExportError(f"the network cannot be written into a file of its own: {error}") from error
    definitions = Definitions(NAMES, specialiser.rewrite)
    for each in NEEDED:
        definitions.bring(each, "")
    spelling = Spelling(calls, specialiser, definitions)
    model = model_class(spelling)
    images = bool(mean and std)
    constants = class_lines(classes)
    if images:
        constants += constant("MEAN", [float(each) for each in mean]) + constant("STD", [float(each) for each in std])
    shape = {"side": architecture.resolution, "channels": in_channels}
    parts = [
        "\n".join(docstring(title, images=images)) + "\n",
        "from __future__ import annotations\n",
        "\n".join(import_lines(list(definitions.imports.values()))) + "\n",
        "\n".join([*constants, DTYPES]),
    ]
    functions = [READER, LOAD, *([PREPROCESS.format(**shape)] if images else []), MAIN]
    body = [*definitions.texts.values(), "\n".join(model), *functions]
    return "\n".join(parts) + "\n\n" + "\n\n\n".join(text.rstrip() for text in body) + "\n"


__all__ = ["run", "run_all", "source"]
