"""What training networks of a study again needs of it: the same space, and the recipe as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.errors import InputError, NasError
from nas.recipe import Recipe
from nas.space import Space
from nas.trial import Trial


def check_space(space: Space, chosen: Sequence[Trial], name: str) -> None:
    """Raises: InputError when the space is not the one that the trials of study `name` come from."""
    for trial in chosen:
        try:
            same = space.identity(space.decode(trial.genome)) == trial.digest
        except NasError:
            same = False
        if not same:
            raise InputError(f"the space of study {name!r} is another one now: trial {trial.number} is not in it")


def recipe_of(settings: Mapping[str, Any], name: str) -> Recipe:
    """The recipe of study `name`. Raises: InputError for one that a newer version wrote."""
    try:
        return Recipe(**settings["recipe"])
    except TypeError as error:
        raise InputError(f"study {name!r} was trained by a recipe of another version: {error}") from error
