"""The published recipes by name, and what of them is scaled to the data."""

import dataclasses
import math

import pytest

from nas.errors import InputError
from nas.recipe import LATER, Recipe
from nas.recipes import PUBLISHED, RECIPES, recipe_for


def test_fields_that_came_later_are_left_out_while_they_have_their_default():
    plain, later = Recipe(), Recipe(schedule="cosine", mixup=0.8)

    assert not set(LATER) & set(plain.as_dict())
    assert later.as_dict().keys() - plain.as_dict().keys() == {"schedule", "mixup"}
    assert Recipe(**later.as_dict()) == later


def test_the_digest_of_a_recipe_of_old_is_what_it_was():
    digests = Recipe().digest, Recipe(epochs=30, lr=1e-3, augment="shift").digest

    assert digests == ("61f8f72cf95d22d71e1c9a72ba35d458", "7f011ca51eba1b1045f0b49dbbe6f3fc")


@pytest.mark.parametrize("name", [name for name, published in PUBLISHED.items() if published.batch])
def test_the_rate_follows_the_root_of_the_batch_and_the_warm_up_the_epochs(name):
    published = PUBLISHED[name]

    large = recipe_for(name, 10**6, 300, batch_size=published.batch)
    small = recipe_for(name, 10**6, 300, batch_size=published.batch // 4)
    short = recipe_for(name, 10**6, 4)

    assert large.lr == pytest.approx(published.lr, rel=1e-2)
    assert small.lr == pytest.approx(published.lr / 2, rel=1e-2)
    assert large.warmup == pytest.approx(300 * published.warmup)
    assert short.warmup == pytest.approx(0.8)
    assert large.schedule == "cosine"
    assert large.cutmix == 1.0


def test_what_is_said_goes_before_what_is_published():
    recipe = recipe_for("deit", 1000, 20, lr=3e-3, mixup=0.0, drop_path=0.2, schedule="linear")

    assert (recipe.lr, recipe.mixup, recipe.drop_path, recipe.schedule) == (3e-3, 0.0, 0.2, "linear")
    assert (recipe.cutmix, recipe.augment) == (1.0, "rand")


def test_the_recipe_of_the_search_is_the_same_over_other_epochs():
    search = Recipe(epochs=9, held=3, lr=1e-3, augment="shift")

    recipe = recipe_for("search", 1000, 50, search, weight_decay=0.1)

    assert recipe == dataclasses.replace(search, epochs=50, held=1, weight_decay=0.1)


def test_an_unknown_recipe_lists_the_known_ones():
    name = "diet"

    with pytest.raises(InputError, match=rf"unknown recipe 'diet': did you mean deit\? known: {', '.join(RECIPES)}"):
        recipe_for(name, 1000, 10)


@pytest.mark.parametrize(("schedule", "middle"), [("linear", 0.5), ("cosine", 0.5)])
def test_the_rate_falls_from_the_warm_up_to_a_hundredth(schedule, middle):
    recipe = Recipe(epochs=20, warmup=2.0, lr=1e-2, schedule=schedule)

    rates = [recipe.rate(2 + 18 * step / 100) for step in range(101)]

    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(1e-2)
    assert rates[50] == pytest.approx(1e-2 * middle)
    assert rates[-1] == pytest.approx(1e-4)
    assert recipe.rate(1.0) == pytest.approx(5e-3)


def test_the_cosine_is_above_the_line_first_and_below_it_later():
    line, curve = (Recipe(epochs=10, warmup=0.0, schedule=each) for each in ("linear", "cosine"))

    assert curve.rate(2.5) / curve.lr == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert curve.rate(2.5) > line.rate(2.5)
    assert curve.rate(7.5) < line.rate(7.5)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"schedule": "step"}, r"^unknown schedule 'step'; known: held, linear, cosine$"),
        ({"init": "zeros"}, r"^unknown initialisation 'zeros'; known: xavier, "),
        ({"mixup": -1.0}, r"^mixup -1 is outside \[0, 1e\+09\)$"),
        ({"erase": 1.5}, r"^erase 1.5 is outside \[0, 1\]$"),
        ({"mix": float("nan")}, r"^mix nan is outside \[0, 1\]$"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(fields, told):
    with pytest.raises(InputError, match=told):
        Recipe(**fields)


def test_the_recipe_of_a_search_over_a_part_of_the_images_is_that_over_all_of_them():
    assert recipe_for("search", 1000, 100, Recipe(subset=0.2)).subset == 1
