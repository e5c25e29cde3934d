"""Training a supernet: whom it trains, by what, and that it goes on as if it had never stopped."""

import random

import pytest
import torch
from networks import stage
from supernets import SMALL, silent, small
from teams import steps_of, train_as_team
from torch.nn.functional import cross_entropy

from nas import Space, of, one_of
from nas.architecture import Architecture, Stage
from nas.errors import Diverged, InputError
from nas.mixers import Pooling, SeparableConv
from nas.recipe import Recipe
from nas.supernet import Supernet
from nas.supernet.plan import TrainingPlan
from nas.supernet.training import SupernetTrainer

FIELDS = {"epochs": 3, "subset": 0.1, "batch_size": 36, "schedule": "cosine", "warmup": 0.5, "clip": 1e9}
PLAN = TrainingPlan(recipe=Recipe(**FIELDS, augment="none"))


def trainer(digits, folder, plan=PLAN, space=SMALL, kind=Supernet, **options):
    supernet = kind(space, in_channels=1, num_classes=10, resolution=8, seed=2)
    return SupernetTrainer(supernet, digits, plan, folder, **options)


def prepared(training):
    """A batch of it: what the network is given, and the labels; and the images as they come."""
    torch.manual_seed(5)
    images_BHWC, labels_B = next(training.images.shuffled(training.batch))
    return images_BHWC, training.preprocess.train()(images_BHWC), labels_B


def gradients(training):
    return {name: each.grad for name, each in training.supernet.weights.items() if each.grad is not None}


def by_hand(training, losses):
    """Gradients of the mean of losses, and the weights that have none."""
    weights = dict(training.supernet.weights.items())
    found = torch.autograd.grad(sum(losses) / len(losses), list(weights.values()), allow_unused=True)
    return {name: each for name, each in zip(weights, found, strict=True) if each is not None}


def assert_alike(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_resumed_training_is_an_unbroken_one_to_the_last_bit(digits, tmp_path):
    plan = TrainingPlan(recipe=Recipe(**FIELDS, drop_path=0.3, erase=0.25))
    reported, rest = [], []
    unbroken, begun, resumed = (trainer(digits, tmp_path / name, plan) for name in ("unbroken", "broken", "broken"))

    unbroken.run(lambda epoch, metrics: reported.append((epoch, metrics["train_loss"])))
    begun.run(silent, stop=1)
    resumed.run(lambda epoch, metrics: rest.append((epoch, metrics["train_loss"])))

    assert rest == reported[1:]
    assert [epoch for epoch, _ in reported] == [1, 2, 3]
    assert all(value.equal(resumed.averaged()[name]) for name, value in unbroken.averaged().items())
    assert all(value.equal(resumed.supernet.weights[name]) for name, value in unbroken.supernet.weights.items())
    assert (resumed.steps, resumed.passes) == (unbroken.steps, unbroken.passes) == (9, 36)
    assert resumed.seconds > begun.seconds > 0


def test_training_to_the_end_again_trains_nothing(digits, tmp_path):
    trainer(digits, tmp_path).run(silent, stop=1)
    again, reported = trainer(digits, tmp_path), []

    again.run(lambda epoch, metrics: reported.append(epoch), stop=1)

    assert (reported, again.epoch) == ([], 1)


def test_by_the_sandwich_all_but_the_largest_learn_what_the_largest_says(digits, tmp_path):
    training = trainer(digits, tmp_path)
    images_BHWC, images_BCHW, labels_B = prepared(training)
    between = [SMALL.decode(SMALL.sample(rng)) for rng in [random.Random(7)] for _ in range(2)]
    largest, *others = [
        training.supernet.train()(images_BCHW, each)
        for each in (training.supernet.largest, training.supernet.smallest, *between)
    ]
    says = largest.detach().softmax(dim=1)
    wanted = by_hand(
        training,
        [cross_entropy(largest, labels_B, label_smoothing=0.1), *(cross_entropy(each, says) for each in others)],
    )

    loss = training.step(images_BHWC, labels_B, 1e-3, random.Random(7))

    assert_alike(gradients(training), wanted)
    told = torch.stack([cross_entropy(each, labels_B) for each in (largest, *others)]).mean()
    assert float(loss) == pytest.approx(float(told.detach()), rel=1e-4)


def test_by_uniform_sampling_networks_that_are_drawn_learn_the_labels(digits, tmp_path):
    training = trainer(digits, tmp_path, TrainingPlan(recipe=PLAN.recipe, sampling="uniform", at_once=2))
    images_BHWC, images_BCHW, labels_B = prepared(training)
    drawn = [SMALL.decode(SMALL.sample(rng)) for rng in [random.Random(8)] for _ in range(2)]
    losses = [
        cross_entropy(training.supernet.train()(images_BCHW, each), labels_B, label_smoothing=0.1) for each in drawn
    ]
    wanted = by_hand(training, losses)

    training.step(images_BHWC, labels_B, 1e-3, random.Random(8))

    assert_alike(gradients(training), wanted)
    assert training.passes == 2


def test_what_is_drawn_and_the_ends_can_be_those_of_a_part_of_the_space(digits, tmp_path):
    one, two = (SMALL.decode(SMALL.sample(random.Random(seed))) for seed in (1, 2))
    training = trainer(digits, tmp_path, draw=lambda rng: two, ends=(one, two), kind=Recording)
    training.step(*next(training.images.shuffled(36)), 1e-3, random.Random(0))

    assert [candidate for candidate, _ in training.supernet.run] == [one, two, two, two]


class Recording(Supernet):
    """Keeps what it was asked to run."""

    def forward(self, x_BCHW, candidate, *, drop_path=0.0):
        """As it is, and noted."""
        self.run = [*getattr(self, "run", []), (candidate, drop_path)]
        return super().forward(x_BCHW, candidate, drop_path=drop_path)


def test_drop_path_is_the_largest_networks_alone(digits, tmp_path):
    plan = TrainingPlan(recipe=Recipe(**FIELDS, drop_path=0.3))
    training = trainer(digits, tmp_path, plan, kind=Recording)

    training.run(silent, stop=1)

    largest = [rate for candidate, rate in training.supernet.run[::4] if candidate == training.supernet.largest]
    assert largest == [0.3] * 3
    assert {rate for number, (_, rate) in enumerate(training.supernet.run) if number % 4} == {0.0}


def test_of_some_classes_only_their_images_are_seen_and_only_they_are_told_apart(digits, tmp_path):
    training = trainer(digits, tmp_path, classes=(7, 2, 5))
    classifier = [name for name in training.supernet.weights if name.startswith("classifier")]
    before = {name: training.supernet.weights[name].detach().clone() for name in classifier}
    images_BHWC, images_BCHW, labels_B = prepared(training)
    logits_BK = training.supernet.train()(images_BCHW, training.supernet.largest)[:, [2, 5, 7]]
    place = {2: 0, 5: 1, 7: 2}

    assert {int(digits.labels("train")[row]) for row in training.images.rows} == {2, 5, 7}
    assert 0 < len(training.images) < 60

    training.plan = TrainingPlan(recipe=PLAN.recipe, sampling="uniform", at_once=1)
    training.draw = lambda rng: training.supernet.largest
    loss = training.step(images_BHWC, labels_B, 1e-3, random.Random(0))

    labels = torch.tensor([place[int(label)] for label in labels_B])
    assert float(loss) == pytest.approx(float(cross_entropy(logits_BK, labels).detach()), rel=1e-4)
    others = [0, 1, 3, 4, 6, 8, 9]
    for name in classifier:
        grad = training.supernet.weights[name].grad
        assert not grad[others].any()
        assert grad[[2, 5, 7]].any()
    bias = next(name for name in classifier if before[name].ndim == 1)
    assert training.supernet.weights[bias][others].equal(before[bias][others])


def test_classes_without_images_are_refused(digits, tmp_path):
    few = TrainingPlan(recipe=Recipe(**{**FIELDS, "subset": 0.002}, augment="none"))
    seen = {int(label) for label in digits.labels("train")[trainer(digits, tmp_path, few).images.rows]}
    unseen = min({*range(10)} - seen)

    with pytest.raises(InputError, match=f"no image of the classes {unseen} is among those to train on"):
        trainer(digits, tmp_path, few, classes=(unseen,))


@pytest.mark.slow
def test_what_is_judged_is_an_average_of_every_eighth_step_whose_decay_rises_with_them(digits, tmp_path):
    training = trainer(digits, tmp_path)
    begun = {name: each.clone() for name, each in training.averaged().items()}
    wanted = begun

    for step in range(1, 17):
        training.step(*next(training.images.shuffled(36)), 4e-3, random.Random(step))
        if step % 8 == 0:
            decay = min(0.998, (1 + step) / (10 + step)) ** 8
            now = {name: each.detach() for name, each in training.supernet.weights.items()}
            wanted = {name: decay * each + (1 - decay) * now[name] for name, each in wanted.items()}

    for name, each in training.averaged().items():
        torch.testing.assert_close(each, wanted[name])
    assert not any(each.equal(begun[name]) or each.equal(now[name]) for name, each in wanted.items() if each.ndim > 1)


def test_the_last_steps_of_an_epoch_are_averaged_too(digits, tmp_path):
    training = trainer(digits, tmp_path)
    begun = {name: each.clone() for name, each in training.averaged().items()}

    training.run(silent, stop=1)

    decay = (4 / 13) ** 3
    assert training.steps == training.averaged_at == 3
    for name, each in training.averaged().items():
        torch.testing.assert_close(each, decay * begun[name] + (1 - decay) * training.supernet.weights[name].detach())


@pytest.mark.slow
def test_a_supernet_that_diverges_says_so_and_leaves_the_checkpoint_before(digits, tmp_path):
    trainer(digits, tmp_path).run(silent, stop=1)
    training = trainer(digits, tmp_path)
    training.resume()
    with torch.no_grad():
        next(iter(training.supernet.weights.values())).fill_(float("nan"))
    training.resume = lambda: None

    with pytest.raises(Diverged, match="the supernet diverged in epoch 2: the training loss is nan"):
        training.run(silent)

    after = trainer(digits, tmp_path)
    after.resume()
    assert after.epoch == 1
    assert all(each.isfinite().all() for each in after.averaged().values())


def test_the_checkpoint_of_another_supernet_is_refused(digits, tmp_path):
    trainer(digits, tmp_path).run(silent, stop=1)
    wider = Space(of(Architecture, resolution=8, stages=(of(Stage, embedding=stage().embedding, width=one_of(8, 32),
                  blocks=stage(Pooling()).blocks),)))  # fmt: skip

    with pytest.raises(InputError, match="holds the checkpoint of another supernet; another directory is needed"):
        trainer(digits, tmp_path, space=wider).run(silent)


def test_a_checkpoint_of_one_network_is_refused(digits, tmp_path):
    torch.save({"epoch": 1, "metrics": {}, "average": {"module.norm.weight": torch.ones(8)}}, tmp_path / "state.pt")

    with pytest.raises(InputError, match="holds the checkpoint of another supernet"):
        trainer(digits, tmp_path).run(silent)


def test_a_team_larger_than_a_batch_is_refused(digits, tmp_path):
    from nas.team import Team

    with pytest.raises(InputError, match="batches of 36 images have no part for each of 37 workers"):
        trainer(digits, tmp_path, team=Team(0, 37))


@pytest.mark.slow
def test_two_processes_come_to_the_gradients_of_one(digits, tmp_path):
    plain = small(of(SeparableConv, kernel=one_of(3, 5)), Pooling(), norms=("layer",), depths=(1, 2))
    (tmp_path / "alone").mkdir()
    jobs = [(plain, digits, PLAN, tmp_path / "team")]
    (first,), (second,) = train_as_team(2, tmp_path, jobs, steps_of)
    alone = steps_of(plain, digits, PLAN, tmp_path / "alone")

    assert_alike(first["gradients"], alone["gradients"])
    assert first["gradients"].keys() == second["gradients"].keys()
    assert all(each.equal(second["gradients"][name]) for name, each in first["gradients"].items())
    assert all(each.equal(second["average"][name]) for name, each in first["average"].items())
    assert first["losses"] == second["losses"]
    assert first["losses"] == pytest.approx(alone["losses"], abs=1e-3)
    assert first["epoch"] == second["epoch"] == alone["epoch"] == 2
    assert [path.name for path in (tmp_path / "team").iterdir()] == ["state.pt"]
