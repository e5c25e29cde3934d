"""The search file (TOML) as a checked value; the command line's options are the same fields.

space = "metaformer"
data = "hf:uoft-cs/cifar10"
objectives = ["accuracy:max", "macs:min"]
limits = ["params<=2e6"]
trials = 100
epochs = "1:10"
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nas.errors import InputError, unknown
from nas.fidelity import Rungs
from nas.objectives import Limit, Objective
from nas.proxies import chosen
from nas.samplers import NAMES
from nas.supernet import JUDGE_IMAGES

LARGEST_FILE = 1_000_000


class SearchConfig(BaseModel):
    """Everything `nas search` can be told. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    space: str = "metaformer"
    data: str = "digits"
    resolution: int | None = Field(default=None, ge=4, le=1024)
    objectives: list[str] = ["accuracy:max"]
    limits: list[str] = []
    trials: int = Field(default=24, ge=1)
    epochs: str = "1:10"
    factor: int = 3
    brackets: int = 1
    rung_subset: float = Field(default=1.0, gt=0, le=1)
    rung_resolution: int | None = Field(default=None, ge=4, le=1024)
    sampler: str = "auto"
    runner: str = "local"
    workers: int | None = Field(default=None, ge=1)
    cpus_per_trial: float | None = Field(default=None, gt=0)
    gpus_per_trial: Annotated[float, Field(ge=0)] | Literal["auto"] | None = None
    resources: dict[str, Annotated[float, Field(gt=0)]] = {}
    address: str | None = None
    runtime_env: str | None = None
    seed: int = 0
    timeout: float | None = Field(default=None, gt=0)
    trial_timeout: float | None = Field(default=None, gt=0)
    latency_device: str | None = None
    study: str | None = None
    storage: str | None = None
    evaluate: str | None = None
    costs: str | None = None
    subset: float = Field(default=1.0, gt=0, le=1)
    batch_size: int = Field(default=0, ge=0)
    lr: float = Field(default=4e-3, gt=0, le=10)
    augment: str = "auto"
    start: list[str] = []
    reuse: bool = False
    weights: Literal["scratch", "inherit", "supernet"] = "scratch"
    supernet: str | None = None
    supernet_epochs: int | None = Field(default=None, ge=1)
    supernet_sampling: Literal["sandwich", "uniform"] = "sandwich"
    supernet_at_once: int | None = Field(default=None, ge=1)
    supernet_workers: int = Field(default=1, ge=1)
    judge_images: int = Field(default=JUDGE_IMAGES, ge=0)
    shrink: bool = False
    shrink_cost: float = Field(default=0.02, ge=0)
    retrain: int = Field(default=3, ge=0)
    retrain_from: Literal["scratch", "supernet"] = "scratch"
    retrain_epochs: int | None = Field(default=None, ge=1)
    spread: int = Field(default=6, ge=0)
    checkpoints: str = "checkpoints"
    export: str | None = None
    published: bool = False
    baseline: bool = False
    proxies: list[str] = []
    callbacks: list[str] = []

    @field_validator("objectives")
    @classmethod
    def _objectives(cls, texts: list[str]) -> list[str]:
        return [str(Objective.parse(text)) for text in texts]

    @field_validator("limits")
    @classmethod
    def _limits(cls, texts: list[str]) -> list[str]:
        return [str(Limit.parse(text)) for text in texts]

    @field_validator("sampler")
    @classmethod
    def _sampler(cls, name: str) -> str:
        if name not in NAMES:
            raise unknown("sampler", name, NAMES)
        return name

    @field_validator("gpus_per_trial", mode="before")
    @classmethod
    def _gpus_per_trial(cls, given: Any) -> Any:
        try:
            return float(given) if isinstance(given, str) and given != "auto" else given
        except ValueError:
            raise InputError(f"gpus_per_trial {given!r}: a number or auto is expected") from None

    @field_validator("resources", mode="before")
    @classmethod
    def _resources(cls, given: Any) -> Any:
        return parse_resources(given) if isinstance(given, list) else given

    @field_validator("proxies")
    @classmethod
    def _proxies(cls, texts: list[str]) -> list[str]:
        return list(chosen(texts))

    @field_validator("epochs")
    @classmethod
    def _epochs(cls, text: str) -> str:
        parse_epochs(text)
        return text

    @model_validator(mode="before")
    @classmethod
    def _own_evaluations_have_one_budget(cls, given: Any) -> Any:
        """Unless the epochs are said: who does not look at the budget would only do the same again at each rung."""
        if isinstance(given, dict) and given.get("evaluate") is not None:
            return {"epochs": "10", **given}
        return given

    @model_validator(mode="after")
    def _climbable(self) -> Self:
        if len(self.rungs.levels) > 1:
            return self
        for name in ("rung_resolution", "factor"):
            if name in self.model_fields_set and (given := getattr(self, name)) is not None:
                raise InputError(f"{name} {given}: there are no rungs to rise on; epochs MIN:MAX make some")
        return self

    @property
    def rungs(self) -> Rungs:
        """Of its budgets, as far as they are known without the data. Raises: InputError."""
        return Rungs(*self.epoch_range, self.factor, self.brackets, self.rung_subset)

    def rung_scale(self, full: int) -> float:
        """Side of the images at the first rung relative to the full one, in pixels. Raises: InputError."""
        if self.rung_resolution is None:
            return 1.0
        if self.rung_resolution >= full:
            raise InputError(
                f"rung_resolution {self.rung_resolution}: less than the {full} pixels of the full budget is expected"
            )
        return self.rung_resolution / full

    @property
    def at_once(self) -> dict[str, Any]:
        """The changes by which every trial gets the full budget at once."""
        return {"epochs": str(self.rungs.full), "brackets": 1, "rung_subset": 1.0, "rung_resolution": None}

    @property
    def epoch_range(self) -> tuple[int, int]:
        """(smallest, full) budget."""
        return parse_epochs(self.epochs)


def parse_epochs(text: str) -> tuple[int, int]:
    """From "MIN:MAX", or from "MAX" for the full budget alone. Raises: InputError."""
    low, colon, high = text.partition(":")
    try:
        epochs = (int(low), int(high)) if colon else (int(low), int(low))
    except ValueError:
        epochs = (0, 0)
    if not 1 <= epochs[0] <= epochs[1]:
        raise InputError(f"epochs {text!r}: MIN:MAX with 1 <= MIN <= MAX is expected, as in 1:10, or MAX")
    return epochs


def parse_resources(texts: Sequence[str]) -> dict[str, float]:
    """From ["A100=0.25", ...]. Raises: InputError."""
    found = {}
    for text in texts:
        name, _, amount = text.rpartition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            name = ""
        if not name:
            raise InputError(f"resources {text!r}: NAME=AMOUNT is expected, as in A100=0.25")
    return found


def read_config(path: Path | None, overrides: dict[str, Any]) -> SearchConfig:
    """The file's settings with `overrides` on top. Raises: InputError naming file and key."""
    settings: dict[str, Any] = {}
    where = str(path) if path else "command line"
    if path is not None:
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise InputError(f"{path}: larger than 1 MB, no search file is")
            settings = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not TOML: {error}") from error
    try:
        return SearchConfig(**{**settings, **overrides})
    except ValidationError as error:
        raise InputError("; ".join(_told(where, fault) for fault in error.errors())) from None


def _told(where: str, fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        from difflib import get_close_matches

        near = get_close_matches(key, SearchConfig.model_fields, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{where}: unknown key {key!r}; {hint}known: {', '.join(SearchConfig.model_fields)}"
    if fault["type"] == "value_error":
        return f"{where}: {fault['ctx']['error']}"
    return f"{where}: {key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}"
