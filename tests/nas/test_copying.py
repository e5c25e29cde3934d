"""A data set on its way into another machine's cache: whole, once, and as it was sent."""

import dataclasses
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest

from nas.data import copying, load
from nas.data.copying import copied, fingerprint, pieces, read_piece
from nas.errors import DataError


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(copying, "PIECE", 10_000)


def sender(data, log=None):
    def fetch(piece):
        if log is not None:
            log.append(piece)
        content = read_piece(data, piece)
        return content, fingerprint(content)

    return {"ask": lambda: pieces(data), "fetch": fetch}


def never(*_):
    raise AssertionError("asked for what is there")


def test_the_copy_is_the_same_in_many_pieces_and_is_not_made_again(digits, tmp_path, small):
    log = []

    found = copied(digits, root=tmp_path, **sender(digits, log))
    again = copied(digits, ask=never, fetch=never, root=tmp_path)

    assert len(log) > 10
    assert max(piece.size for piece in log) <= 10_000
    assert found == again == dataclasses.replace(digits, folder=str(tmp_path / digits.digest))
    for split in digits.counts:
        assert np.array_equal(found.images(split), digits.images(split))
        assert np.array_equal(found.labels(split), digits.labels(split))
    assert load("digits", cache=tmp_path).folder == found.folder


def test_a_torn_copy_another_set_under_the_digest_and_leavings_of_the_killed_are_replaced(digits, tmp_path):
    copied(digits, root=tmp_path, **sender(digits))
    (tmp_path / digits.digest / "train.images").write_bytes(b"torn")
    (tmp_path / f".copying-{digits.digest}").mkdir()

    assert copied(digits, root=tmp_path, **sender(digits)).images("train").tobytes() == digits.images("train").tobytes()

    other = dataclasses.replace(digits, mean=(0.123,))
    with pytest.raises(DataError, match="cannot be read back"):  # what is sent is not what was announced
        copied(other, root=tmp_path, **sender(digits))
    assert not list(tmp_path.glob(".copying-*"))


@pytest.mark.parametrize("spoil", ["bytes", "size", "name"])
def test_what_does_not_arrive_as_it_was_sent_is_not_kept(digits, tmp_path, spoil):
    sent = sender(digits)

    def fetch(piece):
        content, said = sent["fetch"](piece)
        if spoil == "bytes":
            content = content ^ 1
        return (content[:-1] if spoil == "size" else content), said

    def ask():
        return tuple(
            dataclasses.replace(piece, name="../" + piece.name) if spoil == "name" else piece
            for piece in pieces(digits)
        )

    if spoil == "name":
        sent["fetch"] = lambda piece: (np.zeros(piece.size, np.uint8), fingerprint(np.zeros(piece.size, np.uint8)))
        fetch = sent["fetch"]
    with pytest.raises(DataError, match="did not arrive as it was sent"):
        copied(digits, ask=ask, fetch=fetch, root=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".{digits.digest}.lock"]


def test_a_cache_that_cannot_be_written_is_one_clear_line(digits, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match=r"^the data cache .*/file/cache on .* cannot be written \(Not a directory\)"):
        copied(digits, root=tmp_path / "file" / "cache", **sender(digits))


def take(digits, root, asked):
    def ask():
        with asked.get_lock():
            asked.value += 1
        return pieces(digits)

    copied(digits, ask, sender(digits)["fetch"], root=Path(root))


def test_of_processes_that_want_it_at_the_same_time_one_copies(digits, tmp_path):
    context = multiprocessing.get_context("fork")
    asked = context.Value("i", 0)
    processes = [context.Process(target=take, args=(digits, tmp_path, asked)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0] * 6
    assert asked.value == 1


def test_a_description_without_files_is_not_taken_for_the_data(digits, tmp_path):
    shutil.copytree(digits.folder, tmp_path / digits.digest)
    (tmp_path / digits.digest / "test.labels").unlink()
    log = []

    copied(digits, root=tmp_path, **sender(digits, log))

    assert log
