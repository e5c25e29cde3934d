"""Published recipes for training a network fully, by name, scaled to the size of the data.

The sources train on ImageNet-1k for 300 epochs. What is scaled:

* Batches have the size that the number of images allows (16 to 128). The learning rate follows by the square root of
  the ratio, the rule for optimizers with adaptive steps (Malladi et al. 2022, arXiv 2205.10287), and not in proportion,
  as the sources have it for batches of 512 and more: that would starve batches of 32.
* The warm-up takes the same share of the epochs as in the source, one epoch at least where there are some.
* The averaged weights are those of `Recipe` (decay 0.998): the sources average over more steps than small data have.

Not taken over: repeated augmentation, LAMB, colour jitter, cool-down epochs, dropout before the classifier, the
drop path that grows within CvT's last stage alone, and rates and warm-ups that rise with the size of the network.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from nas.errors import unknown
from nas.recipe import Recipe

SMALLEST_WARMUP = 1.0  # epochs
LARGEST_WARMUP = 0.2  # share of the epochs


@dataclasses.dataclass(frozen=True)
class Published:
    """A recipe of somebody's.

    Attributes:
        source: where it is described. lr: for batches of `batch`; 0: for all that are chosen. warmup: share of epochs.
        fields: of `Recipe`, that are the same for all data.
    """

    source: str
    lr: float
    batch: int
    warmup: float
    fields: Mapping[str, Any]


FIELD: dict[str, Any] = {
    "schedule": "cosine",
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "drop_path": 0.1,
    "augment": "rand",
    "mixup": 0.8,
    "cutmix": 1.0,
    "erase": 0.25,
}  # on which the sources agree

PUBLISHED: Mapping[str, Published] = {
    "deit": Published("Touvron et al. 2021, arXiv 2012.12877, table 9", 1e-3, 1024, 5 / 300, FIELD),
    "metaformer": Published("Yu et al. 2022, arXiv 2111.11418, section 4.1", 4e-3, 4096, 5 / 300, FIELD),
    "cvt": Published("Wu et al. 2021, arXiv 2103.15808, by the authors' settings file", 2e-3, 2048, 5 / 300, FIELD),
    "small": Published(
        "of this project",
        4e-3,
        0,
        1 / 20,
        {"schedule": "cosine", "drop_path": 0.05, "mixup": 0.2, "cutmix": 1.0, "mix": 0.5},
    ),
}
RECIPES = ("small", "search", *(name for name in PUBLISHED if name != "small"))


def recipe_for(name: str, images: int, epochs: int, search: Recipe | None = None, **changes: Any) -> Recipe:
    """The recipe called `name` for so many training images and epochs; `changes` are fields of it that are said.

    "deit": Touvron et al., Training data-efficient image transformers (2021), table 9. "metaformer": Yu et al.,
    MetaFormer is actually what you need for vision (2022), section 4.1. "cvt": Wu et al., CvT (2021), with the learning
    rate of the authors' settings file, a tenth of what the paper prints. "small": for images of 8 to 32 pixels, ours.
    "search": that of the search (`search`, by default `Recipe`), over these epochs and all images.

    Raises: InputError for an unknown name, or a field that is outside its range.
    """
    if name == "search":
        return dataclasses.replace(search or Recipe(), **{"epochs": epochs, "held": 1, "subset": 1.0, **changes})
    if name not in PUBLISHED:
        raise unknown("recipe", name, RECIPES)
    published = PUBLISHED[name]
    fields = {**published.fields, **changes}
    batch = Recipe(batch_size=fields.get("batch_size", 0)).batch(images)
    warmup = min(max(SMALLEST_WARMUP, published.warmup * epochs), LARGEST_WARMUP * epochs)
    lr = published.lr * (math.sqrt(batch / published.batch) if published.batch else 1.0)
    return Recipe(**{"epochs": epochs, "lr": float(f"{lr:.3g}"), "warmup": round(warmup, 3), **fields})
