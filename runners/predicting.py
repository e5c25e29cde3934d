"""`nas predict`: pictures through an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from nas.errors import InputError
from runners.tables import print_json

if TYPE_CHECKING:
    from torch import Tensor

AT_ONCE = 32  # pictures in memory


def predict(folder: Path, images: Sequence[Path], *, form: str, top: int, as_json: bool, out: Console) -> None:
    """`nas predict`. Raises: InputError for a folder that is no export of ours, or a file that is no picture."""
    import torch

    from nas.export.reading import opened, read_preprocessing

    forward = opened(folder, form)
    how = read_preprocessing(folder)
    classes = how["classes"]
    found = []
    for start in range(0, len(images), AT_ONCE):
        batch_BCHW = torch.stack([prepared(path, how) for path in images[start : start + AT_ONCE]])
        logits_BK = forward(batch_BCHW)
        if logits_BK.shape[1] != len(classes) or not logits_BK.isfinite().all():
            raise InputError(f"{folder}: {form} does not give a finite number for each of {len(classes)} classes")
        values, indices = logits_BK.softmax(1).topk(min(top, len(classes)))
        found += [
            [(classes[index], share) for index, share in zip(row, shares, strict=True)]
            for row, shares in zip(indices.tolist(), values.tolist(), strict=True)
        ]
    if as_json:
        print_json(
            [
                {"image": str(path), "top": [{"class": name, "probability": share} for name, share in row]}
                for path, row in zip(images, found, strict=True)
            ]
        )
        return
    table = Table("image", box=None, pad_edge=False)
    for place in range(len(found[0])):
        table.add_column(f"{place + 1}.", no_wrap=True)
    for path, row in zip(images, found, strict=True):
        table.add_row(str(path), *(f"{name} {share:.1%}" for name, share in row))
    out.print(table, highlight=False)


def prepared(path: Path, how: dict[str, Any]) -> Tensor:
    """A picture as the model takes it, CHW. Raises: InputError for what is none."""
    import numpy as np
    import torch

    from nas.data.cache import pixels
    from nas.data.sources import decode

    if not path.is_file():
        raise InputError(
            f"{path}: {'a picture is expected, not a directory' if path.is_dir() else 'there is no such file'}"
        )
    side, channels = how["size"], how["channels"]
    content = pixels(decode({"bytes": None, "path": str(path)}, str(path)), side, channels)
    image_HWC = torch.from_numpy(np.frombuffer(content, np.uint8).reshape(side, side, channels).copy())
    mean, std = (torch.tensor(how[name]).mul(255).view(-1, 1, 1) for name in ("mean", "std"))
    return (image_HWC.permute(2, 0, 1).float() - mean) / std
