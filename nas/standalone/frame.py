"""What every stand-alone file has around its network: the head, the reader of the weights, `load`, `preprocess`."""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Sequence

from nas.standalone.definitions import Import
from nas.standalone.printing import COLUMNS, statement

NAMES = {"Model", "DTYPES", "MEAN", "STD", "CLASSES", "read", "load", "preprocess"}
NEEDED = [
    Import("json", "", "json"),
    Import("math", "", "math"),
    Import("pathlib", "Path", "Path"),
    Import("torch", "", "torch"),
    Import("torch", "nn", "nn"),
    Import("torch", "Tensor", "Tensor"),
]
CLASS_LINES = 120  # names of classes that need more are left out

READER = '''\
def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file: the length of a JSON header in 8 bytes, the header, the numbers."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        if start > len(data):
            raise ValueError(f"{len(data)} bytes, and its header alone has {start}")
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        end, tensors = start, {}
        for name, entry in header.items():
            dtype, shape, (first, last) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
            count = math.prod(shape)
            if count < 1 or first < 0 or last - first != count * dtype.itemsize or start + last > len(data):
                raise ValueError(f"{name} does not fit the {len(data) - start} bytes of numbers")
            tensors[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=start + first).reshape(shape)
            end = max(end, start + last)
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes too many")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error
    return tensors
'''
DTYPES = """\
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
"""
LOAD = '''\
def load(folder: str | Path | None = None) -> Model:
    """The network with the weights of `model.safetensors` in `folder` (default: beside this file), for inference.

    Raises: OSError without that file, ValueError for a damaged one, RuntimeError for that of another network.
    """
    model = Model()
    model.load_state_dict(read(Path(folder or Path(__file__).parent) / "model.safetensors"))
    return model.to(memory_format=torch.channels_last).eval()
'''
PREPROCESS = '''\
def preprocess(images_BHWC: Tensor) -> Tensor:
    """Images of bytes (0 to 255), {side} x {side} x {channels}, to what the network was trained on."""
    if images_BHWC.shape[1:] != ({side}, {side}, {channels}):
        raise ValueError(f"B x {side} x {side} x {channels} is expected, not {{tuple(images_BHWC.shape)}}")
    mean, std = (torch.tensor(each, device=images_BHWC.device).mul(255).view(-1, 1, 1) for each in (MEAN, STD))
    x_BCHW = (images_BHWC.permute(0, 3, 1, 2).float() - mean) / std
    return x_BCHW.contiguous(memory_format=torch.channels_last)
'''
MAIN = """\
if __name__ == "__main__":
    print(f"{sum(parameter.numel() for parameter in Model().parameters()):,} parameters")
"""


def docstring(title: str, *, images: bool) -> list[str]:
    """The head of the file."""
    printable = "".join(each if each.isprintable() else " " for each in title)
    shown = " ".join(printable.replace("\\", "/").replace('"', "'").split()) or "a vision backbone"
    first = textwrap.wrap(f"{shown[0].upper()}{shown[1:]}", 115)
    use = "load()(preprocess(images))" if images else "load()(images)"
    told = f"""\
An image classifier in one file, which needs PyTorch and nothing else. Written by mixer-nas.

    from model import load{", preprocess" if images else ""}

    logits = {use}  # with model.safetensors beside this file

Shapes: B images, N tokens (row by row over the square map, the class token first where there is one), C channels,
H = W = side of the map; layers take BNC and give BNC where they say nothing else. Fresh weights are PyTorch's own, not
those that the network was trained from."""
    return [f'"""{first[0].rstrip(".")}.', *first[1:], "", *told.splitlines(), '"""']


def import_lines(imports: Sequence[Import]) -> list[str]:
    """Sorted: the standard library, then torch."""
    blocks: dict[bool, list[str]] = {False: [], True: []}
    plain = sorted({(each.module, each.name) for each in imports if not each.what})
    for module, name in plain:
        same = name == module.partition(".")[0]
        blocks[module.partition(".")[0] == "torch"].append(f"import {module}" + ("" if same else f" as {name}"))
    for module in sorted({each.module for each in imports if each.what}):
        wanted = {(each.what, each.name) for each in imports if each.module == module and each.what}
        names = [what if what == name else f"{what} as {name}" for what, name in sorted(wanted, key=_order)]
        text = f"from {module} import {', '.join(names)}"
        exploded = [f"from {module} import (", *(f"    {name}," for name in names), ")"]
        blocks[module.partition(".")[0] == "torch"] += [text] if len(text) <= COLUMNS else exploded
    return [*blocks[False], "", *blocks[True]]


def _order(names: tuple[str, str]) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    what = names[0]
    return (0 if what.isupper() and len(what) > 1 else 1 if what[0].isupper() else 2), what


def class_lines(classes: Sequence[str]) -> list[str]:
    """`CLASSES`, as JSON where it takes more than a line; nothing for very many."""
    names = [str(each) for each in classes]
    if not names or sum(map(len, names)) > COLUMNS * CLASS_LINES:
        return []
    if len(lines := constant("CLASSES", names)) == 1:
        return lines
    wrapped = [""]
    for part in json.dumps(names, separators=(",\n", "")).split("\n"):
        if wrapped[-1] and len(wrapped[-1]) + 1 + len(part) > COLUMNS:
            wrapped.append("")
        wrapped[-1] += f" {part}" if wrapped[-1] else part
    return ['CLASSES = json.loads(r"""', *wrapped, '""")'] if len(wrapped) <= CLASS_LINES else []


def constant(name: str, value: Sequence[float | str]) -> list[str]:
    """The lines of `name = [...]`."""
    (node,) = ast.parse(f"{name} = {list(value)!a}").body
    return statement(node)
