"""Train a network to a budget: resumable to the epoch, judged by its averaged weights on the validation images."""

from __future__ import annotations

import dataclasses
import gc
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel

from nas import checkpoint
from nas.architecture import Architecture
from nas.augment import Preprocess
from nas.data import ImageData
from nas.errors import ArchitectureError, Diverged, InputError, OutOfMemory
from nas.inheriting import NETWORK, begin_with
from nas.jobs import Budget, Report
from nas.memory import ON_DEVICE, measured_at_once
from nas.mixing import Mixing
from nas.model import Backbone, build
from nas.recipe import Recipe
from nas.shortage import out_of_memory
from nas.team import ALONE, Team

log = logging.getLogger(__name__)

SMALLEST_SPLIT = 4  # images in a batch that is taken apart: a batch norm needs two


@dataclasses.dataclass(frozen=True)
class TrainAndValidate:
    """The built-in `evaluate`: train on the training images, measure on the validation images."""

    data: ImageData
    recipe: Recipe

    def __call__(self, candidate: Architecture, budget: Budget, report: Report) -> dict[str, float]:
        """Train to `budget.stop`, saving to `budget.checkpoint` each epoch; accuracy and loss on validation.

        It goes on from the checkpoint that is there; without one it begins at the first epoch, whatever `budget.start`.
        So it does where the weights in it have other shapes, as a position table or a token MLP has for smaller images;
        the metric `anew` counts how often. The first epoch begins with what the network has in common with the one in
        `budget.parent`, if that is said; the metric `inherited` is the share of its parameters that this gave it. What
        was reported up to `budget.start` is not reported again.

        Raises: Diverged, OutOfMemory, InputError.
        """
        try:
            return Trainer(candidate, self.data, self.recipe, budget).run(report)
        except (RuntimeError, MemoryError, OSError) as error:
            if reason := out_of_memory(error):
                raise OutOfMemory(reason) from error
            raise


class Trainer:
    """One candidate's training. All randomness comes from (seed, epoch), so a resumed run repeats an unbroken one.

    An epoch that runs out of memory is begun once more with every batch in two parts whose gradients are added up: the
    same batch and learning rate for the optimizer, about half the activations. It stays so for the rest of the trial,
    its later attempts included, and the metrics say it (`batch_split`: 2). Such a result is close to, not equal to,
    that of whole batches: batch norms see half a batch at a time and move their running statistics twice as often, and
    drop path draws anew for each part. A second shortage is `OutOfMemory`.

    A team trains by the same batches: all draw the same images, augmented and mixed alike, and each takes its part.
    Without batch norms and drop path the numbers are those of one process up to rounding. Nothing is split there.
    """

    model: Backbone
    joined: nn.Module
    average: AveragedModel
    optimizer: torch.optim.AdamW

    def __init__(
        self,
        candidate: Architecture,
        data: ImageData,
        recipe: Recipe,
        budget: Budget,
        *,
        initial: Mapping[str, Tensor] | None = None,
        team: Team = ALONE,
    ) -> None:
        """`initial` are weights to begin with. Raises: InputError when they do not fit, or a team is too large."""
        self.candidate, self.data, self.recipe, self.budget = candidate, data, recipe, budget
        self.initial, self.team = initial, team
        self.device = torch.device(budget.device)
        self.folder = Path(budget.checkpoint)
        self.side = side_for(candidate, data.resolution, budget.scale)
        self.images = Images(data, "train", self.device, recipe.subset * budget.share)
        whole = share_of(data.counts["train"], recipe.subset)
        self.batch = min(recipe.batch(whole), len(self.images))  # one for all rungs, as the learning rate is
        if self.batch < team.size:
            raise InputError(f"batches of {self.batch} images have no part for each of {team.size} workers")
        self.preprocess = Preprocess(data, recipe.augment, self.side, recipe.erase).to(self.device)
        self.mixing = Mixing.of(recipe, len(data.classes))
        self.told: dict[str, float] = {}  # of every epoch, where something is not as usual
        if budget.share < 1:
            self.told["images"] = float(len(self.images))
        if self.side < data.resolution:
            self.told["side"] = float(self.side)
        self.split = 1
        self._begin()

    def _begin(self) -> None:
        """Untrained, with the weights of the seed or those to begin with."""
        torch.manual_seed(self.budget.seed)
        self.model = build(
            self.candidate,
            in_channels=self.data.channels,
            num_classes=len(self.data.classes),
            resolution=self.side,
            drop_path=self.recipe.drop_path,
            init=self.recipe.init,
        ).to(self.device)
        if self.initial is not None:
            if not _fits(self.initial, self.model):
                raise InputError("the weights to begin with are of another network, or for images of another size")
            self.model.load_state_dict(self.initial)
        self.average = AveragedModel(self.model, multi_avg_fn=self._average_into, use_buffers=True)
        self.joined = self.team.joined(self.model)
        self.optimizer = adamw(self.model, self.recipe)
        self.epoch = self.passes = 0
        self.metrics: dict[str, float] = {}

    def run(self, report: Report) -> dict[str, float]:
        """Train from the checkpoint, or from the start, to the budget."""
        self._resume()
        self._agree()
        while self.epoch < self.budget.stop:
            started = time.monotonic()
            metrics = self._epoch()
            self.epoch += 1
            self.metrics = {**metrics, **self.told, "epoch_seconds": time.monotonic() - started}
            if self.split > 1:
                self.metrics["batch_split"] = float(self.split)
            if self.team.leads:
                self._save()
            if self.epoch > self.budget.start:
                report(self.epoch, self.metrics)
        return self.metrics

    def _epoch(self) -> dict[str, float]:
        """Train and measure; out of memory with whole batches, once more with halves. Raises: Diverged, OutOfMemory."""
        while True:
            try:
                return self._train_and_measure()
            except (RuntimeError, MemoryError, OSError) as error:
                reason = out_of_memory(error)
                if reason is None:
                    raise
                if self.split > 1 or self.batch < SMALLEST_SPLIT or self.team.size > 1:
                    raise OutOfMemory(f"{reason} (batches of {self.batch} images in {self.split} part(s))") from error
            # only here are the frames of the failed step gone, and the activations that they held
            log.info("epoch %d: %s; begun again with batches in two parts", self.epoch + 1, reason)
            self._split()

    def _split(self) -> None:
        """Back to where the epoch began, in less memory."""
        del self.model, self.joined, self.average, self.optimizer
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._begin()
        self._resume()
        self.split = 2

    def _agree(self) -> None:
        """Raises: InputError where the members of a team have come to different epochs."""
        if not self.team.agree(self.epoch, self.device):
            raise InputError(
                f"the workers do not see the same checkpoint in {self.folder}; --checkpoints names a directory that "
                f"all of them share"
            )

    def _train_and_measure(self) -> dict[str, float]:
        train_loss = self._train_epoch()
        return {**self.measured("validation"), "train_loss": train_loss}

    def measured(self, split: str) -> dict[str, float]:
        """Accuracy and loss of the averaged weights on a split. Raises: Diverged."""
        self.team.align(self.average)
        at_once = measured_at_once(self.device.type) // self.split
        return measure(self.average.module, self.data, split, self.device, at_once, self.side, self.team)

    def _train_epoch(self) -> float:
        """The mean loss of an epoch. Raises: Diverged."""
        recipe, steps = self.recipe, max(1, len(self.images) // self.batch)
        torch.manual_seed(epoch_seed(self.budget.seed, self.epoch))
        self.model.train()
        self.preprocess.train()
        self.passes = 0
        total = torch.zeros((), device=self.device)
        for step, (images_BHWC, labels_B) in enumerate(self.images.shuffled(self.batch)):
            total += self.step(images_BHWC, labels_B, recipe.rate(self.epoch + step / steps))
        mean = float(self.team.total(total)) / steps
        if not math.isfinite(mean):
            raise Diverged(f"diverged in epoch {self.epoch + 1}: the training loss is {mean}")
        return mean

    def step(self, images_BHWC: Tensor, labels_B: Tensor, rate: float) -> Tensor:
        """One step of the optimizer at a learning rate; the loss, not waited for."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with precision(self.device):
            images_BCHW = self.preprocess(images_BHWC)  # whole, so that the augmentation draws the same for parts
        wanted, whole = labels_B, len(labels_B)
        if self.mixing is not None:
            images_BCHW, wanted = self.mixing(images_BCHW, labels_B)
        images_BCHW, wanted = self.team.part(images_BCHW), self.team.part(wanted)
        total = torch.zeros((), device=self.device)
        for part_BCHW, wanted_P in zip(images_BCHW.chunk(self.split), wanted.chunk(self.split), strict=True):
            with precision(self.device), self.team.apart(self.device, self.passes):
                logits_PK = self.joined(part_BCHW)
            self.passes += 1
            loss = cross_entropy(logits_PK.float(), wanted_P, label_smoothing=self.recipe.label_smoothing)
            loss = loss * (len(wanted_P) / whole)
            shared = loss * self.team.size  # a team's gradients are averaged, and these are parts of a mean
            shared.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        return total

    def _average_into(self, averaged: Any, current: Any, count: Tensor | int) -> None:
        """Exponential average whose decay rises with the steps, so that short trainings are not judged by noise."""
        if not torch.is_floating_point(averaged[0]):
            torch._foreach_copy_(averaged, current)
            return
        steps = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(self.recipe.ema, (1 + steps) / (10 + steps)))

    def _resume(self) -> None:
        state = checkpoint.load(self.folder)
        if state is None:
            if self.budget.start:
                log.warning("no checkpoint of epoch %d in %s: from the start", self.budget.start, self.folder)
            self._inherit()
            return
        self.split = int(state.get("split", 1))
        fits = _fits(state["model"], self.model)
        if anew := state["metrics"].get("anew", 0.0) + (not fits):
            self.told["anew"] = anew
        if (inherited := state["metrics"].get("inherited")) is not None:
            self.told["inherited"] = inherited if fits else 0.0
        if not fits:
            log.info("the weights of epoch %d in %s are for smaller images: anew", state["epoch"], self.folder)
            return
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.metrics = int(state["epoch"]), dict(state["metrics"])

    def _inherit(self) -> None:
        """From the parent, if there is one."""
        if self.budget.parent:
            self.told["inherited"] = begin_with(self.model, Path(self.budget.parent))
            self.average.module.load_state_dict(self.model.state_dict())

    def _save(self) -> None:
        state: dict[str, Any] = {
            "epoch": self.epoch,
            "split": self.split,
            "metrics": self.metrics,
            NETWORK: self.model.architecture.to_json(),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        checkpoint.save(self.folder, state, self.budget.attempt)


def side_for(candidate: Architecture, resolution: int, scale: float) -> int:
    """In pixels: the smallest one from `scale` of the full resolution on at which the network can be built."""
    for side in range(max(1, round(scale * resolution)), resolution):
        with suppress(ArchitectureError):
            candidate.at(side)
            return side
    return resolution


def share_of(images: int, share: float) -> int:
    """How many images a share of them is, 2 at least."""
    return max(2, round(images * share))


class Images:
    """The images of a split on their way to the device: all at once on a GPU, memory-mapped batches on a CPU.

    A subset holds every smaller one, and is the same for all networks.
    """

    def __init__(self, data: ImageData, split: str, device: torch.device, subset: float = 1.0) -> None:
        self.device = device
        images, labels = data.images(split), data.labels(split)
        count = share_of(len(labels), subset)
        self.rows = (
            np.arange(len(labels))
            if count >= len(labels)
            else np.random.default_rng(0).permutation(len(labels))[:count]
        )
        self.labels = torch.from_numpy(labels).to(device)
        resident = device.type != "cpu" and images.nbytes <= ON_DEVICE
        self.images = torch.from_numpy(np.array(images)).to(device) if resident else images

    def __len__(self) -> int:
        return len(self.rows)

    def shuffled(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Whole batches in an order drawn from torch's global generator; what is left over waits for another epoch."""
        rows = self.rows[torch.randperm(len(self.rows)).numpy()]
        for start in range(0, len(rows) - batch + 1, batch):
            yield self._take(rows[start : start + batch])

    def in_order(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images, the last batch possibly smaller."""
        for start in range(0, len(self.rows), batch):
            yield self._take(self.rows[start : start + batch])

    def _take(self, rows: Any) -> tuple[Tensor, Tensor]:
        index = torch.from_numpy(rows).to(self.device)
        if isinstance(self.images, Tensor):
            return self.images[index], self.labels[index]
        return torch.from_numpy(self.images[rows]).to(self.device), self.labels[index]


@torch.inference_mode()
def measure(
    model: nn.Module,
    data: ImageData,
    split: str,
    device: torch.device,
    at_once: int | None = None,
    side: int | None = None,
    team: Team = ALONE,
    subset: float = 1.0,
) -> dict[str, float]:
    """Accuracy and loss (cross-entropy, no smoothing) of `model` on a split, in evaluation mode, on images of `side`.

    `at_once` images go through it at a time (default: by the device); of a team each member measures a part of them.
    A `subset` is the same for all networks.

    Raises: Diverged when the loss is not finite.
    """
    was_training = model.training
    model.eval()
    preprocess = Preprocess(data, "none", side).to(device).eval()
    right, loss, images = 0.0, 0.0, Images(data, split, device, subset)
    count = len(images)
    images.rows = images.rows[team.rank :: team.size]
    for images_BHWC, labels_B in images.in_order(at_once or measured_at_once(device.type)):
        with precision(device):
            logits_BK = model(preprocess(images_BHWC)).float()
        right += float((logits_BK.argmax(1) == labels_B).sum())
        loss += float(cross_entropy(logits_BK, labels_B, reduction="sum"))
    model.train(was_training)
    right, loss = team.total(torch.tensor([right, loss], dtype=torch.float64, device=device)).tolist()
    if not math.isfinite(loss):
        raise Diverged(f"diverged: the {split} loss is {loss}")
    return {"accuracy": right / count, "loss": loss / count}


def precision(device: torch.device) -> torch.autocast:
    """bf16 on GPUs, float32 elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def adamw(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Weight decay on matrices and kernels only."""
    decayed = [weight for weight in model.parameters() if weight.ndim >= 2 and weight.shape[0] > 1]
    others = [weight for weight in model.parameters() if not (weight.ndim >= 2 and weight.shape[0] > 1)]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)


def _fits(weights: Mapping[str, Tensor], model: nn.Module) -> bool:
    """Whether they have the names and shapes that the model has."""
    return {name: each.shape for name, each in weights.items()} == {
        name: each.shape for name, each in model.state_dict().items()
    }


def epoch_seed(seed: int, epoch: int) -> int:
    """Of all that is random in an epoch."""
    return (seed * 1_000_003 + epoch * 7_919 + 1) % 2**63
