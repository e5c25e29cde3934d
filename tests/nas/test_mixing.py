"""Mixup and CutMix: shares of images and labels are the same shares."""

import pytest
import torch

from nas.mixing import Mixing
from nas.recipe import Recipe

LABELS = torch.arange(8) % 4


def batch():
    """Images that are all of one value: their label."""
    return LABELS.float().view(-1, 1, 1, 1).expand(-1, 1, 16, 16).contiguous(), LABELS


def values(labels_BK):
    return labels_BK @ torch.arange(4).float()


@pytest.mark.parametrize("fields", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
@pytest.mark.parametrize("seed", range(5))
def test_labels_have_the_shares_that_the_images_have(fields, seed):
    torch.manual_seed(seed)
    mixing = Mixing.of(Recipe(**fields), 4)

    images_BCHW, labels_BK = mixing(*batch())

    assert images_BCHW.mean(dim=(1, 2, 3)) == pytest.approx(values(labels_BK), abs=1e-5)
    assert labels_BK.sum(1) == pytest.approx(torch.ones(8))


def test_mixup_blends_and_cutmix_cuts():
    torch.manual_seed(3)

    blended, _ = Mixing(0.8, 0.0, 1.0, 4)(*batch())
    cut, _ = Mixing(0.0, 1.0, 1.0, 4)(*batch())

    assert all(len(image.unique()) == 1 for image in blended)
    assert len(blended.unique()) > 4
    assert {*cut.unique().tolist()} <= {0.0, 1.0, 2.0, 3.0}
    assert any(len(image.unique()) == 2 for image in cut)


def test_of_both_each_batch_takes_one_or_the_other():
    torch.manual_seed(0)
    mixing = Mixing(0.8, 1.0, 1.0, 4)

    kinds = {all(len(image.unique()) == 1 for image in mixing(*batch())[0]) for _ in range(20)}

    assert kinds == {True, False}


def test_a_batch_in_two_is_mixed_with_probability_a_half_and_draws_are_as_many():
    torch.manual_seed(0)
    images_BCHW, labels_B = batch()
    mixing = Mixing(0.8, 0.0, 0.5, 4)

    same = [torch.equal(mixing(images_BCHW, labels_B)[0], images_BCHW) for _ in range(200)]
    torch.manual_seed(1)
    Mixing(0.8, 0.0, 1.0, 4)(images_BCHW, labels_B)
    after = torch.rand(1)
    torch.manual_seed(1)
    Mixing(0.8, 0.0, 1e-9, 4)(images_BCHW, labels_B)

    assert 70 < sum(same) < 130
    assert torch.equal(torch.rand(1), after)


def test_a_recipe_without_mixing_mixes_nothing():
    recipes = [Recipe(), Recipe(mixup=0.8, mix=0.0)]

    assert [Mixing.of(recipe, 10) for recipe in recipes] == [None, None]
