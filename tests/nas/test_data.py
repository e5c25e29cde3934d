"""Data sets: the digits, their divisions, and the cache."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from imagesets import folder_of, picture, rows, save

from nas.data import load
from nas.errors import DataError

pytestmark = pytest.mark.usefixtures("hub_is_off")


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
