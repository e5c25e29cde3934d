"""Data sets by name: decoded once to a memory-mapped file that all workers of a machine share.

`digits` comes with scikit-learn; `hf:ID_OR_DIR` is read through `datasets` (hub id, parquet or image folder);
`folder:DIR` is a directory of images, one folder a class. Train, validation and test are kept in separate files, and
the test file is opened by nobody but who asks for it by name.
"""

from __future__ import annotations

from pathlib import Path

from nas.data.cache import ImageData, cache_root, load_cached, write_cache
from nas.data.sources import Source, open_source
from nas.errors import DataError

__all__ = ["DataError", "ImageData", "Source", "load"]


def load(name: str, *, resolution: int | None = None, cache: Path | None = None) -> ImageData:
    """The data set called `name`, decoded at `resolution` (default: that of its images, else at most 224).

    The first call decodes; later ones, in any process, map the same file.
    Raises: DataError naming what cannot be read and what would be right.
    """
    if resolution is not None and not 4 <= resolution <= 1024:
        raise DataError(f"--resolution {resolution}: 4 to 1024 pixels are possible")
    source = open_source(name)
    root = cache if cache is not None else cache_root()
    return load_cached(root, source, resolution) or write_cache(root, source, resolution)
