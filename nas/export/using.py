"""How to use each file of an export, in a few lines of Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from nas.data import ImageData
from nas.export.formats import ONNX, PT2, PY

ALONE = """### As plain torch, without mixer-nas

`model.py` is the whole network in one file, and needs torch alone.

```python
import torch
from model import load

model = load()  # with model.safetensors beside model.py
logits = model(images)  # BCHW, float32, normalised
```"""
ONNX_LINES = """### In onnxruntime

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {"images": images})  # numpy, BCHW, float32, normalised; any number of images
```"""
PT2_LINES = """### As an exported program of torch

Such a file may hold pickles, so load none of a stranger's; this one was written without any.

```python
import torch

model = torch.export.load("model.pt2").module()
logits = model(images)  # any number of images
```"""
OURS = """### With mixer-nas

```sh
nas predict . picture.png        # the top classes
nas bench .                      # how fast each format is here
```

```python
from pathlib import Path
from nas.export import load_exported

model, facts = load_exported(Path("."))
```"""
SNIPPETS = {PY: ALONE, ONNX: ONNX_LINES, PT2: PT2_LINES}


def section(forms: Sequence[str], data: ImageData) -> str:
    """The section, for these formats."""
    return "\n\n".join(
        ("## How to use it", preparing(data), *(SNIPPETS[name] for name in forms if name in SNIPPETS), OURS)
    )


def preparing(data: ImageData) -> str:
    """From a picture to the numbers that every format takes; the figures are those of `preprocess.json`."""
    mode, unit = ("L", "[:, :, None]") if data.channels == 1 else ("RGB", "")
    return f"""Every format takes the same numbers (`preprocess.json`):

```python
import numpy as np
from PIL import Image

picture = Image.open("picture.png")
if picture.mode == "I;16":
    picture = Image.fromarray(np.round(np.asarray(picture) / 257).astype(np.uint8))
picture = picture.convert("{mode}")
short = min(picture.size)
left, top = (picture.width - short) // 2, (picture.height - short) // 2
box = (left, top, left + short, top + short)
picture = picture.resize(({data.resolution}, {data.resolution}), Image.Resampling.BICUBIC, box=box)
pixels = np.asarray(picture, np.float32){unit} / 255
pixels = (pixels - {list(data.mean)}) / {list(data.std)}
images = pixels.transpose(2, 0, 1)[None].astype(np.float32)  # torch: torch.from_numpy(images)
```"""
