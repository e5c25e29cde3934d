"""The decoded form: raw uint8 files, one a split, beside a JSON description; written once, then memory-mapped."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.checked import digest
from nas.data.sources import Source
from nas.errors import DataError

LAYOUT = 1  # of the cache; a change decodes anew
PEEK = 64  # images looked at to find size and channels
GRAY = ("1", "L", "I", "I;16", "F", "LA")


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A decoded data set.

    Attributes:
        name: as asked for.
        digest: identity of content, resolution and splits.
        folder: where the decoded files are.
        resolution: side in pixels. channels: 1 or 3.
        classes: names by label.
        counts: images by split.
        mean, std: per channel over the training images, in [0, 1].
    """

    name: str
    digest: str
    folder: str
    resolution: int
    channels: int
    classes: tuple[str, ...]
    counts: dict[str, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def images(self, split: str) -> npt.NDArray[np.uint8]:
        """The images of a split, N x H x W x channels, mapped read-only."""
        shape = (self.counts[split], self.resolution, self.resolution, self.channels)
        return np.memmap(Path(self.folder) / f"{split}.images", np.uint8, "r", shape=shape)

    def labels(self, split: str) -> npt.NDArray[np.int64]:
        """The labels of a split."""
        return np.fromfile(Path(self.folder) / f"{split}.labels", np.int64)


def cache_root() -> Path:
    """`NAS_CACHE`, else `~/.cache/mixer-nas`."""
    return Path(os.environ.get("NAS_CACHE") or Path.home() / ".cache" / "mixer-nas")


def _key(source: Source, resolution: int | None) -> str:
    return digest([LAYOUT, source.fingerprint(), resolution])


def load_cached(root: Path, source: Source, resolution: int | None) -> ImageData | None:
    """The decoded data set if it is there, whole."""
    key = _key(source, resolution)
    found = read_cached(root / key, source.name)
    if found is None and (pointer := root / f"{key}.digest").is_file():
        found = read_cached(root / pointer.read_text().strip(), source.name)
    return found


def read_cached(folder: Path, name: str) -> ImageData | None:
    """The decoded data set called `name` that a folder holds; None where it is not there or not whole."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        data = ImageData(
            **{
                **meta,
                **{key: tuple(meta[key]) for key in ("classes", "mean", "std")},
                "folder": str(folder),
                "name": name,
            }
        )
        whole = all(data.images(split).shape[0] == len(data.labels(split)) for split in data.counts)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return data if whole else None


def write_cache(root: Path, source: Source, resolution: int | None) -> ImageData:
    """Decode, divide and write; nothing is left behind when it fails. Raises: DataError."""
    key = _key(source, resolution)
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".decoding-", dir=root))
    except OSError as error:
        raise DataError(
            f"the data cache {root} cannot be written ({error.strerror}); NAS_CACHE names another place"
        ) from error
    try:
        meta = _decode_all(source, resolution, folder)
        identity = key if source.lasting else _identity(folder, meta)
        (folder / "meta.json").write_text(json.dumps({**meta, "digest": identity}))
        folder.chmod(0o755)
        target = root / identity
        if target.exists() and read_cached(target, source.name) is None:
            shutil.rmtree(target, ignore_errors=True)  # torn; a whole one was written by another process meanwhile
        if not target.exists():
            try:
                folder.rename(target)
            except OSError:
                if read_cached(target, source.name) is None:  # else another process was first
                    raise
        if identity != key:
            _point(root / f"{key}.digest", identity)
    except OSError as error:
        if load_cached(root, source, resolution) is None:
            raise DataError(f"the data cache {root} cannot be written: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    data = load_cached(root, source, resolution)
    if data is None:
        raise DataError(f"the data cache {root / key} cannot be read back; delete it and try again")
    return data


def _identity(folder: Path, meta: dict[str, object]) -> str:
    """Of what was decoded, so that a copy of the files of a data set, with other times, is the same data set."""
    content = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            content[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digest(
        [LAYOUT, content, meta["resolution"], meta["channels"], list(cast("tuple[str, ...]", meta["classes"]))]
    )


def _point(path: Path, identity: str) -> None:
    """Written whole: other processes read it."""
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(identity)
    part.replace(path)


def _decode_all(source: Source, resolution: int | None, folder: Path) -> dict[str, object]:
    splits = source.splits()
    train = iter(splits["train"])
    peeked = list(itertools.islice(train, PEEK))
    if not peeked:
        raise DataError(f"data {source.name!r} holds no images")
    side = resolution or _side([image for image, _ in peeked])
    channels = 1 if all(image.mode in GRAY for image, _ in peeked) else 3
    counts = {"train": _write(folder / "train", itertools.chain(peeked, train), side, channels)}
    for split in ("validation", "test"):
        if split in splits:
            counts[split] = _write(folder / split, splits[split], side, channels)
    counts = _divide(folder, {split: count for split, count in counts.items() if count}, (side, side, channels))
    classes = source.classes()
    mean, std = _moments(folder / "train.images", counts["train"], side, channels)
    _check(source.name, folder, counts, classes)
    return {
        "resolution": side,
        "channels": channels,
        "classes": classes,
        "counts": counts,
        "mean": mean,
        "std": std,
    }


def _side(images: list[Image.Image]) -> int:
    """The common side of square images; else the smallest short side, in steps of 32 and at most 224."""
    sizes = {image.size for image in images}
    if len(sizes) == 1 and len(set(next(iter(sizes)))) == 1 and 4 <= images[0].width <= 1024:
        return images[0].width
    short = min(min(size) for size in sizes)
    return min(224, max(32, short // 32 * 32))


def _write(stem: Path, rows: Iterable[tuple[Image.Image, int]], side: int, channels: int) -> int:
    labels: list[int] = []
    with stem.with_suffix(".images").open("wb") as file:
        for image, label in rows:
            file.write(pixels(image, side, channels))
            labels.append(label)
    np.asarray(labels, np.int64).tofile(stem.with_suffix(".labels"))
    return len(labels)


def pixels(image: Image.Image, side: int, channels: int) -> bytes:
    """The centre square of a picture at `side` pixels, 8 bits, row by row: what networks are trained on."""
    if image.mode in ("I", "I;16", "F"):
        image = _eight_bits(image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (side, side):
        short = min(image.size)
        left, top = (image.width - short) // 2, (image.height - short) // 2
        image = image.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + short, top + short))
    return image.tobytes()


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit gray over its whole range; other integers and floats over 255 or 1, whichever holds them."""
    values: npt.NDArray[np.float64] = np.asarray(image, np.float64)
    if image.mode == "I;16" or values.max(initial=0) > 255:
        values = values / 257
    elif image.mode == "F" and values.max(initial=0) <= 1:
        values = values * 255
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))


def _divide(folder: Path, counts: dict[str, int], shape: tuple[int, int, int]) -> dict[str, int]:
    """Hold out of the training images what the source has no split for: 20 % each if neither, else 10 %."""
    missing = [split for split in ("validation", "test") if split not in counts]
    share = 0.2 if len(missing) == 2 else 0.1
    total = counts["train"]
    for split in reversed(missing):
        images = np.fromfile(folder / "train.images", np.uint8).reshape(counts["train"], *shape)
        labels = np.fromfile(folder / "train.labels", np.int64)
        kept, held = _stratified(labels, round(total * share))
        for name, rows in ((split, held), ("train", kept)):
            images[rows].tofile(folder / f"{name}.images")
            labels[rows].tofile(folder / f"{name}.labels")
            counts[name] = len(rows)
    return counts


def _stratified(labels: npt.NDArray[np.int64], held: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices kept and held out, the same on every machine, with every class in its share."""
    from sklearn.model_selection import train_test_split

    if not 1 <= held < len(labels):
        raise DataError(f"{len(labels)} images are too few to hold any out for validation and test")
    _, sizes = np.unique(labels, return_counts=True)
    stratify = labels if sizes.min() >= 2 and min(held, len(labels) - held) >= len(sizes) else None
    kept, out = train_test_split(np.arange(len(labels)), test_size=held, random_state=0, stratify=stratify)
    return np.sort(kept), np.sort(out)


def _moments(path: Path, count: int, side: int, channels: int) -> tuple[list[float], list[float]]:
    images = np.memmap(path, np.uint8, "r", shape=(count, side * side, channels))
    total, squares = np.zeros(channels), np.zeros(channels)
    for chunk in _chunks(images):
        values = chunk.reshape(-1, channels).astype(np.float64) / 255
        total += values.sum(0)
        squares += (values**2).sum(0)
    mean = total / (count * side * side)
    std = np.sqrt(np.maximum(squares / (count * side * side) - mean**2, 0))
    return [round(float(m), 6) for m in mean], [round(max(float(s), 1e-3), 6) for s in std]


def _chunks(images: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    for start in range(0, len(images), 1024):
        yield images[start : start + 1024]


def _check(name: str, folder: Path, counts: dict[str, int], classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise DataError(f"data {name!r} has {len(classes)} class ({', '.join(classes)}); at least 2 are needed")
    present = np.unique(np.fromfile(folder / "train.labels", np.int64))
    if absent := [label for index, label in enumerate(classes) if index not in present]:
        raise DataError(
            f"data {name!r}: no training image of class {absent[0]!r} ({len(absent)} of {len(classes)} classes)"
        )
    for split in counts:
        labels = np.fromfile(folder / f"{split}.labels", np.int64)
        if labels.max(initial=0) >= len(classes):
            raise DataError(
                f"data {name!r}: label {labels.max()} in split {split!r}, and there are {len(classes)} classes"
            )
