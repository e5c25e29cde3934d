"""The nodes of a Ray cluster made fit for a search: asked what they have, sent what they lack, told no secrets."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import ray
from packaging.requirements import Requirement
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.errors import ForeignPackageError, InputError
from nas.runner import RunnerOptions
from nas.version import __version__
from runners.ray_cluster import SUBMITTED, cluster
from runners.ray_code import OURS, companions, is_installed, our_packages, staged
from runners.ray_luggage import Luggage
from runners.runtime_env import SECRETS, checked_runtime_env

log = logging.getLogger(__name__)

SHIPPED = "py_modules_files"  # the directory in which Ray unpacks what it was sent
TUNE = ("pandas", "pyarrow", "fsspec", "requests", "pydantic")  # without them Ray Tune is not imported
TRAINING = ("torch", "numpy", "PIL", "kornia")  # what the built-in training imports

PROBE = """
def probe(ours, needed, note):
    import importlib.metadata, importlib.util, pathlib, platform, re, time
    found = {}
    for name in ours:
        spec = importlib.util.find_spec(name)
        places = [spec.origin] if spec and spec.origin else list(spec.submodule_search_locations) if spec else []
        found[name] = str(pathlib.Path(places[0])) if places else "nowhere"
    version = pathlib.Path(found["nas"]).parent / "version.py"
    said = re.search('__version__ = "(.+)"', version.read_text()) if version.is_file() else None
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = ""
    for wait in (0.0, 0.5, 1.5):  # a network file system may take its time
        time.sleep(wait)
        seen = pathlib.Path(note).is_file()
        if seen:
            break
    return {
        "packages": found,
        "version": said.group(1) if said else "",
        "python": platform.python_version(),
        "torch": torch,
        "lacks": [name for name in needed if importlib.util.find_spec(name) is None],
        "sees": seen,
    }
"""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a node answered.

    Attributes:
        node: its address. packages: where it would import ours from, by name; "nowhere".
        version: of mixer-nas there; python, torch: theirs. lacks: names of modules that it cannot import.
        sees: whether it sees the directory for checkpoints.
    """

    node: str
    packages: Mapping[str, str]
    version: str
    python: str
    torch: str
    lacks: tuple[str, ...]
    sees: bool

    @property
    def ready(self) -> bool:
        """Whether mixer-nas is there, in our version."""
        return self.packages["nas"] != "nowhere" and self.version == __version__


@contextmanager
def workplace(options: RunnerOptions, luggage: Luggage, checkpoints: Path) -> Iterator[None]:
    """Connected to a Ray whose nodes can carry out the evaluation.

    Modules of the user's own are sent to the nodes, and our packages to a cluster that lacks them or has another
    version. Nodes that do not see the checkpoints, or have another torch, are warned of.
    Raises: InputError when the cluster cannot be reached, or what a node lacks cannot be sent; ForeignPackageError when
    a node would import another package in place of ours.
    """
    if ray.is_initialized() and options.runtime_env is not None:
        raise InputError("runtime_env: Ray is connected already; give it to that ray.init, or call ray.shutdown before")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nas-code-")))
        theirs, connected = ray.is_initialized(), stack.enter_context(ExitStack())
        beside = companions(luggage.modules)
        if options.address is None and beside.keys() == {luggage.module}:
            beside = {}  # all that it needs is in the luggage
        wanted = _wanted(options, staged(beside, folder))
        connected.enter_context(cluster(options.address, wanted))
        needed = _needed(luggage)
        answers = _ask(needed, checkpoints)
        if not theirs and options.address is not None and not all(facts.ready for facts in answers):
            connected.close()
            connected.enter_context(cluster(options.address, _with(wanted, staged(our_packages(), folder))))
            answers = _ask(needed, checkpoints)
        for facts in answers:
            _check(facts)
        _warn(answers, checkpoints)
        yield


def _wanted(options: RunnerOptions, modules: list[str]) -> dict[str, Any]:
    """The `runtime_env` of our connection: what was asked for, the user's modules, and nothing in place of secrets."""
    asked = checked_runtime_env(options.runtime_env or {})
    if "NAS_STORAGE" in _submitted().get("env_vars", {}):
        log.warning(
            "NAS_STORAGE stands in the runtime_env of the submitted job, where everybody on the cluster reads it; put "
            "the URL into a file on the head node and that file's name into NAS_STORAGE_FILE"
        )
    if options.address is not None:
        hidden = {name: "" for name in SECRETS if name in os.environ or name.startswith("NAS_")}
        mixers = {"NAS_MIXERS": os.environ["NAS_MIXERS"]} if os.environ.get("NAS_MIXERS") else {}
        asked["env_vars"] = {**mixers, **hidden, **asked.get("env_vars", {})}
    return _with(asked, modules)


def _with(wanted: Mapping[str, Any], modules: Iterable[str]) -> dict[str, Any]:
    more = [*modules]
    if not more:
        return dict(wanted)
    return {**wanted, "py_modules": [*wanted.get("py_modules", _submitted().get("py_modules", [])), *more]}


def _submitted() -> dict[str, Any]:
    """The `runtime_env` of the job that `ray job submit` made of this driver."""
    with suppress(KeyError, ValueError, AttributeError):
        return dict(json.loads(os.environ[SUBMITTED]).get("runtime_env") or {})
    return {}


def _needed(luggage: Luggage) -> list[str]:
    """Modules that have to be installed on a node."""
    used = {name.partition(".")[0] for name in luggage.modules}
    own = TRAINING if "nas.training" in luggage.modules else ()
    return [*dict.fromkeys([*TUNE, *own, *sorted(name for name in used if is_installed(name))])]


def _ask(needed: list[str], checkpoints: Path) -> list[Facts]:
    """What every node of the cluster says. Raises: InputError for one that does not answer."""
    scope: dict[str, Any] = {"__name__": "__main__"}  # so that Ray sends the function by value
    exec(PROBE, scope)  # noqa: S102 - a constant of this file
    probe = ray.remote(num_cpus=0, max_retries=0)(scope["probe"])
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    checkpoints.mkdir(parents=True, exist_ok=True)
    note = checkpoints / f".seen-{os.urandom(6).hex()}"
    note.touch()
    try:
        asked = {  # by id: several nodes may share an address
            node_id: probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(
                OURS, needed, str(note)
            )
            for node_id in nodes
        }
        answers = [_answer(nodes[node_id], answer) for node_id, answer in asked.items()]
        return [facts for facts in answers if facts is not None]
    finally:
        note.unlink(missing_ok=True)


def _answer(node: str, answer: Any) -> Facts | None:
    """None of a node that was dead already, and Ray had not noticed. Raises: InputError."""
    try:
        found = ray.get(answer, timeout=600)
    except ray.exceptions.TaskUnschedulableError:
        return None
    except ray.exceptions.RuntimeEnvSetupError as error:
        raise InputError(f"Ray node {node} cannot make the runtime_env: {_told(error)}") from error
    except ray.exceptions.RayError as error:
        raise InputError(f"Ray node {node} does not answer: {_told(error)}") from error
    return Facts(node, **{**found, "lacks": tuple(found["lacks"])})


def _told(error: Exception) -> str:
    """The line of an error of Ray's that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "Error" in line), lines[0] if lines else type(error).__name__)[:500]


def _check(facts: Facts) -> None:
    """Raises: InputError or ForeignPackageError for a node that cannot do its share."""
    if facts.lacks:
        raise InputError(
            f"Ray node {facts.node} lacks {', '.join(facts.lacks)}; there: pip install {_pip(facts.lacks)}, or give "
            f"--runtime-env FILE with a pip, uv, conda or container entry"
        )
    if _minor(facts.python) != _minor(platform.python_version()):
        raise InputError(
            f"Ray node {facts.node} runs Python {facts.python}, this is {platform.python_version()}: functions cannot "
            f"be sent there; use the same minor version"
        )
    if facts.packages["nas"] == "nowhere":
        raise InputError(
            f"mixer-nas is not installed on Ray node {facts.node}; --address sends it there, where Ray is not connected"
            f" before the search"
        )
    home = Path(facts.packages["nas"]).parent.parent
    for name in OURS:
        place = Path(facts.packages[name])
        if place != home / name / "__init__.py" and not (SHIPPED in place.parts and SHIPPED in home.parts):
            raise ForeignPackageError(
                f"package {name!r} on Ray node {facts.node} would come from {place.parent}, but mixer-nas has its own "
                f"in {home}; rename that folder or take it off the path"
            )
    if facts.version != __version__:
        raise InputError(f"Ray node {facts.node} has mixer-nas {facts.version or '?'}, this is {__version__}")


def _warn(answers: list[Facts], checkpoints: Path) -> None:
    blind = sorted({facts.node for facts in answers if not facts.sees})
    if blind:
        log.warning(
            "the checkpoints in %s are not seen by %s of %s Ray nodes (%s): a trial that is lost, or paused, begins "
            "again where its checkpoint is not; --checkpoints names a directory that all nodes share",
            checkpoints, sum(not facts.sees for facts in answers), len(answers), ", ".join(blind),
        )  # fmt: skip
    with suppress(metadata.PackageNotFoundError):
        ours = metadata.version("torch")
        for node, theirs in sorted({(facts.node, facts.torch) for facts in answers if facts.torch}):
            if _minor(theirs) != _minor(ours):
                log.warning("Ray node %s has torch %s, this is %s: results may differ a little", node, theirs, ours)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _pip(modules: Iterable[str]) -> str:
    """What to give to `pip install` for modules, in the versions that we and Ray ask for."""
    owners = metadata.packages_distributions()
    asked = {}
    for each in metadata.requires("mixer-nas") or ():
        requirement = Requirement(each)
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        if requirement.marker is not None and "extra" in str(requirement.marker):
            continue  # what a node needs is what everybody has
        asked[requirement.name.lower()] = f"{requirement.name}{extras}{requirement.specifier}"
    names = {"ray" if module in TUNE else (owners.get(module) or [module])[0] for module in modules}
    return " ".join(f"'{asked.get(name.lower(), name)}'" for name in sorted(names))
