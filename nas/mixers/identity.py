"""No mixing at all: what MetaFormer calls IdentityFormer (arXiv 2111.11418 table 5, 2210.13452)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from nas.mixers.base import Mixer
from nas.tally import Place, Tally


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity(Mixer):
    """Tokens stay as they are; only the MLP works."""

    kind: ClassVar[str] = "identity"
    takes_class_token: ClassVar[bool] = True

    def cost_at(self, place: Place) -> Tally:  # noqa: ARG002 - the signature is the contract's
        """Nothing."""
        return Tally()
