"""From a checked configuration to the arguments of `nas.search`: data, space, evaluation, costs."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import random
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import search_spaces
from nas import zoo
from nas.architecture import Architecture
from nas.config import SearchConfig
from nas.costs import COSTS, cost
from nas.data import ImageData, load
from nas.errors import ArchitectureError, InputError, NasError
from nas.feasible import Costs, Pricing, Scores
from nas.goals import split
from nas.jobs import Evaluate
from nas.measuring import LATENCY, Measure
from nas.nearest import starting_point
from nas.objectives import limits_from, objectives_from
from nas.proxies.in_search import ProxyScores
from nas.recipe import Recipe
from nas.space import Space
from nas.version import __version__
from nas.wording import short_architecture

SIDE = 32  # pixels that a space is made for where nobody says any
MEASURED = ("accuracy", "loss", *COSTS, LATENCY)  # what the built-in training can be judged by


@dataclasses.dataclass(frozen=True)
class NetworkCosts:
    """The known costs of an architecture for a data set: params, macs, activation_bytes."""

    num_classes: int
    in_channels: int

    def __call__(self, candidate: Architecture) -> Mapping[str, float]:
        """By formula."""
        return cost(candidate, num_classes=self.num_classes, in_channels=self.in_channels).as_dict()


@dataclasses.dataclass(frozen=True)
class Training:
    """The built-in evaluation: which images, how, and what a network costs on them."""

    data: ImageData
    recipe: Recipe
    costs: NetworkCosts


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a configuration stands for.

    `training` is None with a user's own evaluation; `protocol` are the facts under which two evaluations of the same
    candidate can stand for each other; `scores` are the zero-cost scores that were asked for.
    """

    config: SearchConfig
    study: str
    space: Space
    evaluate: Evaluate
    costs: Costs | None
    settings: Mapping[str, Any]
    training: Training | None
    protocol: Mapping[str, Any]
    scores: Scores | None = None


def prepare(config: SearchConfig) -> Setup:
    """Load data and space and build the evaluation. Raises: InputError, DataError."""
    _check_said_in_vain(config)
    if config.evaluate is not None:
        return _own(config)
    recipe = Recipe(
        epochs=config.epoch_range[1],
        held=config.rungs.held,
        batch_size=config.batch_size,
        lr=config.lr,
        augment=config.augment,
        subset=config.subset,
    )
    data = load(config.data, resolution=config.resolution)
    config.rung_scale(data.resolution)  # one that cannot be is refused before anything is said
    space = _space(config.space, data.resolution)
    if not isinstance(space.decode(space.sample(random.Random(0))), Architecture):
        raise InputError(f"space {config.space!r} does not hold architectures; give --evaluate module:function with it")
    costs = NetworkCosts(len(data.classes), data.channels)
    _check_names(config)
    from nas.training import TrainAndValidate

    settings = {
        "space": config.space,
        "data": f"{data.name} ({data.digest}, {data.resolution} px)",
        "recipe": recipe.as_dict(),
        "evaluate": "train and validate",
        "source": {"data": _absolute(config.data), "resolution": config.resolution, "digest": data.digest},
    }
    full = {name: value for name, value in recipe.as_dict().items() if name != "held"}
    if recipe.decay_from > recipe.epochs / 3:
        full["decay_from"] = recipe.decay_from
    protocol = {"data": data.digest, "resolution": data.resolution, "recipe": full, "version": __version__}
    name = config.study or _study_name(config.space, config.data)
    training = Training(data, recipe, costs)
    scores = ProxyScores(data, tuple(config.proxies), config.seed) if config.proxies else None
    return Setup(config, name, space, TrainAndValidate(data, recipe), costs, settings, training, protocol, scores)


def pricing_of(setup: Setup) -> Pricing:
    """The known costs of a search over its space, and the limits on them."""
    known = Pricing(setup.space, setup.costs, ()).known
    measured = () if setup.training is None else (LATENCY,)
    limits, _ = split(limits_from(setup.config.limits), known, objectives_from(setup.config.objectives), measured)
    return Pricing(setup.space, setup.costs, limits)


def latency_of(setup: Setup, device: str) -> Measure | None:
    """How networks are timed where an objective or a limit is on that; None otherwise.

    It is done on `device` of this machine unless the configuration names another.
    Raises: InputError for a device that this machine lacks.
    """
    if setup.training is None or LATENCY not in _judged(setup.config):
        return None
    from nas.latency import measurement

    data = setup.training.data
    return measurement(
        resolution=data.resolution,
        in_channels=data.channels,
        num_classes=len(data.classes),
        device=setup.config.latency_device or device,
    )


def _check_said_in_vain(config: SearchConfig) -> None:
    """Raises: InputError for an option that would change nothing."""
    if config.proxies and config.evaluate is None and config.sampler != "auto":
        raise InputError(
            f"--proxies {','.join(config.proxies)}: only --sampler auto chooses by them, not {config.sampler}: leave "
            f"one out"
        )
    if config.latency_device is not None:
        if LATENCY not in _judged(config) or config.evaluate is not None:
            raise InputError(
                f"--latency-device {config.latency_device}: nothing is timed without --objective {LATENCY}:min or a "
                f"--limit on {LATENCY}, of networks that are trained here"
            )
        from nas.latency import checked_device

        checked_device(config.latency_device)


def _judged(config: SearchConfig) -> set[str]:
    """The names of all objectives and limits."""
    goals, limits = objectives_from(config.objectives), limits_from(config.limits)
    return {goal.name for goal in goals} | {limit.name for limit in limits}


def _check_names(config: SearchConfig) -> None:
    """Raises: InputError for an objective or a limit that the built-in training does not measure."""
    goals = [(f"objective {goal.name!r}", goal.name) for goal in objectives_from(config.objectives)]
    limits = [(f"limit {str(limit)!r}", limit.name) for limit in limits_from(config.limits)]
    for what, name in (*goals, *limits):
        if name not in MEASURED:
            raise InputError(f"{what}: the built-in training measures {', '.join(MEASURED)}")


def starts(setup: Setup, say: Callable[[str], None]) -> list[Any]:
    """The candidates named by `start` (zoo names, architecture files), scaled into the space and the limits.

    Where none is named, the default sampler begins with published networks of the families that the space holds, a
    quarter of the trials at most, as far as they come within the limits; "none" names none. `say` is told of what had
    to be scaled. Raises: InputError.
    """
    config = setup.config
    if config.start == ["none"]:
        return []
    pricing, found = pricing_of(setup), list[Any]()
    for name in config.start:
        try:
            found.append(_start(setup, pricing, name, say))
        except InputError as error:
            raise InputError(f"--start {name}: {error}") from error
    if not config.start and config.sampler == "auto" and setup.training is not None:
        for name in search_spaces.STARTS.get(config.space, ())[: max(1, config.trials // 4)]:
            with suppress(InputError):  # no scale of it is within the limits
                found.append(_start(setup, pricing, name, say))
    return found


def _start(setup: Setup, pricing: Pricing, name: str, say: Callable[[str], None]) -> Any:
    architecture = read_architecture(name)
    with suppress(ArchitectureError):  # what does not take this size is scaled to it
        architecture = architecture.at(setup.training.data.resolution if setup.training else architecture.resolution)
    point = starting_point(pricing, architecture)
    network = setup.space.decode(point.genome)
    if not point.exact:
        scales = f"width x{point.width:.2g}, depth x{point.depth:.2g}"
        shown = short_architecture(network) if isinstance(network, Architecture) else str(network)
        say(f"start {name}: a point of {setup.config.space} like it takes its place ({scales}): {shown}")
    return network


def read_architecture(name: str) -> Architecture:
    """A published network by name, or an architecture file (FILE.json). Raises: InputError naming what is wrong."""
    if not name.endswith(".json"):
        return zoo.get(name)
    try:
        return Architecture.load(Path(name))
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from error
    except NasError as error:
        raise InputError(f"{name}: {error}") from error


def full_side(setup: Setup) -> int:
    """Of the images, in pixels; without our own training that of the space."""
    return setup.training.data.resolution if setup.training else setup.config.resolution or SIDE


def rung_scale(setup: Setup) -> float:
    """Side of the images at the first rung relative to the full one."""
    return setup.config.rung_scale(full_side(setup))


def _own(config: SearchConfig) -> Setup:
    if config.weights != "scratch":
        raise InputError(
            f"--weights {config.weights}: only the built-in training begins with the weights of another trial, and "
            f"--evaluate is one of your own: leave one out"
        )
    if config.proxies:
        raise InputError(
            f"--proxies {','.join(config.proxies)}: they score architectures on the images of --data, which an "
            f"--evaluate of your own goes without"
        )
    evaluate = import_attribute(str(config.evaluate), "evaluate")
    costs = import_attribute(config.costs, "costs") if config.costs else None
    if not callable(evaluate) or not (costs is None or callable(costs)):
        raise InputError(f"--evaluate {config.evaluate}: not a function")
    config.rung_scale(config.resolution or SIDE)
    space = _space(config.space, config.resolution or SIDE)
    settings = {"space": config.space, "data": "own", "evaluate": config.evaluate, "costs": config.costs}
    name = config.study or _study_name(config.space, str(config.evaluate))
    protocol = {"evaluate": config.evaluate, "source": _source_digest(evaluate), "epochs": config.epoch_range}
    setup = Setup(config, name, space, evaluate, costs, settings, None, protocol)
    pricing_of(setup)  # a misspelt limit is refused before anything is said
    return setup


def _source_digest(evaluate: Evaluate) -> str:
    """Of the file that an evaluation stands in: what it does may have changed with it."""
    module = sys.modules.get(getattr(evaluate, "__module__", type(evaluate).__module__) or "")
    try:
        text = Path(getattr(module, "__file__", None) or "").read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(text).hexdigest()[:32]


def _space(name: str, resolution: int) -> Space:
    if ":" not in name:
        return search_spaces.get(name, resolution)
    space = import_attribute(name, "space")
    if not isinstance(space, Space) and callable(space):
        try:
            space = space(resolution)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"--space {name}: a nas.Space, or a function of the resolution that makes one, is expected ({error})"
            ) from error
    if not isinstance(space, Space):
        raise InputError(f"--space {name}: a nas.Space, or a function of the resolution that makes one, is expected")
    return space


def import_attribute(reference: str, what: str) -> Any:
    """The object of "module:attribute"; modules of the working directory count, after installed ones.

    Raises: InputError.
    """
    module_name, colon, attribute = reference.partition(":")
    if not colon or not module_name or not attribute:
        raise InputError(f"--{what} {reference!r}: MODULE:NAME is expected, as in my_space:space")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(f"--{what} {reference}: cannot import {module_name!r}: {error}") from error
    if not hasattr(module, attribute):
        raise InputError(f"--{what} {reference}: {module_name!r} has no {attribute!r}")
    return getattr(module, attribute)


def _absolute(data: str) -> str:
    """A data set name that means the same in every directory."""
    kind, _, where = data.partition(":")
    return f"{kind}:{Path(where).resolve()}" if where and Path(where).is_dir() else data


def _study_name(space: str, data: str) -> str:
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", Path(part).name or part).strip("-.") for part in (space, data)]
    return "-".join(word for word in words if word)[:100] or "search"
