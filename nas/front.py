"""The console script, and the check that our four packages are ours.

`runners` and the others are names that a user's own folder may have; a folder in the working directory, or one that Ray
puts first on a worker's path, would be imported in their place.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from nas.errors import ForeignPackageError

PACKAGES = ("search_spaces", "runners", "dashboards")


def foreign_packages(home: str, packages: tuple[str, ...] = PACKAGES) -> list[tuple[str, str]]:
    """Those of `packages` that Python would not import from `home`, as (name, where from); nothing is imported."""
    found = []
    for name in packages:
        spec = importlib.util.find_spec(name)
        origin = (spec.origin or next(iter(spec.submodule_search_locations or ()), "")) if spec else "nowhere"
        folder = Path(origin).parent if origin.endswith(".py") else Path(origin)
        if folder.resolve() != (Path(home) / name).resolve():
            found.append((name, str(folder)))
    return found


def check_packages() -> None:
    """Raises: ForeignPackageError naming the package, where it would come from, and what to do."""
    home = Path(__file__).resolve().parent.parent
    for name, where in foreign_packages(str(home)):
        raise ForeignPackageError(
            f"package {name!r} would come from {where}, but mixer-nas has its own in {home}; "
            f"rename that folder or run the command from another directory"
        )


def main() -> None:
    """The command `nas`."""
    import os
    import sys

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve a busy machine
    try:
        check_packages()
    except ForeignPackageError as error:
        sys.stderr.write(f"nas: {error}\n")
        sys.exit(2)
    importlib.import_module("runners.cli").main()
