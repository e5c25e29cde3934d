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
from nas.standalone.specialise import Specialiser

Kind = inspect.Parameter


class Spelling:
    """Writes modules as calls, and collects what the calls are of."""

    def __init__(self, calls: Calls, specialiser: Specialiser, definitions: Definitions) -> None:
        self.calls, self.specialiser, self.definitions = calls, specialiser, definitions
        self.mixer = ""  # that is being written, for messages

    def module(self, module: nn.Module) -> ast.Call:
        """`Class(arguments)`: what is clear by position, the others by name; defaults are left out."""
        parts: list[ast.expr] = []
        words: list[ast.keyword] = []
        made, arguments = type(module), self.calls.of(module)
        parameters = inspect.signature(made.__init__).parameters
        starred = any(parameters[name].kind is Kind.VAR_POSITIONAL and value for name, value in arguments.items())
        for name, value in arguments.items():
            kind, default = parameters[name].kind, parameters[name].default
            told = type(value) is not type(default) or value != default
            if kind is Kind.VAR_POSITIONAL:
                parts += [self.value(each) for each in value]
            elif kind is Kind.VAR_KEYWORD:
                words += [ast.keyword(word, self.value(each)) for word, each in value.items()]
            elif kind is Kind.POSITIONAL_ONLY or (starred and kind is not Kind.KEYWORD_ONLY):
                parts.append(self.value(value))
            elif told and name not in self.specialiser.dropped(made):
                if kind is not Kind.KEYWORD_ONLY and default is Kind.empty and self._first(made, parts, value):
                    parts.append(self.value(value))
                else:
                    words.append(ast.keyword(name, self.value(value)))
        return ast.Call(self.name(made), parts, words)

    @staticmethod
    def _first(made: type, parts: list[ast.expr], value: Any) -> bool:
        """Whether an argument is clear without its name: the first, layers, and those of torch."""
        return not parts or isinstance(value, nn.Module) or made.__module__.startswith("torch.")

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
