"""`nas report`: findings as one HTML file that needs nothing else, as Markdown, or as JSON."""

from __future__ import annotations

import json
import re
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from dashboards.findings import FORMAT, Findings
from dashboards.telling import page

Format = Literal["html", "md", "json"]
COMMAND = re.compile(r"`(nas [^`]*)`")
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")


def render(found: Findings, form: Format) -> str:
    """The report as text."""
    if form == "json":
        return json.dumps(found.as_json(), allow_nan=False, indent=1) + "\n"
    text: str = _environment().get_template(f"report.{form}.jinja").render(page=page(found), format=FORMAT)
    return text if form == "html" else _tidy(text)


def is_report(beginning: str) -> bool:
    """Whether a file that begins so is a report of ours, in any format."""
    start = beginning.lstrip()[:600]
    marks = (f'<meta name="generator" content="{FORMAT}">', f"<!-- {FORMAT} -->", f'"format": "{FORMAT}"')
    return start.startswith(("<!DOCTYPE html>", "<!--", "{")) and any(mark in start for mark in marks)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dashboards", "."),
        autoescape=select_autoescape(enabled_extensions=("html.jinja",), default=False),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"md": _markdown, "prose": _prose}
    return environment


def _prose(text: str) -> Markup:
    """A sentence as HTML: escaped, with `commands` set apart, and no line ending within 95 %."""
    return Markup(COMMAND.sub(r"<code>\1</code>", str(escape(text))).replace("95 %", "95&nbsp;%"))  # noqa: S704 - escaped


def _markdown(text: str) -> str:
    """Text that means itself in Markdown, within one line; `commands` stay so."""
    parts = COMMAND.split(" ".join(text.split()))
    return "".join(f"`{part}`" if index % 2 else MARKDOWN.sub(r"\\\1", part) for index, part in enumerate(parts))


def _tidy(text: str) -> str:
    """Without blanks at ends of lines, and never two empty lines."""
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"
