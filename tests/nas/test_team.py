"""A network trained by two processes is the one that a single process trains."""

import dataclasses

import pytest
import torch
from networks import network, stage
from teams import train_as_team, weights_of

from nas.errors import InputError
from nas.jobs import Budget
from nas.mixers import SeparableConv
from nas.recipe import Recipe
from nas.team import Team
from nas.training import Trainer

RECIPE = Recipe(epochs=3, batch_size=30, subset=0.1, schedule="cosine", mixup=0.2, cutmix=1.0, erase=0.25)


def small(**fields):
    """No parameter whose gradient is 0 but for rounding: Adam would make steps of that."""
    return network(
        stage(SeparableConv(kernel=3), SeparableConv(kernel=5), width=16, mlp_ratio=2, **fields), resolution=8
    )


def budget(folder, stop=3):
    folder.mkdir(exist_ok=True)
    return Budget(0, stop, 5, "cpu", str(folder))


@pytest.fixture(scope="module")
def team(digits, tmp_path_factory):
    """Two processes that train three networks: anew, on from one process, with batch norm; and the last's folder."""
    folder = tmp_path_factory.mktemp("team")
    weights_of(small(norm="layer"), digits, RECIPE, budget(folder / "on", stop=1))
    dropping = dataclasses.replace(RECIPE, drop_path=0.2)
    jobs = [
        (small(norm="layer"), digits, RECIPE, budget(folder / "anew")),
        (small(norm="layer"), digits, RECIPE, budget(folder / "on", stop=2)),
        (small(norm="batch"), digits, dropping, budget(folder / "batch")),
    ]
    return [*zip(*train_as_team(2, folder, jobs), strict=True)], folder


@pytest.fixture(scope="module")
def alone(digits, tmp_path_factory):
    """The first of them by one process."""
    return weights_of(small(norm="layer"), digits, RECIPE, budget(tmp_path_factory.mktemp("alone")))


@pytest.mark.slow
def test_two_processes_come_to_the_numbers_of_one_up_to_rounding(team, alone):
    first, second = team[0][0]

    for name, value in alone[1].items():
        torch.testing.assert_close(first[1][name], value, rtol=1e-3, atol=1e-4)
        assert torch.equal(first[1][name], second[1][name])
    for name in ("loss", "train_loss", "accuracy"):
        assert first[0][name] == pytest.approx(alone[0][name], abs=1e-3)
        assert first[0][name] == second[0][name]


def test_a_team_goes_on_where_one_process_stopped_and_one_where_a_team_did(team, alone, digits):
    folder = team[1] / "on"

    rest, _ = weights_of(small(norm="layer"), digits, RECIPE, budget(folder))

    assert rest["loss"] == pytest.approx(alone[0]["loss"], abs=1e-3)
    assert [path.name for path in folder.iterdir()] == ["state.pt"]


def test_with_batch_norm_and_drop_path_all_are_judged_by_the_leaders_network(team):
    first, second = team[0][2]

    assert first[0]["loss"] == second[0]["loss"]
    assert all(torch.equal(value, second[1][name]) for name, value in first[1].items())


def test_parts_of_a_batch_are_disjoint_and_all_of_it():
    batch = torch.arange(11)

    parts = [Team(rank, 3).part(batch) for rank in range(3)]

    assert torch.equal(torch.cat(parts), batch)
    assert {len(part) for part in parts} == {3, 4}


def test_a_team_larger_than_a_batch_is_refused(digits, tmp_path):
    with pytest.raises(InputError, match="batches of 30 images have no part for each of 31 workers"):
        Trainer(small(), digits, RECIPE, budget(tmp_path), team=Team(0, 31))


def test_draws_apart_differ_from_step_to_step_and_leave_the_shared_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    draws = []
    for step in range(3):
        with Team(0, 2).apart(torch.device("cpu"), step):
            draws.append(torch.rand(()).item())

    assert len(set(draws)) == 3
    assert torch.equal(torch.get_rng_state(), before)
