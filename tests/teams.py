"""A member of a team that trains together, as a process of its own: `nas.team` without Ray."""

import multiprocessing
import random

import torch
import torch.distributed as dist

from nas.supernet import Supernet
from nas.supernet.training import SupernetTrainer
from nas.team import ALONE, Team
from nas.training import Trainer


def weights_of(candidate, data, recipe, budget, team=ALONE):
    """Metrics and averaged weights after training to the budget."""
    trainer = Trainer(candidate, data, recipe, budget, team=team)
    metrics = trainer.run(lambda step, metrics: None)
    return {**metrics, **trainer.measured("test")}, trainer.average.module.state_dict()


def steps_of(space, data, plan, folder, team=ALONE):
    """Gradients of a first step of a supernet, then the loss of two epochs, the second begun from the checkpoint."""
    losses = []
    for stop in (0, 1, 2):
        supernet = Supernet(space, in_channels=data.channels, num_classes=len(data.classes), resolution=data.resolution)
        training = SupernetTrainer(supernet, data, plan, folder, team=team)
        if stop == 0:
            torch.manual_seed(0)
            training.step(*next(training.images.shuffled(training.batch)), 1e-3, random.Random(0))
            gradients = {name: each.grad for name, each in supernet.weights.items() if each.grad is not None}
        training.run(lambda epoch, metrics: losses.append(metrics["train_loss"]), stop)
    return {"gradients": gradients, "losses": losses, "epoch": training.epoch, "average": dict(training.averaged())}


def member(rank, size, meeting, into, jobs, run):
    """Leaves what it came to in a file of its own."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    found = [run(*job, Team(rank, size)) for job in jobs]
    torch.save(found, into / f"{rank}.pt")
    dist.destroy_process_group()


def train_as_team(size, folder, jobs, run=weights_of):
    """What each member came to for each of the jobs, which are done one after the other: what `run` says of it."""
    context = multiprocessing.get_context("spawn")
    members = [
        context.Process(target=member, args=(rank, size, folder / "meeting", folder, jobs, run)) for rank in range(size)
    ]
    for each in members:
        each.start()
    for each in members:
        each.join()
    assert [each.exitcode for each in members] == [0] * size
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]
