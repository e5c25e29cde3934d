"""No mixing at all: what MetaFormer calls IdentityFormer (arXiv 2111.11418 table 5, 2210.13452)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from nas.mixers.base import Mixer
from nas.tally import Place, Tally

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity(Mixer):
    """Tokens stay as they are; only the MLP works."""

    kind: ClassVar[str] = "identity"
    takes_class_token: ClassVar[bool] = True

    def cost_at(self, place: Place) -> Tally:  # noqa: ARG002 - the signature is the contract's
        """Nothing."""
        return Tally()

    def module(self, place: Place) -> nn.Module:  # noqa: ARG002 - the signature is the contract's
        """`torch.nn.Identity`."""
        from torch import nn

        return nn.Identity()
