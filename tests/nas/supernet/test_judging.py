"""Networks judged by inherited weights: the statistics are their own, and the figures those of the network itself."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import network, stage
from supernets import SMALL, making_of, silent, small
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from trials import trial

from nas import checkpoint
from nas.augment import Preprocess
from nas.errors import InputError
from nas.export.weights import has_weights, trained_weights
from nas.jobs import Budget
from nas.mixers import Pooling, SeparableConv
from nas.supernet import files
from nas.supernet.judging import AT_ONCE, JudgeInherited, accuracies, calibrate, calibrated, judged, leave_weights
from nas.supernet.making import make
from nas.supernet.network import extracted
from nas.training import Images, measure

HERE = torch.device("cpu")
BATCH = network(stage(SeparableConv(kernel=3), width=16, mlp_ratio=1, norm="batch"), resolution=8)
LAYER = network(stage(Pooling(), width=8, mlp_ratio=2, norm="layer"), resolution=8)


@pytest.fixture(scope="module")
def file(digits, tmp_path_factory):
    return make(making_of(digits), tmp_path_factory.mktemp("supernet"), silent)


@pytest.fixture(scope="module")
def weights(file):
    return files.weights_of(file.path, file.digest)


def new(weights, candidate):
    return extracted(weights, candidate, in_channels=1, num_classes=10, resolution=8)


def inputs(digits, split, count):
    """Images as a network gets them, in order."""
    prepare = Preprocess(digits, "none").eval()
    return [prepare(images_BHWC) for images_BHWC, _ in Images(digits, split, HERE, 0.949).in_order(count)]


def test_statistics_are_the_mean_of_those_of_batches_counted_by_hand():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    before = copy.deepcopy(model.state_dict())
    batches = [torch.randn(5, 2, 4, 4) * 2 + 1, torch.randn(7, 2, 4, 4)]

    calibrate(model.train(), batches)

    with torch.no_grad():
        first = [model[0](batch).transpose(0, 1).flatten(1) for batch in batches]
        second = []
        for batch, here in zip(batches, first, strict=True):
            mean, variance = here.mean(1), here.var(1, correction=0)
            shape = (1, 3, 1, 1)
            normal = (model[0](batch) - mean.view(shape)) / (variance.view(shape) + model[1].eps).sqrt()
            second.append(model[3](model[2](normal)).transpose(0, 1).flatten(1))
    for norm, seen in ((model[1], first), (model[4], second)):
        torch.testing.assert_close(norm.running_mean, torch.stack([each.mean(1) for each in seen]).mean(0))
        torch.testing.assert_close(norm.running_var, torch.stack([each.var(1) for each in seen]).mean(0))
        assert norm.momentum == 0.1
    assert model.training
    assert all(value.equal(before[name]) for name, value in model.state_dict().items() if "running" not in name
               and "batches" not in name)  # fmt: skip


def test_a_networks_statistics_are_those_of_training_images_by_its_own_weights(digits, weights):
    wanted = new(weights, BATCH)
    calibrate(wanted, [batch for batch in inputs(digits, "train", AT_ONCE) if len(batch) > 1])

    model = calibrated(weights, BATCH, digits)

    assert not model.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, wanted.state_dict()[name])
    norm = next(module for module in model.modules() if isinstance(module, _BatchNorm))
    assert norm.running_mean.abs().max() > 0.01


def test_where_some_classes_are_told_apart_the_statistics_are_of_their_images(digits, weights):
    order = np.random.default_rng(0).permutation(digits.counts["train"])
    rows = order[np.isin(digits.labels("train")[order], [3, 5])]
    images = Images(digits, "train", HERE)
    images.rows = rows
    prepare, wanted = Preprocess(digits, "none").eval(), new(weights, BATCH)
    calibrate(wanted, [prepare(images_BHWC) for images_BHWC, _ in images.in_order(AT_ONCE)])

    found = calibrated(weights, BATCH, digits, classes=(5, 3)).state_dict()

    assert len(rows) < AT_ONCE
    for name, value in wanted.state_dict().items():
        torch.testing.assert_close(found[name], value)


def test_a_network_without_batch_norm_is_what_the_supernet_holds(digits, weights):
    wanted = new(weights, LAYER).state_dict()

    assert all(value.equal(wanted[name]) for name, value in calibrated(weights, LAYER, digits).state_dict().items())


def test_with_statistics_of_its_own_a_network_is_what_was_trained_and_with_new_ones_another(digits, weights):
    """What calibrating is for: in training its batch norms took the statistics of each batch."""
    (images_BCHW, *_) = inputs(digits, "train", AT_ONCE)
    with torch.inference_mode():
        trained_BK = new(weights, BATCH).train()(images_BCHW)
        own, without = (
            model.eval()(images_BCHW) for model in (calibrated(weights, BATCH, digits), new(weights, BATCH))
        )

    assert (own - trained_BK).abs().mean() < 0.25 * (without - trained_BK).abs().mean()


@pytest.mark.parametrize("candidate", [BATCH, LAYER], ids=["batch", "layer"])
def test_it_is_judged_as_the_network_by_itself_is_measured(digits, file, weights, candidate, tmp_path):
    found = JudgeInherited(digits, file)(candidate, Budget(0, 1, 3, "cpu", str(tmp_path)), silent)
    alone = measure(calibrated(weights, candidate, digits), digits, "validation", HERE)

    assert found == {**alone, "inherited": 1.0}
    assert not [*tmp_path.iterdir()]


def test_on_some_images_it_is_judged_as_on_those_and_all_networks_on_the_same(digits, file, weights, tmp_path):
    order = np.random.default_rng(0).permutation(digits.counts["validation"])
    images, labels = digits.images("validation")[order[:150]], digits.labels("validation")[order[:150]]
    prepare = Preprocess(digits, "none").eval()

    for candidate in (BATCH, LAYER):
        found = JudgeInherited(digits, file, 150)(candidate, Budget(0, 1, 3, "cpu", str(tmp_path)), silent)
        with torch.inference_mode():
            said = calibrated(weights, candidate, digits)(prepare(torch.from_numpy(images))).argmax(1).numpy()
        assert found["accuracy"] == pytest.approx((said == labels).mean())


def test_on_more_images_than_there_are_it_is_judged_on_all(digits, weights):
    model = calibrated(weights, LAYER, digits)

    assert judged(model, digits, images=10**6) == judged(model, digits) == measure(model, digits, "validation", HERE)


def test_accuracy_of_each_class_is_what_counting_says(digits, weights):
    model = calibrated(weights, BATCH, digits)
    with torch.inference_mode():
        logits = torch.cat(
            [
                model(Preprocess(digits, "none").eval()(each))
                for each, _ in Images(digits, "validation", HERE).in_order(99)
            ]
        ).numpy()
    labels = np.asarray(digits.labels("validation"))

    def counted(classes):
        of_these = [row for row, label in enumerate(labels) if label in classes]
        right = {label: [] for label in classes}
        for row in of_these:
            said = max(classes, key=lambda label: logits[row, label])
            right[labels[row]].append(said == labels[row])
        return [sum(right[label]) / len(right[label]) for label in classes]

    assert accuracies(model, digits) == pytest.approx(counted([*range(10)]))
    assert accuracies(model, digits, classes=(8, 1, 5)) == pytest.approx(counted([8, 1, 5]))
    overall = measure(model, digits, "validation", HERE)["accuracy"]
    shares = [float((labels == label).mean()) for label in range(10)]
    assert sum(a * b for a, b in zip(accuracies(model, digits), shares, strict=True)) == pytest.approx(overall)


def test_among_few_classes_more_is_right(digits, weights):
    model = calibrated(weights, BATCH, digits)

    assert accuracies(model, digits, classes=(4,)) == [1.0]
    assert all(
        few >= many for few, many in zip(accuracies(model, digits, classes=(3, 6)),
                                         [accuracies(model, digits)[each] for each in (3, 6)], strict=True)
    )  # fmt: skip


def test_a_network_of_another_space_a_changed_and_a_lost_file_are_said(digits, file, tmp_path):
    budget = Budget(0, 1, 3, "cpu", str(tmp_path))
    wide = network(stage(Pooling(), width=64), resolution=8)

    with pytest.raises(InputError, match=r"not a network of this supernet: .* 64"):
        JudgeInherited(digits, file)(wide, budget, silent)
    with pytest.raises(InputError, match="has changed: its digest was 00"):
        JudgeInherited(digits, dataclasses.replace(file, digest="00"))(LAYER, budget, silent)
    with pytest.raises(InputError, match="gone: No such file"):
        JudgeInherited(digits, dataclasses.replace(file, path=str(tmp_path / "gone")))(LAYER, budget, silent)


def test_weights_that_are_left_are_those_of_a_trial(digits, file, weights, tmp_path):
    judged = trial(0)
    judged = dataclasses.replace(
        judged, candidate=BATCH, budget=dataclasses.replace(judged.budget, checkpoint=str(tmp_path))
    )
    assert not has_weights(judged)

    leave_weights(file, BATCH, digits, Path(judged.budget.checkpoint))

    wanted = calibrated(weights, BATCH, digits).state_dict()
    assert has_weights(judged)
    for found in (trained_weights(judged), checkpoint.averaged(tmp_path)):
        assert found.keys() == wanted.keys()
        assert all(value.equal(wanted[name]) for name, value in found.items())


def test_a_space_whose_networks_have_two_norms_only_recalibrates_the_one(digits, tmp_path):
    layers = small(Pooling(), norms=("layer",), depths=(1,))
    file = make(making_of(digits, space=layers), tmp_path, silent)

    assert not any(isinstance(module, _BatchNorm)
                   for module in calibrated(files.weights_of(file.path, file.digest), LAYER, digits).modules())  # fmt: skip
    assert SMALL.digest != layers.digest
