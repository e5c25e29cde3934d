"""What an evaluation takes along to Ray's workers: itself as bytes, and data sets, copied once a node.

The bytes hold the names of data sets in place of where their files are. A worker on the driver's node maps the
driver's files; on another node the first worker that wants them copies them, from an actor beside the driver.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.data import ImageData
from nas.data.copying import Bytes, Piece, copied, fingerprint, pieces, read_piece
from nas.errors import DataError
from nas.jobs import Evaluate
from runners.ray_code import is_users

AHEAD = 16  # pieces that stay in the object store, so that nodes which start together share them


@dataclasses.dataclass(frozen=True)
class Luggage:
    """An evaluation on its way.

    Attributes:
        content: the evaluation, pickled. sets: its data sets by digest.
        module: name of the module that defines it, which is in the bytes where it is a user's own.
        modules: full names of the modules that it refers to.
        home: id of the node that has the files of the data sets; empty where every worker has them.
        server: the actor there that gives them out.
    """

    content: bytes
    sets: Mapping[str, ImageData]
    module: str
    modules: frozenset[str]
    home: str = ""
    server: Any = None


class _Packer(cloudpickle.CloudPickler):  # type: ignore[misc]
    """Pickles all but data sets, and notes what modules the rest refers to."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.sets: dict[str, ImageData] = {}
        self.modules: set[str] = set()

    def persistent_id(self, thing: Any) -> str | None:
        """The digest in place of a data set."""
        if not isinstance(thing, ImageData):
            return None
        self.sets[thing.digest] = thing
        return thing.digest

    def reducer_override(self, thing: Any) -> Any:
        """As cloudpickle does it; the names of modules are kept."""
        if isinstance(thing, type | FunctionType):
            self.modules.add(thing.__module__ or "")
        elif isinstance(thing, ModuleType):
            self.modules.add(thing.__name__)
        return super().reducer_override(thing)


class _Unpacker(pickle.Unpickler):
    def __init__(self, luggage: Luggage) -> None:
        super().__init__(io.BytesIO(luggage.content))
        self._luggage = luggage

    def persistent_load(self, digest: str) -> ImageData:
        return _here(self._luggage, self._luggage.sets[digest])


def pack(evaluate: Evaluate) -> Luggage:
    """An evaluation and what it needs; a module of the user's own that defines it goes with it by value."""
    _send_by_value(evaluate)
    packer = _Packer(file := io.BytesIO())
    packer.dump(evaluate)
    module = home_module(evaluate)
    return Luggage(file.getvalue(), packer.sets, module, frozenset(packer.modules | {module}))


def served(luggage: Luggage) -> Luggage:
    """The same with an actor beside the driver that gives out its data; call it when connected to Ray."""
    if not luggage.sets:
        return luggage
    home = ray.get_runtime_context().get_node_id()
    beside = NodeAffinitySchedulingStrategy(home, soft=False)
    server = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=2)(DataServer)
    actor = server.options(scheduling_strategy=beside).remote(dict(luggage.sets))
    return dataclasses.replace(luggage, home=home, server=actor)


def unpack(evaluate: Any) -> Any:
    """The evaluation of a `Luggage`, its data mapped from this machine's disk; anything else as it is.

    Raises: DataError when the data cannot be had.
    """
    return _Unpacker(evaluate).load() if isinstance(evaluate, Luggage) else evaluate


def home_module(evaluate: Evaluate) -> str:
    """The name of the module that defines an evaluation; of what a partial calls."""
    while isinstance(evaluate, functools.partial):
        evaluate = evaluate.func
    return getattr(evaluate, "__module__", None) or type(evaluate).__module__


def _send_by_value(evaluate: Evaluate) -> None:
    """So that the module need not be importable on the nodes."""
    module = sys.modules.get(home_module(evaluate))
    if module is not None and module.__name__ != "__main__" and is_users(module):
        cloudpickle.register_pickle_by_value(module)


def _here(luggage: Luggage, data: ImageData) -> ImageData:
    if not luggage.home or ray.get_runtime_context().get_node_id() == luggage.home:
        return data
    node = ray.get_runtime_context().get_node_id()

    def ask() -> tuple[Piece, ...]:
        try:
            found: tuple[Piece, ...] = ray.get(luggage.server.begin.remote(data.digest, node))
        except (ray.exceptions.RayError, OSError) as error:
            raise _unsent(data, error) from error
        return found

    def fetch(piece: Piece) -> tuple[Bytes, str]:
        try:
            held, expected = ray.get(luggage.server.give.remote(data.digest, piece))
            return ray.get(held[0]), expected
        except (ray.exceptions.RayError, OSError) as error:
            raise _unsent(data, error) from error

    return copied(data, ask, fetch)


def _unsent(data: ImageData, error: Exception) -> DataError:
    return DataError(f"data {data.name!r} did not come from the driver's node: {str(error).splitlines()[-1]}")


class DataServer:
    """Gives out data sets from the disk of the driver's node, in pieces."""

    def __init__(self, sets: Mapping[str, ImageData]) -> None:
        self._sets = sets
        self._held: OrderedDict[tuple[str, Piece], tuple[Any, str]] = OrderedDict()
        self._begun: list[tuple[str, str]] = []

    def begin(self, digest: str, node: str) -> tuple[Piece, ...]:
        """The pieces that a data set is copied as, and that a node wants them."""
        self._begun.append((digest, node))
        return pieces(self._sets[digest])

    def give(self, digest: str, piece: Piece) -> tuple[list[Any], str]:
        """A piece as an object of Ray's (in a list, or Ray would send what it stands for), and its fingerprint."""
        key = (digest, piece)
        if key not in self._held:
            content = read_piece(self._sets[digest], piece)
            self._held[key] = (ray.put(content), fingerprint(content))
            while len(self._held) > AHEAD:
                self._held.popitem(last=False)
        held, expected = self._held[key]
        return [held], expected

    def begun(self) -> list[tuple[str, str]]:
        """(digest, node) of every copy that was begun."""
        return list(self._begun)
