"""A file is written whole, or what was there stays."""

import pytest

from nas.writing import written_whole


def test_it_takes_its_place_at_the_end_and_not_before(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with written_whole(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"

    assert path.read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [path]


def test_what_fails_inside_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(TypeError), written_whole(path) as file:
        file.write("half")

    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_it_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nas.writing.os.fsync", full)
    with pytest.raises(OSError, match="No space left"), written_whole(tmp_path / "file") as file:
        file.write(b"new")

    assert not [*tmp_path.iterdir()]
