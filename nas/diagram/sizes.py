"""Which classes and channels a network was counted with, read off its counts: a trial keeps no more than those."""

from __future__ import annotations

from collections.abc import Mapping

from nas.architecture import Architecture
from nas.costs import cost

CHANNELS = range(1, 17)


def classes_and_channels(architecture: Architecture, costs: Mapping[str, float]) -> tuple[int, int] | None:
    """Outputs of the classifier and channels of the images by which `costs` has these params and macs.

    Parameters grow by w + 1 and MACs by w with each class (w: what the last linear layer takes), so that no two
    answers have both counts; None where there is no answer or a count is not known.
    """
    if "params" not in costs or "macs" not in costs:
        return None
    wanted = (int(costs["params"]), int(costs["macs"]))
    each = cost(architecture, num_classes=2).params - cost(architecture, num_classes=1).params
    for channels in CHANNELS:
        least = cost(architecture, num_classes=1, in_channels=channels).params
        classes, rest = divmod(wanted[0] - least, each)
        if rest or classes < 0:
            continue
        found = cost(architecture, num_classes=classes + 1, in_channels=channels)
        if (found.params, found.macs) == wanted:
            return classes + 1, channels
    return None
