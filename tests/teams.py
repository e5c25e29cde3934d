"""A member of a team that trains together, as a process of its own: `nas.team` without Ray."""

import multiprocessing

import torch
import torch.distributed as dist

from nas.team import ALONE, Team
from nas.training import Trainer


def weights_of(candidate, data, recipe, budget, team=ALONE):
    """Metrics and averaged weights after training to the budget."""
    trainer = Trainer(candidate, data, recipe, budget, team=team)
    metrics = trainer.run(lambda step, metrics: None)
    return {**metrics, **trainer.measured("test")}, trainer.average.module.state_dict()


def member(rank, size, meeting, into, jobs):
    """Leaves what it came to in a file of its own."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    found = [weights_of(*job, Team(rank, size)) for job in jobs]
    torch.save(found, into / f"{rank}.pt")
    dist.destroy_process_group()


def train_as_team(size, folder, jobs):
    """What each member came to: metrics and weights for each of the jobs, which are done one after the other."""
    context = multiprocessing.get_context("spawn")
    members = [
        context.Process(target=member, args=(rank, size, folder / "meeting", folder, jobs)) for rank in range(size)
    ]
    for each in members:
        each.start()
    for each in members:
        each.join()
    assert [each.exitcode for each in members] == [0] * size
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]
