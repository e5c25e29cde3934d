"""Parquet in the layout of the hub, and real data sets in it."""

import os
import shutil
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from imagesets import parquet, picture, png
from PIL import Image

from nas.data import load
from nas.errors import DataError

SHARED = [
    Path(folder) for folder in (os.environ.get("NAS_DATA"), Path(__file__).parents[3] / "shared" / "data") if folder
]
REAL = next((folder for folder in SHARED if folder.is_dir()), None)

pytestmark = pytest.mark.usefixtures("hub_is_off")


@pytest.mark.parametrize(
    ("image", "label"), [("image", "label"), ("img", "fine_label"), ("pixel_values", "labels"), ("picture", "target")]
)
def test_parquet_is_read_whatever_its_columns_are_called(tmp_path, image, label):
    parquet(tmp_path / "set" / "train-00000-of-00001.parquet", image=image, label=label, count=40)
    parquet(tmp_path / "set" / "test-00000-of-00001.parquet", image=image, label=label, count=10)

    data = load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")

    assert data.counts == {"train": 36, "validation": 4, "test": 10}
    assert data.classes == ("dark", "bright")
    assert (data.channels, data.resolution) == (1, 8)
    assert ((data.images("test")[:, 4, 4, 0] == 200) == (data.labels("test") == 1)).all()


def test_parquet_below_data_with_all_splits_is_read(tmp_path):
    for split, count in (("train", 20), ("valid", 6), ("test", 4)):
        parquet(tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet", count=count)

    data = load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")

    assert data.counts == {"train": 20, "validation": 6, "test": 4}


def test_several_shards_are_one_split(tmp_path):
    for index in range(3):
        parquet(tmp_path / "set" / f"train-0000{index}-of-00003.parquet", count=10)

    data = load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")

    assert data.counts == {"train": 18, "validation": 6, "test": 6}


def test_labels_without_names_are_named_by_their_numbers(tmp_path):
    parquet(tmp_path / "set" / "train-00000-of-00001.parquet", names=None)

    data = load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")

    assert data.classes == ("0", "1")


def test_plain_parquet_without_the_hubs_metadata_is_read(tmp_path):
    labels = [index % 2 for index in range(20)]
    images = [
        {"bytes": png(picture(40 + 160 * label, index=index)), "path": f"{index}.png"}
        for index, label in enumerate(labels)
    ]
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "set" / "train-00000-of-00001.parquet")

    data = load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")

    assert data.classes == ("0", "1")
    assert data.counts == {"train": 12, "validation": 4, "test": 4}


def test_labels_that_are_not_0_1_2_are_refused(tmp_path):
    parquet(tmp_path / "set" / "train-00000-of-00001.parquet", names=None, value=7)

    with pytest.raises(DataError, match=r"^data 'hf:.*set': the labels of column 'label' are not 0, 1, 2, \.\.\.$"):
        load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")


def test_an_unlabelled_image_is_refused_with_its_index_and_split(tmp_path):
    parquet(tmp_path / "set" / "train-00000-of-00001.parquet")
    parquet(tmp_path / "set" / "test-00000-of-00001.parquet", value=-1, count=3)

    with pytest.raises(DataError, match=r"^data 'hf:.*set': image 0 of split 'test' has no label$"):
        load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")


def test_unknown_columns_are_refused_with_the_known_ones(tmp_path):
    parquet(tmp_path / "set" / "train-00000-of-00001.parquet", image="scan")

    with pytest.raises(
        DataError,
        match=r"^data 'hf:.*set': no image column; it has scan, label, known are image, img, .* and label, labels",
    ):
        load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")


def test_a_set_without_a_training_split_is_refused_with_what_it_has(tmp_path):
    parquet(tmp_path / "set" / "test-00000-of-00001.parquet")

    with pytest.raises(DataError, match=r"^data 'hf:.*set': no split called train; it has test$"):
        load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")


def test_a_corrupt_image_in_parquet_names_its_index_and_split(tmp_path):
    labels = [index % 2 for index in range(20)]
    images = [
        {"bytes": png(picture(9, index=index)) if index != 13 else b"no picture", "path": None} for index in range(20)
    ]
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_dict({"image": images, "label": labels}, features=features).to_parquet(
        str(tmp_path / "set" / "train-00000-of-00001.parquet")
    )

    with pytest.raises(
        DataError,
        match=r"^corrupt image image 13 of split 'train' of 'hf:.*set'|^corrupt image: image 13 of split 'train'",
    ):
        load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")


def test_a_file_that_is_no_parquet_is_refused_by_the_name_of_the_set(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train-00000-of-00001.parquet").write_bytes(b"no parquet at all")

    with pytest.raises(DataError, match=r"^data 'hf:.*set'"):
        load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")


# -- real data -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(REAL is None, reason="neither NAS_DATA nor ../shared/data holds the real data sets")
@pytest.mark.parametrize(
    ("name", "count", "side", "channels"), [("cifar10", 1_000, 32, 3), ("fashion_mnist", 10_000, 28, 1)]
)
def test_a_real_set_in_the_layout_of_the_hub_is_read(tmp_path, name, count, side, channels):
    shard = REAL / name / "test-00000-of-00001.parquet"
    if not shard.is_file():
        pytest.skip(f"{shard} is missing")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train-00000-of-00001.parquet").symlink_to(shard)

    data = load(f"hf:{tmp_path / 'set'}", cache=tmp_path / "cache")

    assert sum(data.counts.values()) == count
    assert (data.resolution, data.channels, len(data.classes)) == (side, channels, 10)
    assert data.counts["validation"] == data.counts["test"] == count // 5
    assert all(0.1 < value < 0.6 for value in (*data.mean, *data.std))
    shutil.rmtree(tmp_path / "cache")


def test_words_like_train_and_test_in_names_of_files_and_classes_are_no_splits(tmp_path):
    for name in ("cat", "test_tube", "train"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(10):
            image = Image.fromarray(np.full((8, 8), 20 * index, np.uint8))
            image.save(tmp_path / "images" / name / f"{'train_' if index < 3 else ''}{index}.png")

    data = load(f"folder:{tmp_path / 'images'}", cache=tmp_path / "cache")

    assert data.classes == ("cat", "test_tube", "train")
    assert sum(data.counts.values()) == 30
