"""The few exceptions that a caller may catch.

Every one says what is wrong, where, and what would be right, in one line fit for a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class NasError(Exception):
    """Base of all errors that mixer-nas raises on purpose; the command line turns one into exit code 2."""


class ArchitectureError(NasError):
    """An architecture (or a part of one) that cannot exist.

    Attributes:
        faults: every fault as ``(path, message)``, the path relative to the value that was built.
    """

    def __init__(self, faults: Iterable[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{path}: {message}" if path else message for path, message in self.faults))


class SpaceError(NasError):
    """A space that cannot be, or a candidate that is not in it."""


class InputError(NasError, ValueError):
    """Bad input from a user: an unknown name, a malformed limit, a file that is not what it should be."""


class DataError(InputError):
    """A data set that cannot be read, decoded or split."""


class StoreError(NasError):
    """The database cannot be used: unwritable, foreign, of another version, or gone."""


class ExportError(NasError):
    """An export that could not be written, or whose check failed (nothing is left behind)."""


class Diverged(NasError):
    """Training produced a loss or weights that are not finite."""


class NoResult(NasError):
    """What an evaluation reported or returned is no result."""


class OutOfMemory(NasError):
    """Training did not fit into the memory of its device."""


class ForeignPackageError(NasError):
    """One of the four packages would be imported from somewhere else than this distribution."""


class Terminated(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP ended a search; no `except Exception` shall stop it."""

    def __init__(self, signal: int) -> None:
        self.signal = signal
        super().__init__(f"signal {signal}")


def unknown(what: str, name: str, known: Sequence[str], *, listed_by: str | None = None) -> InputError:
    """The one way to say that a name is unknown: it lists the nearest and the known ones (or the command that does)."""
    from difflib import get_close_matches

    lower = {each.lower(): each for each in known}
    near = [lower[each] for each in get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    rest = f"`{listed_by}` lists the {len(known)} known ones" if listed_by else f"known: {', '.join(known)}"
    return InputError(f"unknown {what} {name!r}: {hint}{rest}")
