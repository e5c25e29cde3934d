"""The constructor calls of modules as Python expressions."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import torch
from torch import nn

from nas.errors import ExportError
from nas.standalone.definitions import Definitions, Import
from nas.standalone.recording import Calls


class Spelling:
    """Writes modules as calls, and collects what the calls are of."""

    def __init__(self, calls: Calls, definitions: Definitions) -> None:
        self.calls, self.definitions = calls, definitions
        self.mixer = ""  # that is being written, for messages

    def module(self, module: nn.Module) -> ast.Call:
        """`Class(arguments)`: those without a default by position, the others by name."""
        arguments = self.calls.of(module)
        parts: list[ast.expr] = []
        words: list[ast.keyword] = []
        for name, parameter in inspect.signature(type(module).__init__).parameters.items():
            if name not in arguments:
                continue
            value, kind = arguments[name], parameter.kind
            if kind is parameter.VAR_POSITIONAL:
                parts += [self.value(each) for each in value]
            elif kind is parameter.VAR_KEYWORD:
                words += [ast.keyword(word, self.value(each)) for word, each in value.items()]
            elif kind is not parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                parts.append(self.value(value))
            else:
                words.append(ast.keyword(name, self.value(value)))
        return ast.Call(self.name(type(module)), parts, words)

    def value(self, value: Any) -> ast.expr:
        """Raises: ExportError for what has no literal."""
        if isinstance(value, nn.Module):
            return self.module(value)
        if value is None or isinstance(value, bool | int | float | str):
            return ast.Constant(value)
        if isinstance(value, tuple | list) and type(value) in (tuple, list):
            parts = [self.value(each) for each in value]
            return ast.Tuple(parts, ast.Load()) if isinstance(value, tuple) else ast.List(parts, ast.Load())
        if isinstance(value, dict):
            return ast.Dict([self.value(each) for each in value], [self.value(each) for each in value.values()])
        if isinstance(value, torch.dtype):
            return ast.Name(str(value))
        if callable(value) and hasattr(value, "__qualname__"):
            return self.name(value)
        message = f"{self.mixer!r} cannot be written into a file of its own: its module is made with {value!r}"
        raise ExportError(f"token mixer {' '.join(message.split())}")

    def name(self, made: Any) -> ast.expr:
        """The name of a class or function, imported or defined."""
        name, module = made.__name__, made.__module__ or ""
        if getattr(nn, name, None) is made:
            return ast.Attribute(ast.Name("nn"), name)
        if module.partition(".")[0] == "torch":
            self.definitions.bring(Import(module, name, name), self.mixer)
        else:
            self.definitions.add(made, self.mixer)
        return ast.Name(name)
