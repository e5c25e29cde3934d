"""The classes of `nas.layers` as one network needs them: without what it has no use for."""

from __future__ import annotations

import ast
import copy
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from torch import nn

from nas.errors import ExportError
from nas.standalone.definitions import OURS, Definition, Definitions, Module
from nas.standalone.folding import Folding
from nas.standalone.printing import function_header, statement
from nas.standalone.recording import Calls
from nas.standalone.tidying import loads, tidy, without_unread

INDENT = " " * 4
SAID_ABOVE = ("BNC to BNC.", "Elementwise.")  # of `forward`; the head of the file says it once for all


class Specialiser:
    """Rewrites classes for the instances that a network has of them."""

    def __init__(self, calls: Calls, whole: Collection[str]) -> None:
        """`whole` are the names in `nas.layers` that stay as they are, since code of somebody else's uses them."""
        self.calls, self.whole = calls, whole
        self.instances: dict[str, list[nn.Module]] = defaultdict(list)
        for module in calls.model.modules():
            self.instances[_path(type(module))].append(module)
        self.words: dict[str, set[str]] = defaultdict(set)  # asked of a function that chooses by a word
        self.homes: dict[str, str] = {}  # of the classes that it chooses from
        self._done: dict[str, Definition] = {}
        for made in {type(module) for module in calls.model.modules()}:
            self.dropped(made)  # all of them once, so that all words have been asked for

    def dropped(self, made: Any) -> Collection[str]:
        """The parameters that a class has lost."""
        if not isinstance(made, type) or not made.__module__.startswith(OURS):
            return ()
        if _path(made) not in self._done:
            home = Module.of(made.__module__)
            node = home.bound.get(made.__name__)
            return self.rewrite(node, home).dropped if isinstance(node, ast.ClassDef) else ()
        return self._done[_path(made)].dropped

    def rewrite(self, node: ast.ClassDef | ast.FunctionDef, home: Module) -> Definition:
        """A class or function of the top level of `home`."""
        path = f"{home.name}.{node.name}"
        if path not in self._done:
            self._done[path] = Definition(node, home.text(node))
            if home.name.startswith(OURS) and node.name not in self.whole:
                if isinstance(node, ast.ClassDef) and self.instances[path]:
                    self._done[path] = _Class(self, node, home).rewritten()
                elif isinstance(node, ast.FunctionDef) and self.words[path]:
                    self._done[path] = _fewer_options(node, home, self.words[path])
        return self._done[path]

    def choose(self, made: Any, words: Sequence[Any]) -> Mapping[str, ast.expr]:
        """The options of a function of ours that chooses by a word; those asked for are noted."""
        module, name = getattr(made, "__module__", None) or "", getattr(made, "__name__", "")
        if not module.startswith(OURS) or name in self.whole:
            return {}
        node = Module.of(module).bound.get(name)
        options = _options(node) if isinstance(node, ast.FunctionDef) else {}
        for each in (part for option in options.values() for part in ast.walk(option)):
            if isinstance(each, ast.Name):
                self.homes[each.id] = module
        if options and len(set(words)) > 1:
            self.words[_path(made)] |= set(words)
        return options


def used_by_others(model: nn.Module) -> set[str]:
    """What modules that are not ours use of `nas.layers`."""
    found = Definitions(())
    for made in {type(module) for module in model.modules()}:
        if not made.__module__.startswith(("torch.", "nas.")):
            with suppress(ExportError):  # told where it is written, with its mixer
                found.add(made, "")
    return found.ours()


class _Class:
    """One class on its way."""

    def __init__(self, owner: Specialiser, node: ast.ClassDef, home: Module) -> None:
        self.owner, self.home, self.before = owner, home, node
        self.node = copy.deepcopy(node)
        self.origin = dict(zip(map(id, ast.walk(self.node)), ast.walk(node), strict=True))
        self.instances = owner.instances[f"{home.name}.{node.name}"]

    def rewritten(self) -> Definition:
        methods = {each.name: each for each in self.node.body if isinstance(each, ast.FunctionDef)}
        for method in methods.values():
            if ast.get_docstring(method) in SAID_ABOVE:
                del method.body[0]
            self._fold(method)
        for name, method in methods.items():
            if name.startswith("_") and not name.startswith("__") and not loads([self.node], f"self.{name}"):
                self.node.body.remove(method)
        self._forget_unread()
        for method in methods.values():
            method.body = tidy(method.body)
        dropped = self._forget_parameters(methods.get("__init__"))
        if ast.dump(self.node) == ast.dump(self.before):
            return Definition(self.before, self.home.text(self.before))
        return Definition(self.node, self._text(), dropped, self.owner.homes)

    def _fold(self, method: ast.FunctionDef) -> None:
        given: list[Mapping[str, Any]] = [{} for _ in self.instances]
        if method.name == "__init__":
            stored = {each.id for each in ast.walk(method) if isinstance(each, ast.Name) and _stored(each)}
            full = [self.owner.calls.of(module) for module in self.instances]
            given = [{name: value for name, value in each.items() if name not in stored} for each in full]
        scope = vars(sys.modules[self.home.name])
        owner = self.owner
        folding = Folding(self.instances, given, scope, choose=owner.choose, dropped=owner.dropped)
        body: list[ast.stmt] = []
        for each in method.body:
            made = folding.visit(each)
            body += made if isinstance(made, list) else [made]
        method.body = body

    def _forget_unread(self) -> None:
        """No attribute that nothing reads, unless it holds weights or layers."""
        kept = (nn.Parameter, nn.Module)
        stored = {
            f"self.{each.attr}" for each in ast.walk(self.node) if isinstance(each, ast.Attribute) and _stored(each)
        }
        unread = set()
        for name in stored:
            values = [getattr(module, name.removeprefix("self."), None) for module in self.instances]
            idle = all(type(value) is nn.Identity or not isinstance(value, kept) for value in values)
            if idle and not loads([self.node], name):
                unread.add(name)
        for method in self.node.body:
            if isinstance(method, ast.FunctionDef):
                method.body = without_unread(method.body, unread)

    @staticmethod
    def _forget_parameters(init: ast.FunctionDef | None) -> frozenset[str]:
        if init is None:
            return frozenset()
        args = init.args
        named = [*args.args[1:], *args.kwonlyargs]
        unread = frozenset(each.arg for each in named if not any(loads([step], each.arg) for step in init.body))
        defaults = dict(zip([each.arg for each in args.args][-len(args.defaults) :], args.defaults, strict=False))
        args.args = [each for each in args.args if each.arg not in unread]
        args.defaults = [defaults[each.arg] for each in args.args if args.defaults and each.arg in defaults]
        pairs = zip(args.kwonlyargs, args.kw_defaults, strict=True)
        words = [(each, default) for each, default in pairs if each.arg not in unread]
        args.kwonlyargs, args.kw_defaults = [each for each, _ in words], [default for _, default in words]
        return unread

    def _text(self) -> str:
        bases = ", ".join(map(ast.unparse, self.node.bases))
        lines = [f"class {self.node.name}({bases}):" if bases else f"class {self.node.name}:"]
        for index, each in enumerate(self.node.body):
            if index == 0 and isinstance(doc := ast.get_docstring(self.node), str):
                lines.append(f'{INDENT}"""{doc.splitlines()[0]}"""')
            elif isinstance(each, ast.FunctionDef):
                lines += ["", *function_header(each, INDENT), *self._body(each.body, INDENT * 2)]
            else:
                lines += self._body([each], INDENT)
        return "\n".join(lines)

    def _body(self, body: list[ast.stmt], indent: str) -> list[str]:
        lines: list[str] = []
        for each in body:
            if written := self._as_written(each, indent):
                lines += written
            elif isinstance(each, ast.If):
                lines += [f"{indent}if {ast.unparse(each.test)}:", *self._body(each.body, indent + INDENT)]
                if each.orelse:
                    lines += [f"{indent}else:", *self._body(each.orelse, indent + INDENT)]
            else:
                lines += statement(each, indent)
        return lines

    def _as_written(self, node: ast.stmt, indent: str) -> list[str]:
        """The source of a statement that is what it was, unless it has to be laid out anew."""
        origin = self.origin.get(id(node))
        if not isinstance(origin, ast.stmt) or ast.dump(origin) != ast.dump(node):
            return []
        lines = self.home.text(origin).splitlines()
        if len(lines) == 1:
            return [indent + lines[0].strip()]
        return lines if origin.col_offset == len(indent) else []


def _stored(node: ast.Name | ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store)


def _path(made: Any) -> str:
    return f"{made.__module__}.{made.__qualname__}"


def _options(node: ast.FunctionDef) -> dict[str, ast.expr]:
    """Word -> class of a function that is a dictionary from words to classes and a call of one of them."""
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.value, ast.Dict):
            pairs = zip(each.value.keys, each.value.values, strict=True)
            found = {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
            return {} if any(isinstance(value, ast.Lambda) for value in found.values()) else found
    return {}


def _fewer_options(node: ast.FunctionDef, home: Module, words: set[str]) -> Definition:
    made = copy.deepcopy(node)
    lines = [*function_header(made, "")]
    for each, before in zip(made.body, node.body, strict=True):
        if isinstance(each, ast.AnnAssign) and isinstance(each.value, ast.Dict):
            pairs = zip(each.value.keys, each.value.values, strict=True)
            kept = [(key, value) for key, value in pairs if isinstance(key, ast.Constant) and key.value in words]
            short = ast.Dict([key for key, _ in kept], [value for _, value in kept])
            made.body[made.body.index(each)] = plain = ast.Assign([each.target], short, lineno=0)
            lines += statement(plain, INDENT)
        else:
            lines += home.text(before).splitlines()
    return Definition(made, "\n".join(lines))
