"""Folders of images: every picture format, the divisions, and what is said when something is wrong."""

import numpy as np
import pytest
from imagesets import LEVELS, folder_of, picture, rows, save
from PIL import Image

from nas.data import load
from nas.errors import DataError

pytestmark = pytest.mark.usefixtures("hub_is_off")


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
