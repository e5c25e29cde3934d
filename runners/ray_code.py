"""Code on its way to Ray's workers, by `runtime_env`: our packages, and modules beside the user's own.

What is installed (in site-packages) is never sent: it has to be on the nodes already.
"""

from __future__ import annotations

import ast
import importlib.util
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from nas.errors import InputError
from nas.front import PACKAGES

OURS = ("nas", *PACKAGES)
LARGEST = 100 * 2**20  # bytes of a user's package
UNSENT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def is_users(module: ModuleType) -> bool:
    """Whether a module is a user's own code: neither ours, nor Python's, nor installed."""
    file = getattr(module, "__file__", None)
    return file is not None and module.__name__.partition(".")[0] not in OURS and _own(Path(file))


def is_installed(name: str) -> bool:
    """Whether a top-level module is one that pip installs: neither Python's own, nor ours, nor a user's."""
    if name in OURS or name in sys.stdlib_module_names or name in sys.builtin_module_names or name in ("", "__main__"):
        return False
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return file is not None and not _own(Path(file))


def _own(path: Path) -> bool:
    path = path.resolve()
    if {"site-packages", "dist-packages"} & {*path.parts}:
        return False
    return not any(path.is_relative_to(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib"))


def companions(modules: Iterable[str]) -> dict[str, Path]:
    """Top-level modules and packages of the user's own that these need, by name: each a file or a directory.

    Needed is a module that one of `modules` imports, at its head or anywhere within, and so on.
    """
    found: dict[str, Path] = {}
    left = [*modules]
    seen: set[str] = set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if name == "__main__":
            file = getattr(sys.modules["__main__"], "__file__", None)
            if file is not None and _own(Path(file)):
                left += _imported(Path(file))
            continue
        top = name.partition(".")[0]
        place = None if top in found else _place(top)
        if place is None:
            continue
        found[top] = place
        for file in place.rglob("*.py") if place.is_dir() else [place]:
            left += _imported(file)
    return found


def _place(name: str) -> Path | None:
    """The file or directory of a top-level module, where it is the user's own."""
    if name in OURS or name in sys.stdlib_module_names or not name:
        return None
    try:
        spec: ModuleSpec | None = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    path = Path(folders[0]) if folders else Path(spec.origin or "")
    return path if path.exists() and path.is_absolute() and _own(path) else None


def _imported(file: Path) -> Iterator[str]:
    """The top-level names that a Python file imports; none of one that is no Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def our_packages() -> dict[str, Path]:
    """Where our four packages are, by name."""
    home = Path(__file__).resolve().parent.parent
    return {name: home / name for name in OURS}


def staged(places: dict[str, Path], folder: Path) -> list[str]:
    """Copies of modules and packages in `folder`, free of what need not be sent: entries for `py_modules`.

    Raises: InputError for a package that is too large to be code alone.
    """
    entries = []
    for name, place in sorted(places.items()):
        target = folder / (name if place.is_dir() else place.name)
        if place.is_dir():
            size = sum(file.stat().st_size for file in _sent(place))
            if size > LARGEST:
                raise InputError(
                    f"package {name!r} ({place}) holds {size / 2**20:.0f} MB and is to be sent to the Ray nodes, "
                    f"{LARGEST / 2**20:.0f} MB at most; move the data out of it, or install it there"
                )
            shutil.copytree(place, target, ignore=UNSENT, dirs_exist_ok=True)
        else:
            shutil.copy(place, target)
        entries.append(str(target))
    return entries


def _sent(package: Path) -> Iterator[Path]:
    for file in package.rglob("*"):
        hidden = any(part.startswith(".") or part == "__pycache__" for part in file.relative_to(package).parts)
        if file.is_file() and not hidden:
            yield file
