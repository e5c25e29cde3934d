"""A supernet's file says what it is, and is refused where it is not what is wanted, or not whole."""

import json

import pytest
import torch
from safetensors.torch import save_file
from supernets import SMALL, small

from nas.data import load
from nas.errors import InputError
from nas.supernet import Supernet, files

FACTS = {"epochs": 2, "seconds": 1.5, "plan": {"sampling": "sandwich"}, "course": None}


@pytest.fixture
def written(digits, tmp_path):
    supernet = Supernet(SMALL, in_channels=1, num_classes=10, resolution=8)
    weights = {name: each.detach() for name, each in supernet.weights.items()}
    path = tmp_path / "deep" / files.NAME
    files.write(path, weights, SMALL, digits, FACTS)
    return files.read(path), weights


@pytest.fixture
def path(written, tmp_path):
    return tmp_path / "deep" / files.NAME


def test_what_is_written_is_read(written, path, digits, monkeypatch):
    file, weights = written
    monkeypatch.chdir(path.parent)
    found = files.weights_of(file.path, file.digest)

    assert files.read(path) == files.read(path.relative_to(path.parent)) == file
    assert (file.path, file.space, file.data, file.resolution) == (str(path), SMALL.digest, digits.digest, 8)
    assert (dict(file.facts), len(file.digest)) == (FACTS, 32)
    assert found.keys() == weights.keys()
    assert all(each.equal(weights[name]) for name, each in found.items())
    files.check(file, SMALL, digits)


@pytest.mark.parametrize("share", [0.0, 0.00003, 0.001, 0.3, 0.9, 0.9999])
def test_a_file_that_was_cut_short_is_refused_in_one_line(written, path, share):
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])

    with pytest.raises(InputError) as refused:
        files.read(path)
    assert f"{path}: no safetensors file, or cut short; a supernet written by `nas search" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_a_directory_is_said(path, written):
    with pytest.raises(InputError, match=r"none\.safetensors: No such file or directory; a supernet written by"):
        files.read(path.with_name("none.safetensors"))
    with pytest.raises(InputError, match="deep: Is a directory; a supernet written by"):
        files.read(path.parent)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (None, "no supernet of mixer-nas .*expected, not None"),
        ({"format": "pt"}, "no supernet of mixer-nas .*expected, not 'pt'"),
        ({"format": files.FORMAT, "facts": "{}"}, "a supernet file without a readable 'resolution'"),
        ({"format": files.FORMAT, "facts": "{", "resolution": "8"}, "a supernet file without a readable "),
        (
            {"format": files.FORMAT, "facts": "{}", "resolution": "8", "data": "d"},
            "a supernet file without a readable 'space'",
        ),
        (
            {"format": files.FORMAT, "facts": "[]", "resolution": "8", "data": "d", "space": "s"},
            "a supernet file without a readable 'facts'",
        ),
    ],
)
def test_safetensors_of_others_are_refused(tmp_path, told, said):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", told)

    with pytest.raises(InputError, match=f"other.safetensors: {said}"):
        files.read(tmp_path / "other.safetensors")


def test_a_supernet_of_another_space_or_of_other_images_is_refused(written, digits):
    file, _ = written
    other = small(widths=(8, 16))

    with pytest.raises(InputError, match=f"of another space \\({SMALL.digest}; this one is {other.digest}\\)"):
        files.check(file, other, digits)
    with pytest.raises(InputError, match=r"trained on other images .*, 8 px; these are .*, 12 px\)"):
        files.check(file, SMALL, load("digits", resolution=12))


def test_weights_of_a_file_that_is_another_by_now_are_not_given(written, path, digits):
    file, weights = written
    files.write(path, {name: each + 1 for name, each in weights.items()}, SMALL, digits, FACTS)

    with pytest.raises(InputError, match=f"has changed: its digest was {file.digest} and is "):
        files.weights_of(file.path, file.digest)


def test_writing_that_fails_leaves_the_file_that_was_there_and_nothing_else(written, path, digits, monkeypatch):
    file, weights = written

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nas.writing.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, {name: each + 1 for name, each in weights.items()}, SMALL, digits, FACTS)

    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert files.read(path) == file


def test_facts_that_are_no_json_are_never_written(written, path, digits):
    with pytest.raises(ValueError, match="JSON"):
        files.write(path.with_name("nan"), written[1], SMALL, digits, {"seconds": float("nan")})

    assert not path.with_name("nan").exists()
    assert json.loads(json.dumps(dict(written[0].facts))) == FACTS
