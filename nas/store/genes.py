"""The genes of the trials of a study, from what its database holds; the space itself need not be there."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution, json_to_distribution
from sqlalchemy import select

from nas.store import tables
from nas.store.database import connect
from nas.store.optuna_rows import PARAMS
from nas.store.reading import study_row
from nas.store.trouble import translated


@dataclasses.dataclass(frozen=True)
class Genes:
    """Of one study.

    Attributes:
        options: of each gene that a trial uses, by path.
        taken: the active genes of each trial with the option taken, by number and path.
    """

    options: Mapping[str, tuple[Any, ...]]
    taken: Mapping[int, Mapping[str, Any]]


def read_genes(url: str, name: str) -> Genes:
    """Raises: InputError naming the nearest studies, StoreError."""
    engine = connect(url, create=False, reading=True)
    taken: dict[int, dict[str, Any]] = {}
    texts: dict[str, str] = {}
    read = functools.cache(json_to_distribution)
    with translated(url), engine.begin() as connection:
        row = study_row(connection, name, url)
        query = (
            select(tables.trials.c.number, PARAMS.c.param_name, PARAMS.c.param_value, PARAMS.c.distribution_json)
            .join(PARAMS, PARAMS.c.trial_id == tables.trials.c.trial_id)
            .where(tables.trials.c.study_id == row["study_id"])
            .order_by(tables.trials.c.number, PARAMS.c.param_id)
        )
        for number, path, value, text in connection.execute(query):
            taken.setdefault(number, {})[path] = read(text).to_external_repr(value)
            texts[path] = text
    engine.dispose()
    return Genes({path: _options(read(text)) for path, text in texts.items()}, taken)


def _options(found: BaseDistribution) -> tuple[Any, ...]:
    """Empty where somebody else's program drew real numbers."""
    if isinstance(found, CategoricalDistribution):
        return tuple(found.choices)
    return tuple(range(found.low, found.high + 1, found.step)) if isinstance(found, IntDistribution) else ()
