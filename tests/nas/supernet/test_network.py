"""The supernet holds every network of a space: what runs inside it runs alike outside."""

import functools
import random
import statistics

import pytest
import torch
from networks import network, patch, stage
from supernets import SMALL
from supernets import small as small_space

import search_spaces
from nas import Space, one_of
from nas.costs import cost
from nas.errors import SpaceError
from nas.mixers import Pooling
from nas.model import Backbone, build
from nas.supernet import Supernet
from nas.supernet import network as networks_of_a_supernet
from nas.supernet.envelope import covering, extreme
from nas.supernet.parts import parts


@pytest.fixture(scope="module")
def small():
    return Supernet(SMALL, in_channels=1, num_classes=5, resolution=8, seed=1).eval()


@functools.cache
def of_space(name, resolution):
    """It takes seconds to make one."""
    return Supernet(search_spaces.get(name, resolution), in_channels=1, num_classes=4, resolution=resolution).eval()


@pytest.mark.soak_when("thousands")
@pytest.mark.parametrize("many", [pytest.param(10, id="some"), pytest.param(1500, id="thousands")])
@pytest.mark.parametrize(
    ("name", "resolution"), [("metaformer", 14), ("cvt", 14), ("isotropic", 16), ("cvt13-nas", 32)]
)
@pytest.mark.slow
def test_a_candidate_inside_and_outside_gives_the_same_logits_in_every_space(name, resolution, many):
    space, supernet = search_spaces.get(name, resolution), of_space(name, resolution)
    images, rng = torch.randn(2, 1, resolution, resolution), random.Random(many)

    for _ in range(many):
        candidate = space.decode(space.sample(rng))
        with torch.inference_mode():
            inside, outside = supernet(images, candidate), supernet.extract(candidate)(images)
        assert (inside - outside).abs().max() <= 1e-5 * max(1.0, float(outside.abs().max())), candidate


@pytest.mark.soak_when("thousands")
@pytest.mark.parametrize(("many", "large"), [pytest.param(60, 1, id="some"), pytest.param(3000, 2, id="thousands")])
@pytest.mark.parametrize(("name", "resolution"), [("isotropic", 16), ("cvt", 14), ("metaformer", 14)])
@pytest.mark.slow
def test_every_candidate_finds_its_part_of_the_weights(name, resolution, many, large):
    space, supernet = search_spaces.get(name, large * resolution), of_space(name, large * resolution)
    rng = random.Random(0)
    shapes = {key: tuple(weight.shape) for key, weight in supernet.weights.items()}

    for number in range(many):
        candidate = space.decode(space.sample(rng) if number % 2 else space.uniform(rng))
        for part in parts(candidate, 1, 4):
            for _, slot, shape in part.named():
                assert all(mine <= whole for mine, whole in zip(shape, shapes[slot.key], strict=True)), slot.key


def test_the_largest_and_the_smallest_are_what_counting_all_finds(small):
    costs = {genome: cost(SMALL.decode(genome)).params for genome in SMALL}

    assert costs[extreme(SMALL, largest=True)] == max(costs.values())
    assert costs[extreme(SMALL, largest=False)] == min(costs.values())
    assert (small.largest, small.smallest) == tuple(
        SMALL.decode(extreme(SMALL, largest=each)) for each in (True, False)
    )


def test_within_limits_the_largest_is_the_largest_of_those():
    def thin(candidate):
        return candidate.stages[0].width <= 16

    assert SMALL.decode(extreme(SMALL, largest=True, fits=thin)).stages[0].width == 16
    with pytest.raises(SpaceError, match="within the limits"):
        extreme(SMALL, largest=True, fits=lambda _: False)


def test_every_option_of_every_choice_is_taken_by_a_network_of_the_cover():
    taken = {pair for genome in covering(SMALL) for pair in SMALL.params(genome).items()}

    assert taken == {(gene.path, option) for gene in SMALL.genes for option in gene.options}


def test_new_weights_of_networks_of_every_size_spread_as_those_that_build_makes():
    """Weights of wide layers are small, for their fan-in; a narrow network that began with such would lag behind."""
    space, rng = small_space(widths=(16, 48, 128)), random.Random(0)
    supernet, ratios = Supernet(space, num_classes=5, resolution=8), []

    for candidate in (supernet.smallest, supernet.largest, *(space.decode(space.sample(rng)) for _ in range(20))):
        torch.manual_seed(0)
        new = dict(build(candidate, num_classes=5, resolution=8).named_parameters())
        for name, inside in supernet.extract(candidate).named_parameters():
            assert inside.requires_grad is new[name].requires_grad
            if inside.ndim < 2:
                means = [float(each.detach().mean()) for each in (inside, new[name])]  # of norms 1, of biases about 0
                assert means[0] == pytest.approx(means[1], abs=0.1), name
            elif inside.numel() > 256:
                ratios.append(float((inside.std() / new[name].std()).detach()))

    assert statistics.median(ratios) == pytest.approx(1.1, abs=0.2)
    assert min(ratios) > 0.7
    assert max(ratios) < 2


def test_what_the_cover_lacks_is_held_where_it_is_drawn(monkeypatch):
    monkeypatch.setattr(networks_of_a_supernet, "covering", lambda space: [extreme(space, largest=True)])
    supernet, rng = Supernet(SMALL, num_classes=5, resolution=8), random.Random(0)

    mixers = set()
    for _ in range(30):
        candidate = SMALL.decode(SMALL.sample(rng))
        supernet.extract(candidate)
        mixers |= {type(block.mixer) for block in candidate.stages[0].blocks}

    assert len(mixers) == 3


def test_the_smallest_network_begins_as_build_makes_it():
    supernet = Supernet(small_space(widths=(16, 128)), num_classes=5, resolution=8)
    smallest = supernet.extract(supernet.smallest)

    assert isinstance(smallest, Backbone)
    assert float(smallest.get_parameter("classifier.weight").detach().std()) == pytest.approx(
        (2 / (16 + 5)) ** 0.5, rel=0.25
    )
    assert not smallest.get_parameter("classifier.bias").any()
    assert smallest.get_parameter("norm.weight").eq(1).all()


def test_the_seed_decides_the_weights_and_the_callers_draws_are_left_alone():
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    one, two, other = (Supernet(SMALL, num_classes=5, resolution=8, seed=seed) for seed in (3, 3, 4))

    assert torch.random.get_rng_state().equal(state)
    assert all(weight.equal(two.weights[key]) for key, weight in one.weights.items())
    assert not all(weight.equal(other.weights[key]) for key, weight in one.weights.items())


def test_gradients_reach_the_part_that_a_candidate_takes_and_nothing_else():
    supernet = Supernet(SMALL, in_channels=1, num_classes=5, resolution=8).train()
    candidate = SMALL.decode(SMALL.encode(network(stage(Pooling(), width=8, mlp_ratio=1), resolution=8)))
    supernet(torch.randn(4, 1, 8, 8), candidate).square().sum().backward()
    reached = {key: weight.grad for key, weight in supernet.weights.items() if weight.grad is not None}

    assert set(reached) == {slot.key for part in parts(candidate, 1, 5) for _, slot, _ in part.named()}
    classifier = next(grad for key, grad in reached.items() if key.startswith("classifier") and grad.ndim == 2)
    assert classifier[:, :8].any()
    assert not classifier[:, 8:].any()


def test_batch_norms_take_the_batch_in_training_and_keep_nothing(small):
    candidate = network(stage(Pooling(), width=8, mlp_ratio=1, norm="batch"), resolution=8)
    images = torch.randn(64, 1, 8, 8) * 3 + 5
    with torch.inference_mode():
        before = small(images, candidate)
        small.train()(images, candidate)
        assert small.eval()(images, candidate).equal(before)


def test_drop_path_is_there_only_where_it_is_asked_for():
    supernet = Supernet(SMALL, in_channels=1, num_classes=5, resolution=8).train()
    images = torch.randn(4, 1, 8, 8)

    with torch.inference_mode():
        assert supernet(images, supernet.largest).equal(supernet(images, supernet.largest))
        dropped = [supernet(images, supernet.largest, drop_path=0.9) for _ in range(2)]
    assert not dropped[0].equal(dropped[1])


def test_a_network_of_another_space_is_refused_by_what_it_wants(small):
    with pytest.raises(SpaceError, match=r"stages\.0\.0\.conv\.weight is 32x1x4x4, and there are some of 24x1x4x4"):
        small(torch.zeros(1, 1, 8, 8), network(stage(Pooling(), width=32), resolution=8))
    with pytest.raises(SpaceError, match=r"stages\.0\.1\.mix\.0\.weight is 8, and there are none"):
        small.extract(network(stage(Pooling(), width=8, norm="group"), resolution=8))


def test_what_a_supernet_cannot_hold_is_said():
    one, two = (network(*[stage(embedding=patch(2))] * depth, resolution=16) for depth in (1, 2))
    with pytest.raises(SpaceError, match="holds architectures, not dict"):
        Supernet(Space({"a": one_of(1, 2)}), resolution=8)
    with pytest.raises(SpaceError, match=r"images of one size: 32 px are wanted, and the space has networks for 8"):
        Supernet(SMALL, resolution=32)
    with pytest.raises(SpaceError, match="one number of stages; this space has some of 1 and some of 2"):
        Supernet(Space(one_of(one=one, two=two)), resolution=16)
