"""Data sets: every source and picture format, the divisions, the cache, and what is said when something is wrong."""

import io
import json
import os
import shutil
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nas.data import load
from nas.errors import DataError

SHARED = [
    Path(folder) for folder in (os.environ.get("NAS_DATA"), Path(__file__).parents[3] / "shared" / "data") if folder
]
REAL = next((folder for folder in SHARED if folder.is_dir()), None)
LEVELS = {"dark": 40, "bright": 200}


@pytest.fixture(autouse=True)
def hub_is_off(monkeypatch, tmp_path):
    """No test asks the network; what `datasets` writes of its own goes to the test's folder."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))


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


# -- digits --------------------------------------------------------------------------------------------------------------


def test_digits_are_divided_in_1079_359_359_with_every_class_in_its_share(tmp_path):
    name = "digits"

    data = load(name, cache=tmp_path)

    assert data.counts == {"train": 1079, "validation": 359, "test": 359}
    assert data.classes == tuple("0123456789")
    assert (data.resolution, data.channels, data.name) == (8, 1, "digits")
    for split, count in data.counts.items():
        assert data.images(split).shape == (count, 8, 8, 1)
        shares = np.bincount(data.labels(split), minlength=10) / count
        assert abs(shares - 0.1).max() < 0.01


def test_the_splits_of_digits_share_no_image_and_lose_none(tmp_path):
    from sklearn.datasets import load_digits

    digits = load_digits()
    source = sorted(
        (np.round(image * 255 / 16).astype(np.uint8).tobytes(), int(label))
        for image, label in zip(digits.images, digits.target, strict=True)
    )

    data = load("digits", cache=tmp_path)

    pairs = [
        (image.tobytes(), int(label))
        for split in data.counts
        for image, label in zip(data.images(split), data.labels(split), strict=True)
    ]
    assert len(source) == 1797
    assert sorted(pairs) == source


def test_digits_are_the_same_in_every_cache(tmp_path):
    first = load("digits", cache=tmp_path / "a")

    second = load("digits", cache=tmp_path / "b")

    assert first.digest == second.digest
    assert rows(first) == rows(second)
    assert all((first.labels(split) == second.labels(split)).all() for split in first.counts)


def test_digits_at_another_resolution_have_another_digest(tmp_path):
    small = load("digits", cache=tmp_path)

    large = load("digits", resolution=12, cache=tmp_path)

    assert large.resolution == 12
    assert large.images("test").shape == (359, 12, 12, 1)
    assert large.digest != small.digest
    assert (large.labels("test") == small.labels("test")).all()


def test_moments_are_those_of_the_training_images(tmp_path):
    data = load("digits", cache=tmp_path)

    images = data.images("train").astype(np.float64) / 255

    assert data.mean == pytest.approx((images.mean(),), abs=1e-5)
    assert data.std == pytest.approx((images.std(),), abs=1e-5)


# -- the cache -----------------------------------------------------------------------------------------------------------


def test_a_second_load_reads_the_cache_and_decodes_nothing(tmp_path):
    first = load("digits", cache=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    time.sleep(0.02)

    second = load("digits", cache=tmp_path)

    assert second == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files


def test_a_second_load_of_a_folder_opens_no_image(tmp_path):
    root = folder_of(tmp_path / "images")
    first = load(f"folder:{root}", cache=tmp_path / "cache")
    stamps = [(path, path.stat()) for path in sorted(root.rglob("*.png"))]
    for path, stat in stamps:
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    second = load(f"folder:{root}", cache=tmp_path / "cache")

    assert rows(second) == rows(first)


def test_a_changed_file_is_decoded_anew(tmp_path):
    root = folder_of(tmp_path / "images")
    first = load(f"folder:{root}", cache=tmp_path / "cache")
    save(picture(90, index=200), root / "dark" / "new.png")

    second = load(f"folder:{root}", cache=tmp_path / "cache")

    assert sum(second.counts.values()) == sum(first.counts.values()) + 1
    assert second.digest != first.digest


def test_a_copy_of_a_folder_with_other_times_is_the_same_data_set(tmp_path):
    root = folder_of(tmp_path / "images")
    first = load(f"folder:{root}", cache=tmp_path / "cache")
    for path in root.rglob("*.png"):
        os.utime(path, (1, 1))

    second = load(f"folder:{root}", cache=tmp_path / "cache")
    elsewhere = load(f"folder:{root}", cache=tmp_path / "other")

    assert second == first
    assert elsewhere.digest == first.digest


def test_a_damaged_cache_of_a_folder_is_decoded_anew(tmp_path):
    root = folder_of(tmp_path / "images")
    first = load(f"folder:{root}", cache=tmp_path / "cache")
    images, file = rows(first), Path(first.folder) / "train.labels"
    file.write_bytes(file.read_bytes()[:8])

    second = load(f"folder:{root}", cache=tmp_path / "cache")

    assert (rows(second), second.digest) == (images, first.digest)


@pytest.mark.parametrize("damage", ["meta.json", "train.images", "test.labels"])
def test_a_damaged_cache_is_decoded_anew(tmp_path, damage):
    first = load("digits", cache=tmp_path)
    images, file = rows(first), Path(first.folder) / damage
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    second = load("digits", cache=tmp_path)

    assert rows(second) == images
    assert second.digest == first.digest


def test_a_cache_that_is_below_a_file_is_refused_with_a_way_out(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    cache = tmp_path / "file" / "cache"

    with pytest.raises(
        DataError,
        match=r"^the data cache .*file/cache cannot be written \(Not a directory\); NAS_CACHE names another place$",
    ):
        load("digits", cache=cache)


def test_nas_cache_names_the_place(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "mine"))

    data = load("digits")

    assert Path(data.folder).parent == tmp_path / "mine"


def test_nothing_is_left_in_the_cache_after_a_failure(tmp_path):
    root = folder_of(tmp_path / "images")
    (root / "bright" / "004.png").write_bytes(b"no picture")

    with pytest.raises(DataError, match="corrupt image"):
        load(f"folder:{root}", cache=tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []


def test_nothing_but_the_data_set_is_left_in_the_cache_after_a_success(tmp_path):
    data = load("digits", cache=tmp_path)

    entries = [path.name for path in tmp_path.iterdir()]

    assert entries == [Path(data.folder).name]
    assert json.loads((Path(data.folder) / "meta.json").read_text())["digest"] == data.digest


# -- folders of images ---------------------------------------------------------------------------------------------------


def test_a_folder_is_divided_when_it_has_no_splits(tmp_path):
    root = folder_of(tmp_path / "images", count=50)

    data = load(f"folder:{root}", cache=tmp_path / "cache")

    assert data.counts == {"train": 60, "validation": 20, "test": 20}
    assert data.classes == ("bright", "dark")
    assert (data.resolution, data.channels) == (8, 3)
    images = rows(data)
    assert sum(len(set(split)) for split in images.values()) == len(set().union(*images.values())) == 100
    for split in data.counts:
        means = data.images(split).mean((1, 2, 3))
        assert ((means > 120) == (data.labels(split) == 0)).all()


def test_the_splits_of_a_folder_are_kept_as_they_are(tmp_path):
    root = folder_of(tmp_path / "images", splits=("train", "validation", "test"), count=10)

    data = load(f"folder:{root}", cache=tmp_path / "cache")

    marks = {split: set(data.images(split)[:, 0, 0, 0].tolist()) for split in data.counts}
    assert data.counts == {"train": 20, "validation": 20, "test": 20}
    assert marks == {"train": set(range(10)), "validation": set(range(50, 60)), "test": set(range(100, 110))}


@pytest.mark.parametrize("held", ["validation", "test"])
def test_a_missing_split_is_held_out_of_the_training_images(tmp_path, held):
    given = "test" if held == "validation" else "validation"
    root = folder_of(tmp_path / "images", splits=("train", given), count=20)

    data = load(f"folder:{root}", cache=tmp_path / "cache")

    images = rows(data)
    assert data.counts == {"train": 36, held: 4, given: 40}
    assert not set(images["train"]) & set(images[held])
    assert np.bincount(data.labels(held)).tolist() == [2, 2]


def test_gray_images_have_one_channel(tmp_path):
    root = folder_of(tmp_path / "images", mode="L")

    data = load(f"folder:{root}", cache=tmp_path / "cache")

    assert data.channels == len(data.mean) == len(data.std) == 1
    assert {int(image[4, 4, 0]) for image in data.images("train")} == set(LEVELS.values())


def test_one_coloured_image_makes_all_coloured(tmp_path):
    root = folder_of(tmp_path / "images", mode="L")
    save(Image.new("RGB", (8, 8), (255, 0, 0)), root / "dark" / "red.png")

    data = load(f"folder:{root}", cache=tmp_path / "cache")

    pixels = {tuple(image[4, 4].tolist()) for split in data.counts for image in data.images(split)}
    assert data.channels == 3
    assert pixels == {(40, 40, 40), (200, 200, 200), (255, 0, 0)}


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", "jpg"), ("P", "png"), ("RGBA", "png"), ("LA", "png"), ("1", "png"), ("RGB", "bmp")]
)
def test_every_picture_mode_is_read_at_its_brightness(tmp_path, mode, suffix):
    root = folder_of(tmp_path / "images", mode=mode, suffix=suffix, levels={"dark": 0, "bright": 255})

    data = load(f"folder:{root}", cache=tmp_path / "cache")

    assert data.channels == (1 if mode in ("LA", "1") else 3)
    for split in data.counts:
        expected = np.where(data.labels(split) == data.classes.index("bright"), 255, 0)
        assert abs(data.images(split)[:, 4:, 4:].mean((1, 2, 3)) - expected).max() < 6


def test_16_bit_gray_keeps_its_order_of_brightness_within_an_image(tmp_path):
    ramp = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    for name in LEVELS:
        for index in range(10):
            save(Image.fromarray(ramp), tmp_path / "images" / name / f"{index}.png")

    data = load(f"folder:{tmp_path / 'images'}", cache=tmp_path / "cache")

    assert data.channels == 1
    assert abs(data.images("train")[0, :, :, 0].astype(int) - ramp / 257).max() <= 1


def test_16_bit_gray_keeps_the_brightness_of_an_image_among_others(tmp_path):
    for name, level in {"dark": 6000, "bright": 60000}.items():
        for index in range(10):
            save(Image.fromarray(np.full((8, 8), level, np.uint16)), tmp_path / "images" / name / f"{index}.png")

    data = load(f"folder:{tmp_path / 'images'}", cache=tmp_path / "cache")

    images, labels = data.images("train"), data.labels("train")
    assert images[labels == data.classes.index("dark")].max() < images[labels == data.classes.index("bright")].min()


def test_images_of_different_sizes_meet_at_a_common_side(tmp_path):
    root = tmp_path / "images"
    for name, level in LEVELS.items():
        for index, size in enumerate([(100, 80), (80, 100), (70, 70), (300, 66), (90, 90)] * 2):
            save(picture(level, size=size, index=index), root / name / f"{index}.png")

    data = load(f"folder:{root}", cache=tmp_path / "cache")

    assert data.resolution == 64
    assert data.images("train").shape[1:] == (64, 64, 3)
    assert {round(float(image[10:].mean())) for image in data.images("train")} == set(LEVELS.values())


def test_the_centre_of_an_oblong_image_is_kept(tmp_path):
    root, array = tmp_path / "images", np.zeros((8, 24), np.uint8)
    array[:, 8:16] = 255
    for name in LEVELS:
        for index in range(10):
            save(Image.fromarray(array), root / name / f"{index}.png")

    data = load(f"folder:{root}", resolution=8, cache=tmp_path / "cache")

    assert (data.images("train") == 255).all()


def test_an_asked_resolution_is_what_images_are_decoded_at(tmp_path):
    root = folder_of(tmp_path / "images", size=(20, 20))

    data = load(f"folder:{root}", resolution=16, cache=tmp_path / "cache")

    assert data.resolution == 16
    assert data.images("train").shape[1:] == (16, 16, 3)


# -- what is wrong with a folder -----------------------------------------------------------------------------------------


def test_a_corrupt_image_names_the_file(tmp_path):
    root = folder_of(tmp_path / "images")
    (root / "dark" / "007.png").write_bytes((root / "dark" / "007.png").read_bytes()[:60])

    with pytest.raises(DataError, match=r"^corrupt image: .*dark/007\.png"):
        load(f"folder:{root}", cache=tmp_path / "cache")


def test_an_empty_folder_is_refused_by_its_name(tmp_path):
    (tmp_path / "images").mkdir()

    with pytest.raises(DataError, match=r"^data 'folder:.*images'"):
        load(f"folder:{tmp_path / 'images'}", cache=tmp_path / "cache")


def test_a_missing_folder_is_refused_by_its_name(tmp_path):
    name = f"folder:{tmp_path / 'none'}"

    with pytest.raises(DataError, match=r"^data 'folder:.*none': there is no directory .*none$"):
        load(name, cache=tmp_path / "cache")


def test_images_without_class_folders_are_refused(tmp_path):
    for index in range(10):
        save(picture(40, index=index), tmp_path / "images" / f"{index}.png")

    with pytest.raises(DataError, match=r"^data 'folder:.*images'.*(one folder a class|class)"):
        load(f"folder:{tmp_path / 'images'}", cache=tmp_path / "cache")


def test_one_class_is_refused(tmp_path):
    root = folder_of(tmp_path / "images", levels={"only": 40})

    with pytest.raises(DataError, match=r"^data 'folder:.*images' has 1 class \(only\); at least 2 are needed$"):
        load(f"folder:{root}", cache=tmp_path / "cache")


def test_a_class_without_training_images_is_refused_by_its_name(tmp_path):
    root = folder_of(tmp_path / "images", splits=("train", "test"))
    save(picture(90), root / "test" / "medium" / "0.png")

    with pytest.raises(
        DataError, match=r"^data 'folder:.*images': no training image of class 'medium' \(1 of 3 classes\)$"
    ):
        load(f"folder:{root}", cache=tmp_path / "cache")


def test_too_few_images_to_divide_are_refused(tmp_path):
    root = folder_of(tmp_path / "images", count=1)

    with pytest.raises(DataError, match=r"^2 images are too few to hold any out for validation and test$"):
        load(f"folder:{root}", cache=tmp_path / "cache")


@pytest.mark.parametrize("name", ["", "mnist", "digit", "folder:", "hf:", "csv:x", "Digits"])
def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path, name):
    known = "digits, hf:HUB_ID_OR_DIRECTORY, folder:DIRECTORY"

    with pytest.raises(DataError, match=rf"^unknown data set '{name}'; known: {known}$"):
        load(name, cache=tmp_path)


@pytest.mark.parametrize("resolution", [0, 3, -8, 1025])
def test_a_resolution_out_of_range_is_refused(tmp_path, resolution):
    name = "digits"

    with pytest.raises(DataError, match=rf"^--resolution {resolution}: 4 to 1024 pixels are possible$"):
        load(name, resolution=resolution, cache=tmp_path)


# -- parquet in the layout of the hub ------------------------------------------------------------------------------------


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
