"""From a template to the compiled tree and its genes."""

from __future__ import annotations

import itertools
from typing import Any

from nas.checked import Checked
from nas.errors import SpaceError
from nas.nodes import Const, Gene, Group, Node, Pick, Times
from nas.template import Choice, Make, Narrow, Repeat, Scalar

ALONE = "choice"  # path of a gene that is a whole space


def compile_template(template: Any, genes: list[Gene]) -> Node:
    """The tree of a template; its genes are appended to `genes`, parents before children."""
    root: Node = _Compiler(genes).node(template, "", None, None)
    return root


class _Compiler:
    def __init__(self, genes: list[Gene]) -> None:
        self.genes = genes
        self.kept: dict[str, tuple[Scalar, ...]] = {}

    def node(self, template: Any, path: str, parent: int | None, when: int | None) -> Any:
        if isinstance(template, Narrow):
            template = self._only(template, path)
        if isinstance(template, Choice):
            return self._pick(template, path, parent, when)
        if isinstance(template, Make):
            alone = sum(isinstance(part, Repeat) for part in template.fields.values()) == 1
            fields: dict[Any, Any] = {}
            for name, part in template.fields.items():
                # the one repeated part of a value lends its choices the path of that value: `stages.0.mixer`
                elided = alone and isinstance(part, Repeat) and isinstance(part.item, Make)
                if elided:
                    fields[name] = self._repeat(part, path, path, parent, when)
                elif alone and isinstance(part, Repeat):
                    fields[name] = self._repeat(part, _join(path, name), path, parent, when)
                else:
                    fields[name] = self.node(part, _join(path, name), parent, when)
            return self._fold(template.cls, fields)
        if isinstance(template, Repeat):
            return self._repeat(template, path, path, parent, when)
        if isinstance(template, dict):
            return Group(
                dict, {name: self.node(part, _join(path, str(name)), parent, when) for name, part in template.items()}
            )
        if isinstance(template, list | tuple):
            items = {
                index: self.node(part, _join(path, str(index)), parent, when) for index, part in enumerate(template)
            }
            return self._fold(type(template), items)
        return Const(template)

    def _only(self, narrow: Narrow, path: str) -> Any:
        """The template, once it is noted which options are left; of a gene that is all of it, under its path here."""
        alone = isinstance(narrow.template, Choice)
        for name, labels in narrow.kept.items():
            self.kept[(path or name) if alone and name == ALONE else _join(path, name)] = labels
        return narrow.template

    def _repeat(self, repeat: Repeat, item_path: str, count_path: str, parent: int | None, when: int | None) -> Any:
        taken = {gene.path for gene in self.genes}  # by the depth of what this is an item of
        names = itertools.chain(("depth",), (f"depth_{count}" for count in itertools.count(2)))
        name = next(name for name in names if _join(count_path, name) not in taken)
        length = self.node(repeat.count, _join(count_path, name), parent, when)
        return self._times(self.node(repeat.item, item_path, parent, when), length)

    def _fold(self, cls: type, parts: dict[Any, Any]) -> Any:
        """A part without choices that cannot be changed either is built once, here."""
        group = Group(cls, parts)
        fixed = all(isinstance(part, Const) for part in parts.values())
        return Const(group.build(())) if fixed and (cls is tuple or issubclass(cls, Checked)) else group

    def _times(self, item: Any, length: Any) -> Any:
        lengths = [option.build(()) for option in length.options] if isinstance(length, Pick) else [length.build(())]
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in lengths):
            raise SpaceError(f"repeat(): a count of {lengths} is not one or more whole numbers of at least 1")
        times = Times(item, length)
        return Const(times.build(())) if isinstance(item, Const) and isinstance(length, Const) else times

    def _pick(self, choice: Choice, path: str, parent: int | None, when: int | None) -> Any:
        if len(choice.options) == 1:
            return self.node(choice.options[0], path, parent, when)
        gene = len(self.genes)
        if (kept := self.kept.get(path or ALONE)) is not None:
            choice = choice.only(kept)
        self.genes.append(Gene(path or ALONE, choice.labels, choice.ordered, parent, when))
        options = [
            self.node(option, _join(path, str(label)), gene, index)
            for index, (option, label) in enumerate(zip(choice.options, choice.labels, strict=True))
        ]
        order = choice.ordered if choice.ordered != choice.rising else None
        return Pick(gene, choice.labels, tuple(options), order)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
