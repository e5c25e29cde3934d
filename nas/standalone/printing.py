"""Python text of syntax trees, laid out as `ruff format` would at 120 columns."""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize

COLUMNS = 120
INDENT = " " * 4


def line(node: ast.AST) -> str:
    """A node on one line."""
    text = ast.unparse(node)
    if isinstance(node, ast.Assign):
        text = " = ".join(_bare(each) for each in (*node.targets, node.value))
    for each in ast.walk(node):
        if isinstance(each, ast.Slice):
            text = text.replace(ast.unparse(each), _spaced(each))
    return _double_quoted(text) if "'" in text else text


def _spaced(node: ast.Slice) -> str:
    """A slice with blanks round its colon where a bound is more than a name or a number."""
    bounds = [ast.unparse(each) if each else "" for each in (node.lower, node.upper)]
    if node.step or all(bound.isalnum() for bound in bounds if bound):
        return ast.unparse(node)
    return f"{bounds[0]} : {bounds[1]}".strip()


def _bare(node: ast.expr) -> str:
    """A tuple without its parentheses."""
    text = ast.unparse(node)
    return text[1:-1] if isinstance(node, ast.Tuple) and len(node.elts) > 1 and text[0] == "(" else text


def statement(node: ast.stmt, indent: str = "", *, tail: str = "") -> list[str]:
    """The lines of a simple statement, or of the header of a compound one that ends with `tail`."""
    text = indent + line(node)
    if "\n" in text:  # a compound statement
        return textwrap.indent(text.lstrip(), indent).splitlines()
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
    display = not isinstance(node, ast.Call) and len(parts) > 1  # which opens item by item, unlike arguments
    if display or len(inner + body) > COLUMNS:
        lines = [text for head, part in parts for text in expression(part, inner, before=head, after=",")]
    return [f"{indent}{before}{opening}", *lines, f"{indent}{closing}{after}"]


def function_header(node: ast.FunctionDef, indent: str) -> list[str]:
    """The lines of `def name(parameters) -> result:`."""
    args = node.args
    plain = [None] * (len(args.args) - len(args.defaults))
    parts = [_parameter(each, default) for each, default in zip(args.args, [*plain, *args.defaults], strict=True)]
    if args.kwonlyargs:
        parts.append("*")
        parts += [_parameter(each, default) for each, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    opening, inner = f"{indent}def {node.name}(", indent + INDENT
    closing = f") -> {line(node.returns)}:" if node.returns else "):"
    together = ", ".join(parts)
    if len(opening + together + closing) <= COLUMNS:
        return [opening + together + closing]
    fits = len(inner + together) <= COLUMNS
    return [opening, *([inner + together] if fits else [f"{inner}{part}," for part in parts]), indent + closing]


def _parameter(node: ast.arg, default: ast.expr | None) -> str:
    text = f"{node.arg}: {line(node.annotation)}" if node.annotation else node.arg
    if default is None:
        return text
    return f"{text} = {line(default)}" if node.annotation else f"{text}={line(default)}"


def _brackets(node: ast.expr) -> tuple[str, str, list[tuple[str, ast.expr]]] | None:
    """What opens and closes a bracketed expression, and its parts with what stands before each."""
    if isinstance(node, ast.Call):
        named = [(f"{word.arg}=" if word.arg else "**", word.value) for word in node.keywords]
        return f"{line(node.func)}(", ")", [*(("", part) for part in node.args), *named]
    if isinstance(node, ast.Tuple | ast.List):
        opening, closing = ("(", ")") if isinstance(node, ast.Tuple) else ("[", "]")
        return opening, closing, [("", part) for part in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return "{", "}", [(f"{line(key)}: " if key else "**", value) for key, value in pairs]
    return None


def _double_quoted(text: str) -> str:
    lines = text.splitlines()
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.STRING]
    for token in reversed(tokens):
        (row, start), (_, end) = token.start, token.end
        body = token.string[1:-1]
        if token.string.startswith("'") and not token.string.startswith("'''") and '"' not in body:
            lines[row - 1] = f'{lines[row - 1][:start]}"{body}"{lines[row - 1][end:]}'
    return "\n".join(lines)
