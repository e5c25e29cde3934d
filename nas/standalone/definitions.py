"""The source of the classes a network is made of: what they need from their module, and what they import."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from nas.errors import ExportError

OURS = "nas.layers."
ALLOWED = {"torch", *sys.stdlib_module_names}


@dataclasses.dataclass(frozen=True)
class Import:
    """One name that a file imports: `import module as name`, or with `what` `from module import what as name`."""

    module: str
    what: str
    name: str


@dataclasses.dataclass(frozen=True)
class Module:
    """A parsed module: its lines, and what its top level binds each name to."""

    name: str
    lines: tuple[str, ...]
    bound: dict[str, ast.stmt | Import]

    @classmethod
    def of(cls, name: str) -> Module:
        """A module that is imported. Raises: OSError, TypeError, KeyError when it has no source to read."""
        text = inspect.getsource(sys.modules[name])
        return _parsed(name, text)

    def text(self, node: ast.stmt) -> str:
        """The source of a statement of its top level, decorators included."""
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        return "\n".join(self.lines[first - 1 : node.end_lineno])


@lru_cache(maxsize=64)
def _parsed(name: str, text: str) -> Module:
    bound: dict[str, ast.stmt | Import] = {}
    for node in _top(ast.parse(text).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {each.name: each for each in imports(node, name)}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                bound |= {each.id: node for each in ast.walk(target) if isinstance(each, ast.Name)}
    return Module(name, tuple(text.splitlines()), bound)


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of the top level and of its `if TYPE_CHECKING`."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _top(node.body)
        else:
            yield node


def imports(node: ast.Import | ast.ImportFrom, of: str) -> Iterator[Import]:
    """What an import statement in the module `of` binds."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            name = alias.asname or alias.name.partition(".")[0]
            yield Import(alias.name, "", name)
        else:
            package = of.rsplit(".", node.level)[0] + "." if node.level else ""
            yield Import(f"{package}{node.module or ''}".rstrip("."), alias.name, alias.asname or alias.name)


@dataclasses.dataclass(frozen=True)
class Definition:
    """A class or function as the file has it.

    Attributes:
        node, text: its tree and its text.
        dropped: the parameters that it has lost.
        homes: the module of names that it has from elsewhere than its own.
    """

    node: ast.stmt
    text: str
    dropped: frozenset[str] = frozenset()
    homes: Mapping[str, str] = dataclasses.field(default_factory=dict)


Rewrite = Callable[[ast.ClassDef | ast.FunctionDef, Module], Definition]


class Definitions:
    """What a stand-alone file defines and imports, grown class by class; what is needed comes first."""

    def __init__(self, taken: Collection[str], rewrite: Rewrite | None = None) -> None:
        """`taken` are names that the rest of the file defines; `rewrite` gives what a definition becomes."""
        self.rewrite = rewrite
        self.texts: dict[str, str] = {}
        self.imports: dict[str, Import] = {}
        self._origin: dict[str, str] = dict.fromkeys(taken, "")

    def add(self, made: Any, mixer: str) -> None:
        """Add a class or function that is no part of torch, with all it needs.

        Raises: ExportError in one line, naming the token mixer that it is of.
        """
        if "." in made.__qualname__:
            raise _apart(mixer, f"{made.__qualname__} is no class of the top level of its module")
        self.need(made.__name__, made.__module__, mixer)

    def ours(self) -> set[str]:
        """The names that are defined in `nas.layers`."""
        return {name for name, origin in self._origin.items() if origin.startswith(OURS)}

    def need(self, name: str, module: str, mixer: str) -> None:
        """Add what the top level of `module` binds `name` to."""
        try:
            home = Module.of(module)
        except (OSError, TypeError, KeyError, SyntaxError) as error:
            raise _apart(mixer, f"the source of {module} cannot be read") from error
        node = home.bound.get(name)
        if isinstance(node, Import):
            self.bring(node, mixer)
        elif node is None:
            raise _apart(mixer, f"{name} is not in the source of {module}")
        elif self._new(name, module, mixer):
            definition = Definition(node, home.text(node))
            if self.rewrite and isinstance(node, ast.ClassDef | ast.FunctionDef):
                definition = self.rewrite(node, home)
            self._add_names(definition, home, mixer)
            self.texts[name] = definition.text

    def _add_names(self, definition: Definition, home: Module, mixer: str) -> None:
        for each in ast.walk(definition.node):
            if isinstance(each, ast.Name) and (each.id in home.bound or each.id in definition.homes):
                self.need(each.id, home.name if each.id in home.bound else definition.homes[each.id], mixer)
            elif isinstance(each, ast.Import | ast.ImportFrom):
                for inner in imports(each, home.name):
                    if inner.module.partition(".")[0] not in ALLOWED:
                        raise _apart(mixer, f"{home.name} imports {inner.module}")

    def bring(self, node: Import, mixer: str) -> None:
        """Add an import; what is of `nas.layers` is defined instead."""
        if node.module.startswith(OURS) and node.what and node.what == node.name:
            self.need(node.name, node.module, mixer)
        elif node.module.partition(".")[0] not in ALLOWED:
            raise _apart(mixer, f"its module imports {node.name} from {node.module}")
        elif self._new(node.name, f"{node.module}:{node.what}", mixer):
            self.imports[node.name] = node

    def _new(self, name: str, origin: str, mixer: str) -> bool:
        """Whether `name` is not there yet. Raises: ExportError when it is, as something else."""
        if name not in self._origin:
            self._origin[name] = origin
            return True
        if self._origin[name] != origin:
            raise _apart(mixer, f"its {name} of {origin} is not the {name} that the file has already")
        return False


def _apart(mixer: str, why: str) -> ExportError:
    what = f"token mixer {mixer!r}" if mixer else "the network"
    return ExportError(f"{what} cannot be written into a file of its own: {why}")
