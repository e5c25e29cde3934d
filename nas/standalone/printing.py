"""Python text of syntax trees, laid out as `ruff format` would at 120 columns."""

from __future__ import annotations

import ast
import io
import tokenize

COLUMNS = 120
INDENT = " " * 4


def line(node: ast.AST) -> str:
    """A node on one line."""
    text = ast.unparse(node)
    return _double_quoted(text) if "'" in text else text


def statement(node: ast.stmt, indent: str = "", *, tail: str = "") -> list[str]:
    """The lines of a simple statement, or of the header of a compound one that ends with `tail`."""
    text = indent + line(node)
    if len(text) <= COLUMNS:
        return [text]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.Return | ast.Expr) and node.value is not None:
        head = line(node).removesuffix(line(node.value))
        return expression(node.value, indent, before=head, after=tail)
    return [text]


def expression(node: ast.expr, indent: str, *, before: str = "", after: str = "") -> list[str]:
    """The lines of an expression between `before` and `after`; brackets open one by one until everything fits."""
    whole = f"{indent}{before}{line(node)}{after}"
    brackets = _brackets(node)
    if len(whole) <= COLUMNS:
        return [whole]
    if brackets is None:
        if before and not before.endswith("*"):
            return [f"{indent}{before}(", *expression(node, indent + INDENT), f"{indent}){after}"]
        return [whole]
    opening, closing, parts = brackets
    inner, body = indent + INDENT, ", ".join(head + line(part) for head, part in parts)
    lines = [inner + body]
    if len(inner + body) > COLUMNS:
        lines = [text for head, part in parts for text in expression(part, inner, before=head, after=",")]
    return [f"{indent}{before}{opening}", *lines, f"{indent}{closing}{after}"]


def _brackets(node: ast.expr) -> tuple[str, str, list[tuple[str, ast.expr]]] | None:
    """What opens and closes a bracketed expression, and its parts with what stands before each."""
    if isinstance(node, ast.Call):
        named = [(f"{word.arg}=" if word.arg else "**", word.value) for word in node.keywords]
        return f"{line(node.func)}(", ")", [*(("", part) for part in node.args), *named]
    if isinstance(node, ast.Tuple | ast.List):
        opening, closing = ("(", ")") if isinstance(node, ast.Tuple) else ("[", "]")
        return opening, closing, [("", part) for part in node.elts]
    return None


def _double_quoted(text: str) -> str:
    lines = text.splitlines()
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.STRING]
    for token in reversed(tokens):
        (row, start), (_, end) = token.start, token.end
        body = token.string[1:-1]
        if token.string.startswith("'") and not token.string.startswith("'''") and not {'"', "\\"} & set(body):
            lines[row - 1] = f'{lines[row - 1][:start]}"{body}"{lines[row - 1][end:]}'
    return "\n".join(lines)
