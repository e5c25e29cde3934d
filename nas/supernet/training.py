"""Training a supernet: several networks a step, resumable to the epoch, alone or shared by a team."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nas import checkpoint
from nas.architecture import Architecture
from nas.augment import Preprocess
from nas.data import ImageData
from nas.errors import Diverged, InputError
from nas.jobs import Metrics, Report
from nas.supernet.network import Supernet
from nas.supernet.plan import TrainingPlan
from nas.team import ALONE, Team
from nas.training import Images, adamw, epoch_seed, precision

AVERAGED_EVERY = 8  # steps: averaging all weights of a large space takes as long as a step of a small network

Draw = Callable[[random.Random], Architecture]
"""A network of the space, drawn at random: within the limits of a search, or of a space that has shrunk."""


class SupernetTrainer:
    """A training of the weights that all networks of a space share.

    All randomness comes from (seed, epoch): a resumed training repeats an unbroken one where `draw` does. What is
    judged later are averaged weights, as of a single network. A team draws the same images and networks; each takes its
    part of every batch, and gradients are added up over it.

    Attributes:
        epoch: epochs done. steps, passes: of the optimizer, and of single networks forward and back. seconds: spent.
        average: the averaged weights by slot, as of step `averaged_at`: every eighth, and the last of each epoch.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: ImageData,
        plan: TrainingPlan,
        folder: Path,
        *,
        draw: Draw | None = None,
        ends: tuple[Architecture, Architecture] | None = None,
        classes: Sequence[int] | None = None,
        seed: int = 0,
        device: str = "cpu",
        team: Team = ALONE,
    ) -> None:
        """`ends` are the largest and the smallest network of what is drawn from (default: of the space).

        `classes` are those whose images are trained on, and told apart (default: all); checkpoints go to `folder`.
        """
        self.supernet, self.data, self.plan, self.folder = supernet.to(device), data, plan, folder
        self.draw = draw or (lambda rng: supernet.space.decode(supernet.space.sample(rng)))
        self.ends = ends or (supernet.largest, supernet.smallest)
        self.seed, self.device, self.team = seed, torch.device(device), team
        self.images = Images(data, "train", self.device, plan.recipe.subset)
        self.classes: Tensor | None = None
        if classes is not None and len(classes) < len(data.classes):
            self._restrict(sorted(classes))
        self.batch = min(plan.recipe.batch(len(self.images)), len(self.images))
        if self.batch < team.size:
            raise InputError(f"batches of {self.batch} images have no part for each of {team.size} workers")
        self.preprocess = Preprocess(data, plan.recipe.augment, None, plan.recipe.erase).to(self.device)
        self.optimizer = adamw(supernet, plan.recipe)
        self.average = {name: each.detach().clone() for name, each in supernet.weights.items()}
        self.epoch = self.steps = self.averaged_at = self.passes = 0
        self.seconds = 0.0

    def _restrict(self, classes: list[int]) -> None:
        """To the images of some classes, told apart among themselves."""
        kept = np.isin(self.data.labels("train")[self.images.rows], classes)
        if not kept.any():
            raise InputError(f"no image of the classes {', '.join(map(str, classes))} is among those to train on")
        self.images.rows = self.images.rows[kept]
        self.classes = torch.tensor(classes, device=self.device)
        self.place = torch.full((len(self.data.classes),), -1, device=self.device)
        self.place[self.classes] = torch.arange(len(classes), device=self.device)

    def run(self, report: Report, stop: int | None = None) -> None:
        """Train from the checkpoint, or from the start, to `stop` epochs (default: all of the plan's).

        Reports the loss and the seconds of each epoch. Raises: Diverged, InputError for a checkpoint of another
        supernet.
        """
        self.resume()
        if not self.team.agree(self.epoch, self.device):
            raise InputError(
                f"the workers do not see the same checkpoint in {self.folder}; --checkpoints names a directory that "
                f"all of them share"
            )
        while self.epoch < (self.plan.recipe.epochs if stop is None else stop):
            started = time.monotonic()
            metrics = self._train_epoch()
            self.epoch += 1
            self.seconds += time.monotonic() - started
            if self.team.leads:
                self.save()
            self.team.wait(self.device)  # whoever begins from the checkpoint finds it
            report(self.epoch, {**metrics, "epoch_seconds": time.monotonic() - started})

    def _train_epoch(self) -> Metrics:
        steps = max(1, len(self.images) // self.batch)
        torch.manual_seed(epoch_seed(self.seed, self.epoch))
        rng = random.Random(epoch_seed(self.seed, self.epoch))
        self.supernet.train()
        self.preprocess.train()
        total = torch.zeros((), device=self.device)
        for step, (images_BHWC, labels_B) in enumerate(self.images.shuffled(self.batch)):
            total += self.step(images_BHWC, labels_B, self.plan.recipe.rate(self.epoch + step / steps), rng)
        self._average()  # of the steps since the last one
        mean = float(self.team.total(total)) / steps
        if not math.isfinite(mean):
            raise Diverged(f"the supernet diverged in epoch {self.epoch + 1}: the training loss is {mean}")
        return {"train_loss": mean}

    def step(self, images_BHWC: Tensor, labels_B: Tensor, rate: float, rng: random.Random) -> Tensor:
        """One step of the optimizer over some networks; the mean loss by the labels, not waited for."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with precision(self.device):
            images_BCHW = self.preprocess(images_BHWC)
        whole = len(labels_B)
        images_BCHW, labels_B = self.team.part(images_BCHW), self.team.part(labels_B)
        if self.classes is not None:
            labels_B = self.place[labels_B]
        wanted: Tensor = labels_B
        total = torch.zeros((), device=self.device)
        networks = self._networks(rng)
        for network in networks:
            logits_BK = self._logits(network, images_BCHW)
            loss = cross_entropy(logits_BK, wanted, label_smoothing=0 if wanted.ndim > 1 else self._smoothing)
            (loss * (len(labels_B) / whole / len(networks))).backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                total += cross_entropy(logits_BK, labels_B) * (len(labels_B) / whole / len(networks))
            if self.plan.sampling == "sandwich" and network is networks[0]:
                wanted = logits_BK.detach().softmax(dim=1)
        self._add_up()
        nn.utils.clip_grad_norm_(self.supernet.parameters(), self.plan.recipe.clip)
        self.optimizer.step()
        self.steps += 1
        self.passes += len(networks)
        if self.steps % AVERAGED_EVERY == 0:
            self._average()
        return total

    @property
    def _smoothing(self) -> float:
        return self.plan.recipe.label_smoothing

    def _networks(self, rng: random.Random) -> list[Architecture]:
        if self.plan.sampling == "uniform":
            return [self.draw(rng) for _ in range(self.plan.at_once)]
        return [*self.ends, *(self.draw(rng) for _ in range(self.plan.at_once - 2))]

    def _logits(self, network: Architecture, images_BCHW: Tensor) -> Tensor:
        rate = self.plan.recipe.drop_path if network is self.ends[0] else 0.0
        with precision(self.device), self.team.apart(self.device, self.passes):
            logits_BK: Tensor = self.supernet(images_BCHW, network, drop_path=rate).float()
        return logits_BK if self.classes is None else logits_BK[:, self.classes]

    def _add_up(self) -> None:
        """Gradients over the team: each is of its part of the mean."""
        if self.team.size == 1:
            return
        grads = [weight.grad for weight in self.supernet.parameters() if weight.grad is not None]
        flat = self.team.total(torch.cat([grad.flatten() for grad in grads]))
        for grad, mine in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
            grad.copy_(mine.view_as(grad))

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.plan.recipe.ema, (1 + self.steps) / (10 + self.steps)) ** (self.steps - self.averaged_at)
        mine = [weight.detach() for weight in self.supernet.weights.values()]
        torch._foreach_lerp_([*self.average.values()], mine, 1 - decay)
        self.averaged_at = self.steps

    def resume(self) -> None:
        """Take up the checkpoint in the folder, where there is one. Raises: InputError for one of another supernet."""
        state = checkpoint.load(self.folder)
        if state is None:
            return
        shapes = {name: tuple(each.shape) for name, each in self.average.items()}
        if {name: tuple(each.shape) for name, each in state["average"].items()} != shapes:
            raise InputError(f"{self.folder} holds the checkpoint of another supernet; another directory is needed")
        self.supernet.load_state_dict(state["supernet"])
        self.average = {name: each.to(self.device) for name, each in state["average"].items()}
        self.epoch, self.steps = int(state["epoch"]), int(state["steps"])
        self.averaged_at = self.steps
        self.passes, self.seconds = int(state["passes"]), float(state["seconds"])
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self) -> None:
        """Write the checkpoint, whole or not at all. Raises: OSError."""
        state: dict[str, Any] = {
            "epoch": self.epoch,
            "steps": self.steps,
            "passes": self.passes,
            "seconds": self.seconds,
            "supernet": self.supernet.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        checkpoint.save(self.folder, state)

    def averaged(self) -> Mapping[str, Tensor]:
        """The averaged weights by slot, on the CPU."""
        return {name: each.detach().cpu() for name, each in self.average.items()}
