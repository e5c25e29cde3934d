"""Running a stand-alone file in a fresh interpreter, from which our packages cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nas.errors import ExportError

SECONDS = 3600
OURS = ("nas", "search_spaces", "runners", "dashboards")
CHILD = """
import ctypes, importlib.util, json, sys
from pathlib import Path

job = json.loads(sys.stdin.read())
sys.path += [each for each in job["path"] if each not in sys.path]


class Away:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in job["away"]:
            raise ModuleNotFoundError(f"the file imports {name}, and needs to stand alone")


sys.meta_path.insert(0, Away())
import torch

torch.set_num_threads(job["threads"])
for index, (folder, images, logits) in enumerate(job["runs"]):
    spec = importlib.util.spec_from_file_location(f"model_{index}", Path(folder) / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model, images_BCHW = module.load(), module.read(Path(images))["images"].clone()  # aligned in memory
    with torch.inference_mode():
        out = model(images_BCHW).float().contiguous()
    header = {"logits": {"dtype": "F32", "shape": list(out.shape), "data_offsets": [0, out.numel() * 4]}}
    head = json.dumps(header).encode()
    numbers = ctypes.string_at(out.data_ptr(), out.numel() * 4)
    Path(logits).write_bytes(len(head).to_bytes(8, "little") + head + numbers)
"""


def run(folder: Path, images_BCHW: Tensor) -> Tensor:
    """The logits that `model.py` and `model.safetensors` in `folder` give in a fresh interpreter, on the CPU.

    It starts outside of this project and cannot import our packages. Raises: ExportError in one line when it fails.
    """
    return run_all([(folder, images_BCHW)])[0]


def run_all(runs: Sequence[tuple[Path, Tensor]]) -> list[Tensor]:
    """The same for several folders with their images, one after another in one interpreter."""
    with tempfile.TemporaryDirectory(prefix="nas-standalone-") as scratch:
        named = []
        for index, (folder, images_BCHW) in enumerate(runs):
            images, logits = (str(Path(scratch) / f"{index}.{each}.safetensors") for each in ("images", "logits"))
            save_file({"images": images_BCHW.detach().cpu().contiguous()}, images)
            named.append((str(folder.absolute()), images, logits))
        path = [each for each in sys.path if each]
        job = {"runs": named, "path": path, "away": OURS, "threads": torch.get_num_threads()}
        try:
            child = subprocess.run(  # noqa: S603 - this interpreter, on a program of our own
                [sys.executable, "-I", "-B", "-c", CHILD], input=json.dumps(job), cwd=scratch, text=True,
                capture_output=True, timeout=SECONDS, check=False,
            )  # fmt: skip
            if child.returncode:
                said = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
                raise ExportError(f"model.py does not run by itself: {said[-1].strip()[:300]}")
            return [load_file(logits)["logits"] for _, _, logits in named]
        except (OSError, subprocess.SubprocessError, SafetensorError) as error:
            raise ExportError(f"model.py does not run by itself: {error}") from error
