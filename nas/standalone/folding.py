"""Leaving out of a class what a network has no use for: conditions that come out the same for all its instances."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import nn


class Folding(ast.NodeTransformer):
    """Rewrites one method of a class of which `instances` are all that the network has.

    A condition is replaced by what it is for all of them. Switches (truth values, words, None and zeros) that are the
    same for all of them are written in, and a call of an identity is its argument.
    """

    def __init__(
        self,
        instances: Sequence[nn.Module],
        arguments: Sequence[Mapping[str, Any]],
        scope: Mapping[str, Any],
        *,
        choose: Callable[[Any, Sequence[Any]], Mapping[str, ast.expr]],
        dropped: Callable[[Any], Collection[str]],
    ) -> None:
        """`arguments` are those of every instance in `__init__`, empty mappings in another method.

        `scope` is what the module of the class binds. `choose` gives the options of a function that chooses by a word
        and is told the words, `dropped` the parameters that a class has lost.
        """
        self.seen = [{**given, "self": instance} for instance, given in zip(instances, arguments, strict=True)]
        self.scope, self.choose, self.dropped = scope, choose, dropped

    def values(self, node: ast.expr) -> list[Any] | None:
        """The value of an expression for every instance; None when it depends on more than how they were made."""
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        changing = any(isinstance(each, ast.Attribute) and each.attr == "training" for each in ast.walk(node))
        calls = any(isinstance(each, ast.Call) for each in ast.walk(node))
        if changing or calls or not names <= set(self.seen[0]):
            return None
        code = compile(ast.Expression(ast.fix_missing_locations(node)), "<condition>", "eval")
        try:
            return [eval(code, {"__builtins__": {}}, seen) for seen in self.seen]  # noqa: S307 - of our own layers
        except (AttributeError, TypeError, RuntimeError):
            return None

    def truth(self, node: ast.expr) -> bool | None:
        """What a condition is for all instances; None when it is not the same."""
        values = self.values(node)
        try:
            truths = {bool(value) for value in values or ()}
        except RuntimeError:  # tensors have no truth
            return None
        return truths.pop() if len(truths) == 1 else None

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        truth = self.truth(node.test)
        if truth is None:
            return self.generic_visit(node)
        chosen: ast.AST = self.visit(node.body if truth else node.orelse)
        return chosen

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        truth = self.truth(node.test)
        if truth is None:
            return self.generic_visit(node)
        kept: list[ast.stmt] = []
        for each in node.body if truth else node.orelse:
            made = self.visit(each)
            kept += made if isinstance(made, list) else [made]
        return kept

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._switch(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._switch(self.generic_visit(node))

    def _switch(self, node: Any) -> ast.AST:
        values = self.values(node) if isinstance(node.ctx, ast.Load) else None
        if not values or any(type(value) is not type(values[0]) for value in values):
            return node  # type: ignore[no-any-return]
        first = values[0]
        plain = first is None or isinstance(first, bool | str) or (isinstance(first, int | float) and not first)
        return ast.Constant(first) if plain and all(value == first for value in values) else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """A slice from zero starts at the start; a slice of everything is the thing itself."""
        self.generic_visit(node)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts:
            if isinstance(part, ast.Slice) and isinstance(part.lower, ast.Constant) and part.lower.value == 0:
                part.lower = None
        whole = all(isinstance(part, ast.Slice) and not (part.lower or part.upper or part.step) for part in parts)
        return node.value if whole else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if len(node.args) == 1 and self._identity(node.func):
            return node.args[0]
        made = self._resolved(node.func)
        if made is None:
            return node
        if len(node.args) == 1 and (options := self.choose(made, self.values(node.args[0]) or ())):
            word = node.args[0]
            return ast.Call(options[str(word.value)], [], []) if isinstance(word, ast.Constant) else node
        self._leave_out(node, made, self.dropped(made))
        return node

    def _identity(self, node: ast.expr) -> bool:
        return all(type(value) is nn.Identity for value in self.values(node) or [None])

    def _resolved(self, node: ast.expr) -> Any:
        """The class or function that a name stands for, if it is one of the module or of torch."""
        if isinstance(node, ast.Attribute):
            return getattr(self._resolved(node.value), node.attr, None)
        return self.scope.get(node.id, getattr(builtins, node.id, None)) if isinstance(node, ast.Name) else None

    @staticmethod
    def _leave_out(node: ast.Call, made: Any, dropped: Collection[str]) -> None:
        """Take out arguments that the callee has lost, and words that say what is the default anyway."""
        try:
            parameters = inspect.signature(made).parameters
        except (TypeError, ValueError):
            return
        default = {name: each.default for name, each in parameters.items()}
        node.keywords = [
            word
            for word in node.keywords
            if word.arg not in dropped
            and not (
                word.arg in default
                and isinstance(word.value, ast.Constant)
                and type(word.value.value) is type(default[word.arg])
                and word.value.value == default[word.arg]
            )
        ]
        node.args = [part for name, part in _by_position(node.args, list(parameters)) if name not in dropped]


def _by_position(args: list[ast.expr], names: list[str]) -> list[tuple[str, ast.expr]]:
    starred = next((index for index, part in enumerate(args) if isinstance(part, ast.Starred)), len(args))
    return [(names[index] if index < min(starred, len(names)) else "", part) for index, part in enumerate(args)]
