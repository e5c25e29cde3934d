"""Data sets of a few pictures, as folders and in the parquet layout of the Hugging Face hub."""

import io

import datasets
import numpy as np
from PIL import Image

LEVELS = {"dark": 40, "bright": 200}


def picture(level, mode="RGB", size=(8, 8), index=0):
    """A flat picture of a level with one pixel that tells its index."""
    array = np.full((size[1], size[0]), level, np.uint8)
    array[0, 0] = index % 256
    return Image.fromarray(array).convert(mode)


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def folder_of(root, *, splits=("",), count=10, mode="RGB", size=(8, 8), suffix="png", levels=LEVELS):
    for place, split in enumerate(splits):
        for name, level in levels.items():
            for index in range(count):
                save(picture(level, mode, size, index + 50 * place), root / split / name / f"{index:03}.{suffix}")
    return root


def rows(data):
    """Every image as bytes, by split."""
    return {split: [image.tobytes() for image in data.images(split)] for split in data.counts}


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def parquet(path, *, image="image", label="label", names=("dark", "bright"), count=20, value=None):
    """A shard in the layout of the Hugging Face hub: image structs, a label column, features in the metadata."""
    features = {
        image: datasets.Image(),
        label: datasets.ClassLabel(names=list(names)) if names else datasets.Value("int64"),
    }
    labels = [index % 2 if value is None else value for index in range(count)]
    images = [
        {"bytes": png(picture(40 + 160 * (label % 2), "L", index=index)), "path": None}
        for index, label in enumerate(labels)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict({image: images, label: labels}, features=datasets.Features(features)).to_parquet(
        str(path)
    )
    return path
