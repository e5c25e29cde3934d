"""Where images come from: each source gives splits of (image, label) pairs and the class names."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from nas.checked import digest
from nas.errors import DataError

IMAGE_COLUMNS = ("image", "img", "pixel_values", "picture", "photo", "jpg", "png")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target", "category", "coarse_label")
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


class Source(Protocol):
    """A named set of labelled images, read once."""

    name: str
    lasting: bool
    """Whether its fingerprint is the same wherever and whenever the content is."""

    def fingerprint(self) -> str:
        """Changes when the content does, as far as that can be told without reading it."""

    def classes(self) -> tuple[str, ...]:
        """Class names by label."""

    def splits(self) -> Mapping[str, Iterator[tuple[Image.Image, int]]]:
        """The splits there are: train, and possibly validation and test."""


def open_source(name: str) -> Source:
    """The source of a data set name. Raises: DataError."""
    kind, _, rest = name.partition(":")
    if name == "digits":
        return Digits()
    if kind == "hf" and rest:
        return HuggingFace(rest, "parquet or image-folder data set")
    if kind == "folder" and rest:
        if not Path(rest).is_dir():
            raise DataError(f"data {name!r}: there is no directory {rest}")
        return HuggingFace(rest, "image folder", builder="imagefolder")
    raise DataError(f"unknown data set {name!r}; known: digits, hf:HUB_ID_OR_DIRECTORY, folder:DIRECTORY")


class Digits:
    """The 1,797 hand-written digits of 8x8 pixels that scikit-learn brings along (UCI, test part)."""

    name = "digits"
    lasting = True

    def fingerprint(self) -> str:
        """Constant: the data is bundled."""
        return "digits of scikit-learn"

    def classes(self) -> tuple[str, ...]:
        """0 to 9."""
        return tuple(str(digit) for digit in range(10))

    def splits(self) -> Mapping[str, Iterator[tuple[Image.Image, int]]]:
        """One split; the caller divides it."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)
        return {
            "train": ((Image.fromarray(image), int(label)) for image, label in zip(images, digits.target, strict=True))
        }


class HuggingFace:
    """Anything `datasets` reads without running code: parquet and image folders, on disk or on the hub."""

    def __init__(self, where: str, what: str, builder: str | None = None) -> None:
        self.name = f"folder:{where}" if builder else f"hf:{where}"
        self.where, self.what, self.builder = where, what, builder
        self.lasting = not Path(where).is_dir()  # the times of files change with every copy of them
        self._loaded: Any = None

    def fingerprint(self) -> str:
        """Names, sizes and times of the files of a local directory; the id itself for the hub."""
        root = Path(self.where)
        if not root.is_dir():
            return self.where
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return digest([[str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns] for path in files])

    def classes(self) -> tuple[str, ...]:
        """From the label column; numbers where it has no names."""
        _, label = self._columns()
        feature = self._first().features[label]
        if hasattr(feature, "names"):
            return tuple(feature.names)
        found = {row[label] for row in self._translated(self._first().select_columns([label]))}
        if not all(isinstance(value, int) for value in found):
            raise DataError(f"data {self.name!r}: the labels of column {label!r} are neither numbers nor named classes")
        values = sorted(found)
        if not values or values != list(range(len(values))):
            raise DataError(f"data {self.name!r}: the labels of column {label!r} are not 0, 1, 2, ...")
        return tuple(str(value) for value in values)

    def splits(self) -> Mapping[str, Iterator[tuple[Image.Image, int]]]:
        """Train, validation and test, whatever their usual names."""
        loaded, found = self._load(), {}
        for ours, theirs in SPLITS.items():
            split = next((name for name in theirs if name in loaded), None)
            if split is not None:
                found[ours] = self._rows(split)
        if "train" not in found:
            raise DataError(f"data {self.name!r}: no split called train; it has {', '.join(loaded)}")
        return found

    def _rows(self, split: str) -> Iterator[tuple[Image.Image, int]]:
        import datasets

        image, label = self._columns()
        rows = self._load()[split].select_columns([image, label]).cast_column(image, datasets.Image(decode=False))
        for index, row in enumerate(self._translated(rows)):
            if row[label] is None or int(row[label]) < 0:
                raise DataError(f"data {self.name!r}: image {index} of split {split!r} has no label")
            yield decode(row[image], f"image {index} of split {split!r} of {self.name!r}"), int(row[label])

    def _translated(self, rows: Any) -> Iterator[Any]:
        """The rows; what the library raises on the way becomes a DataError."""
        try:
            yield from rows
        except DataError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"data {self.name!r} cannot be read to its end: {reason}") from error

    def _load(self) -> Any:
        if self._loaded is None:
            import datasets
            from datasets.utils.logging import set_verbosity_error

            set_verbosity_error()
            try:
                if self.builder:
                    files = _split_folders(Path(self.where))
                    self._loaded = datasets.load_dataset(
                        self.builder, data_files=files, streaming=True, drop_labels=False
                    )
                else:
                    self._loaded = datasets.load_dataset(self.where, streaming=True)
            except Exception as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise DataError(f"data {self.name!r} is no readable {self.what}: {reason}") from error
            if not self._loaded:
                raise DataError(f"data {self.name!r} holds no split")
        return self._loaded

    def _first(self) -> Any:
        loaded = self._load()
        return loaded[next((name for name in SPLITS["train"] if name in loaded), next(iter(loaded)))]

    def _columns(self) -> tuple[str, str]:
        features = self._first().features
        if features is None:
            features = next(iter(self._first().take(1)), {})
        image = next((name for name in IMAGE_COLUMNS if name in features), None)
        label = next((name for name in LABEL_COLUMNS if name in features), None)
        if image is None or label is None:
            hint = " (one folder a class is expected)" if self.builder else ""
            what = "image" if image is None else "label"
            raise DataError(
                f"data {self.name!r}: no {what} column{hint}; it has {', '.join(features) or 'none'}, "
                f"known are {', '.join(IMAGE_COLUMNS)} and {', '.join(LABEL_COLUMNS)}"
            )
        return image, label


def _split_folders(root: Path) -> dict[str, str]:
    """The folders train, validation and test where there is a train; else everything is for training.

    Said explicitly, since the library guesses splits from words in the names of files and classes.
    """
    root = root.resolve()
    found = {ours: name for ours, names in SPLITS.items() for name in names if (root / name).is_dir()}
    if "train" in found and len([path for path in root.iterdir() if path.is_dir()]) == len(found):
        return {split: str(root / name / "**") for split, name in found.items()}
    return {"train": str(root / "**")}


def decode(cell: Any, where: str) -> Image.Image:
    """A picture from its bytes or, where there are none, from its path. Raises: DataError naming it."""
    path = str(cell.get("path") or "") if isinstance(cell, dict) else ""
    try:
        content = cell["bytes"] if cell["bytes"] is not None else Path(path).read_bytes()
        image = Image.open(io.BytesIO(content))
        image.load()
    except (
        OSError,
        UnidentifiedImageError,
        SyntaxError,
        ValueError,
        TypeError,
        KeyError,
        Image.DecompressionBombError,
    ) as error:
        reason = str(error).partition(" <")[0]
        raise DataError(f"corrupt image: {path or where}: {reason}") from error
    return image
