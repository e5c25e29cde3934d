"""`class Model`: a network stage by stage, equal blocks in loops."""

from __future__ import annotations

import ast
import copy
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from torch import nn

from nas.architecture import Stage
from nas.layers.blocks import PreNormBlock
from nas.standalone.expressions import Spelling
from nas.standalone.printing import INDENT, expression, statement

BODY = INDENT * 2
LONGEST_PERIOD = 4  # blocks in a loop, such as pooling and attention by turns


def model_class(spelling: Spelling) -> list[str]:
    """The lines of the class. Its state-dict keys are those of `nas.model.Backbone`."""
    model = spelling.calls.model
    side, channels = model.architecture.resolution, model.in_channels
    shape = f"{channels} x {side} x {side}"
    lines = [
        "class Model(nn.Module):",
        f'    """Images of {shape}, normalised, to {model.num_classes} logits."""',
        "",
        "    def __init__(self) -> None:",
        f"{BODY}super().__init__()",
        f"{BODY}self.stages = nn.ModuleList()",
    ]
    for made, stage, place in zip(model.stages, model.architecture.stages, model.places, strict=True):
        before, shape = shape, f"{place.width} x {place.side} x {place.side}"
        lines.append(f"{BODY}# {before} to {shape}{', and a class token' if place.extra else ''}")
        lines += _stage(spelling, made, stage)
    for name in ("norm", "classifier"):
        lines += statement(_assign(f"self.{name}", spelling.module(model.get_submodule(name))), BODY)
    return [*lines, "", *_forward(spelling)]


def _stage(spelling: Spelling, made: nn.Module, stage: Stage) -> list[str]:
    embedding, *blocks = made.children()
    opened = ast.Call(_name("nn.Sequential"), [spelling.module(embedding)], [])
    written = []
    for module, block in zip(blocks, stage.blocks, strict=True):
        spelling.mixer = block.mixer.kind
        written.append(Written(spelling.module(module), isinstance(module, PreNormBlock)))
    lines = statement(_assign("stage", opened), BODY)
    single: list[Written] = []  # blocks that no loop repeats
    for period, times in repeats(["\n".join(each.lines("")) for each in written]):
        if times == 1:
            single += [written[index] for index in period]
        else:
            lines += [*_singles(single), f"{BODY}for _ in range({times}):"]
            lines += [text for index in period for text in written[index].lines(BODY + INDENT)]
            single = []
    return [*lines, *_singles(single), f"{BODY}self.stages.append(stage)"]


@dataclasses.dataclass(frozen=True)
class Written:
    """The call that makes a block; its mixer is an argument of the call, or of the branch that comes first."""

    call: ast.Call
    branched: bool

    @property
    def mixer(self) -> ast.expr:
        """What makes its mixer."""
        branch = self.call.args[0]
        return branch.args[1] if self.branched and isinstance(branch, ast.Call) else branch

    def of_any(self) -> Written:
        """The same block of what is called `mixer`."""
        call = copy.deepcopy(self.call)
        holder = call.args[0] if self.branched else call
        assert isinstance(holder, ast.Call)  # noqa: S101 - a block is made with a branch or with a mixer
        holder.args[int(self.branched)] = ast.Name("mixer")
        return Written(call, self.branched)

    def lines(self, indent: str) -> list[str]:
        """The lines that append it to `stage`, its branches named before."""
        call, steps = copy.copy(self.call), []
        if self.branched:
            named = list(zip(("mix", "mlp"), call.args, strict=False))
            steps = [_assign(name, part) for name, part in named if isinstance(part, ast.Call)]
            call.args = [ast.Name(name) if isinstance(part, ast.Call) else part for name, part in named]
        appended = ast.Expr(ast.Call(_name("stage.append"), [call], []))
        return [text for step in (*steps, appended) for text in statement(step, indent)]


def _singles(blocks: Sequence[Written]) -> list[str]:
    """The lines of blocks that differ from their neighbours; those that do so in the mixer alone make a loop."""
    lines: list[str] = []
    for common, found in itertools.groupby(blocks, lambda each: each.of_any().lines(BODY + INDENT)):
        group = list(found)
        if len(group) == 1:
            lines += group[0].lines(BODY)
        else:
            mixers = ast.Tuple([each.mixer for each in group], ast.Load())
            lines += [*expression(mixers, BODY, before="for mixer in ", after=":"), *common]
    return lines


def repeats(items: Sequence[str]) -> Iterator[tuple[range, int]]:
    """The items as runs: (positions of one period, how often it comes), the run that covers most first."""
    start = 0
    while start < len(items):
        best, times = 1, 1
        for period in range(1, LONGEST_PERIOD + 1):
            end = start + period
            while end < len(items) and items[end] == items[end - period]:
                end += 1
            count = (end - start) // period
            if count > 1 and count * period > best * times:
                best, times = period, count
        yield range(start, start + best), times
        start += best * times


def _forward(spelling: Spelling) -> list[str]:
    model = spelling.calls.model
    head, places = model.architecture.head, model.places
    lines = ["    def forward(self, x_BCHW: Tensor) -> Tensor:", f'{BODY}"""Images to logits."""']
    lines.append(f"{BODY}x_BNC = self.stages[0](x_BCHW)")
    for index, place in enumerate(places[:-1], start=1):
        spelling.definitions.need("to_map", "nas.layers.common", "")
        lines.append(f"{BODY}x_BNC = self.stages[{index}](to_map(x_BNC, {place.side}))")
    if head.norm_last:
        lines.append(f"{BODY}pooled_BC = self.norm(x_BNC.mean(dim=1, keepdim=True))[:, 0]")
    else:
        lines.append(f"{BODY}x_BNC = self.norm(x_BNC)")
        lines.append(f"{BODY}pooled_BC = x_BNC{'[:, 0]' if places[-1].extra else '.mean(dim=1)'}")
    return [*lines, f"{BODY}return self.classifier(pooled_BC)"]


def _assign(target: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([_name(target)], value, lineno=0)


def _name(dotted: str) -> ast.expr:
    first, *rest = dotted.split(".")
    name: ast.expr = ast.Name(first)
    for each in rest:
        name = ast.Attribute(name, each)
    return name
