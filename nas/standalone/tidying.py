"""Statements that folding made idle: copies, lists of known parts, what nobody reads, what is never reached."""

from __future__ import annotations

import ast
from collections.abc import Sequence

Body = list[ast.stmt]


def tidy(body: Body) -> Body:
    """The statements of a function without such ones."""
    body = _reached(body)
    body = without_unread(body, {name for name in _locals(body) if not loads(body, name)})
    for step in (_splice_starred, _forward_copies, _return_at_once):
        body = step(body)
    return body


def loads(nodes: Sequence[ast.AST], name: str) -> int:
    """How often a local name, or with a dot an attribute of self, is read."""
    found = 0
    for node in (each for top in nodes for each in ast.walk(top)):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            found += (node.id if isinstance(node, ast.Name) else f"{ast.unparse(node.value)}.{node.attr}") == name
    return found


def _locals(body: Body) -> set[str]:
    """The local names that are set to what needs no call."""
    simple = [node for node in body if isinstance(node, ast.Assign) and not _calls(node.value)]
    return {
        each.id for node in simple for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)
    } - {"self"}


def _calls(node: ast.expr) -> bool:
    return any(isinstance(each, ast.Call) for each in ast.walk(node))


def _reached(body: Body) -> Body:
    end = next((index for index, each in enumerate(body) if isinstance(each, ast.Return)), len(body))
    return body[: end + 1]


def _assigned(node: ast.stmt) -> tuple[str, ast.expr] | None:
    """Name and value of an assignment to one local name."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return node.target.id, node.value
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    return None


def _splice_starred(body: Body) -> Body:
    """`*parts` becomes the parts where `parts` is a list or tuple that is written out before and read once."""
    kept: Body = []
    for index, node in enumerate(body):
        found = _assigned(node)
        if found and isinstance(found[1], ast.List | ast.Tuple) and loads(body, found[0]) == 1:
            splicer = _Splicer(found[0], found[1].elts)
            for later in body[index + 1 :]:
                splicer.visit(later)
            if splicer.done:
                continue
        kept.append(node)
    return kept


class _Splicer(ast.NodeTransformer):
    def __init__(self, name: str, parts: list[ast.expr]) -> None:
        self.name, self.parts, self.done = name, parts, False

    def _spliced(self, parts: list[ast.expr]) -> list[ast.expr]:
        made: list[ast.expr] = []
        for part in parts:
            if isinstance(part, ast.Starred) and isinstance(part.value, ast.Name) and part.value.id == self.name:
                made += self.parts
                self.done = True
            else:
                made.append(part)
        return made

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.args = self._spliced(node.args)
        return self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        node.elts = self._spliced(node.elts)
        return self.generic_visit(node)


def _forward_copies(body: Body) -> Body:
    """`a = b` goes where only the next statement reads `a`, which then reads `b`."""
    kept: Body = []
    for index, node in enumerate(body):
        found = _assigned(node)
        if (
            found
            and isinstance(found[1], ast.Name)
            and index + 1 < len(body)
            and _read_once(body[index + 1 :], found[0])
        ):
            _Renamer(found[0], found[1].id).visit(body[index + 1])
        else:
            kept.append(node)
    return kept


def _read_once(rest: Body, name: str) -> bool:
    """Whether the first of these statements reads `name` and none after it does before it is set anew."""
    for later in rest[1:]:
        if loads([later], name):
            return False
        if (found := _assigned(later)) and found[0] == name:
            break
    return loads(rest[:1], name) > 0


class _Renamer(ast.NodeTransformer):
    def __init__(self, name: str, new: str) -> None:
        self.name, self.new = name, new

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == self.name and isinstance(node.ctx, ast.Load):
            node.id = self.new
        return node


def _return_at_once(body: Body) -> Body:
    """`a = value`, `return a` is `return value`."""
    if len(body) > 1 and isinstance(last := body[-1], ast.Return) and isinstance(last.value, ast.Name):
        found = _assigned(body[-2])
        if found and found[0] == last.value.id:
            return [*body[:-2], ast.Return(found[1])]
    return body


def without_unread(body: Body, unread: set[str]) -> Body:
    """The statements without assignments to these locals and attributes of self, also where several are set in one."""
    kept: Body = []
    for node in body:
        if isinstance(node, ast.If):
            node.body, node.orelse = without_unread(node.body, unread), without_unread(node.orelse, unread)
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            kept.append(node)
            continue
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            both = zip(target.elts, node.value.elts, strict=True)
            pairs = [(each, value) for each, value in both if ast.unparse(each) not in unread]
            if len(pairs) == 1:
                node.targets, node.value = [pairs[0][0]], pairs[0][1]
            else:
                target.elts, node.value.elts = [each for each, _ in pairs], [value for _, value in pairs]
            kept += [node] if pairs else []
        elif ast.unparse(target) not in unread:
            kept.append(node)
    return kept
