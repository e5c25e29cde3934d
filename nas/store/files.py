"""The files of a study: checkpoints that nobody asked for, were left half-written, or cannot be read."""

from __future__ import annotations

import dataclasses
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

BROKEN = ".broken"  # put behind the name of a checkpoint that cannot be read


@dataclasses.dataclass(frozen=True)
class File:
    """A file or folder that should not be there, or not so."""

    promise: str
    trial: int | None
    path: Path
    found: str
    mendable: bool = True

    def mend(self) -> str:
        """Delete what is left over; put aside what cannot be read, so that its trial starts afresh."""
        if self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
            return f"{self.path} deleted"
        if self.path.suffix == ".pt":
            self.path.replace(self.path.with_name(self.path.name + BROKEN))
            return f"{self.path} renamed to {self.path.name}{BROKEN}"
        self.path.unlink(missing_ok=True)
        return f"{self.path} deleted"


def broken_files(study: str, folders: Mapping[Path, tuple[int, bool]]) -> list[File]:
    """What is wrong with the checkpoint folders of a study, each given with its trial and whether that still runs.

    Only directories that bear the study's name are looked into.
    """
    roots = {folder.parent for folder in folders if folder.parent.name == study and folder.parent.is_dir()}
    return sorted((file for root in roots for file in _of_root(root, folders)), key=lambda file: str(file.path))


def _of_root(root: Path, folders: Mapping[Path, tuple[int, bool]]) -> Iterator[File]:
    for folder in root.iterdir():
        if folder.is_dir() and folder.name.isdigit() and folder not in folders:
            found = "no trial of this study has it; delete it if no other database has a study of this name here"
            yield File("every checkpoint belongs to a trial", int(folder.name), folder, found, mendable=False)
        elif folder in folders:
            yield from _of_trial(folder, *folders[folder])


def _of_trial(folder: Path, number: int, runs: bool) -> Iterator[File]:  # noqa: FBT001
    for path in folder.rglob("*"):
        if path.is_file() and path.name.startswith(".") and ".pt." in path.name:
            yield File("no half-written file stays", number, path, "left by a process that died while it wrote")
        elif runs and path.suffix == ".pt" and not _readable(path):
            yield File("a trial that runs can be gone on with", number, path, "the checkpoint cannot be read")


def _readable(path: Path) -> bool:
    """Whether every part of a file of torch's, which is a ZIP archive, agrees with its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False
