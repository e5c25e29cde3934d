"""A decoded data set on another machine: copied once into the cache of that machine, in pieces, then mapped there."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data.cache import ImageData, cache_root, read_cached
from nas.errors import DataError

PIECE = 32 * 2**20  # bytes

Bytes = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Piece:
    """`size` bytes of the file called `name`, from `start`."""

    name: str
    start: int
    size: int


Fetch = Callable[[Piece], tuple[Bytes, str]]
"""The bytes of a piece and what `fingerprint` says of them where they come from."""


def pieces(data: ImageData) -> tuple[Piece, ...]:
    """What a data set is copied as, at most `PIECE` bytes each; the description comes last. Raises: OSError."""
    names = [f"{split}.{kind}" for split in data.counts for kind in ("images", "labels")]
    return tuple(
        Piece(name, start, min(PIECE, size - start))
        for name in (*names, "meta.json")
        for size in [(Path(data.folder) / name).stat().st_size]
        for start in range(0, size, PIECE)
    )


def read_piece(data: ImageData, piece: Piece) -> Bytes:
    """The bytes of a piece. Raises: OSError."""
    return np.fromfile(Path(data.folder) / piece.name, np.uint8, piece.size, offset=piece.start)


def fingerprint(content: Bytes) -> str:
    """SHA-256 of the bytes, in hex."""
    return hashlib.sha256(content.data).hexdigest()


def copied(
    data: ImageData, ask: Callable[[], tuple[Piece, ...]], fetch: Fetch, *, root: Path | None = None
) -> ImageData:
    """The same data set in the cache of this machine.

    Where it is there already, neither `ask` (for the pieces) nor `fetch` is called. Of several processes that want it
    at a time one copies and the others wait. A copy is whole, and each piece as it was sent, or it is not there.
    Raises: DataError when the cache cannot be written, or what arrives is not what was sent.
    """
    root = cache_root() if root is None else root
    folder = root / data.digest
    if (found := _same(data, folder)) is not None:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _alone(root / f".{data.digest}.lock"):
            if (found := _same(data, folder)) is not None:
                return found
            part = root / f".copying-{data.digest}"
            shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
            try:
                part.mkdir()
                _fill(part, data, ask(), fetch)
                shutil.rmtree(folder, ignore_errors=True)  # torn, or another one under this digest
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"the data cache {root} on {os.uname().nodename} cannot be written ({error.strerror}); NAS_CACHE in the "
            f"environment of that machine names another place"
        ) from error
    found = _same(data, folder)
    if found is None:
        raise DataError(f"the data cache {folder} on {os.uname().nodename} cannot be read back")
    return found


def _same(data: ImageData, folder: Path) -> ImageData | None:
    """What the folder holds, if it is this data set: the mean and the deviation of all its pixels say so too."""
    found = read_cached(folder, data.name)
    return found if found is not None and dataclasses.replace(found, folder=data.folder) == data else None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else on this machine is within at the same time; the kernel lets go for who dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill(folder: Path, data: ImageData, whole: tuple[Piece, ...], fetch: Fetch) -> None:
    allowed = {"meta.json", *(f"{split}.{kind}" for split in data.counts for kind in ("images", "labels"))}
    for piece in whole:
        content, expected = fetch(piece)
        if piece.name not in allowed or len(content) != piece.size or fingerprint(content) != expected:
            raise DataError(f"data {data.name!r}: {piece.name} from byte {piece.start} did not arrive as it was sent")
        with (folder / piece.name).open("ab") as file:
            file.write(content.data)
    for name in {piece.name for piece in whole}:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
