"""The training protocol: the schedule, its limits, its digest."""

import dataclasses

import pytest

from nas.errors import InputError
from nas.recipe import AUGMENTATIONS, Recipe


def epochs(start, stop, steps=200):
    return [start + (stop - start) * step / steps for step in range(steps + 1)]


def test_the_rate_warms_up_linearly_and_never_starts_at_zero():
    recipe = Recipe(epochs=10, warmup=2.0, lr=1e-2)

    rates = [recipe.rate(epoch) for epoch in (0, 0.5, 1.0, 1.5, 2.0)]

    assert 0 < rates[0] < 2e-4
    assert rates[1:] == pytest.approx([0.25e-2, 0.5e-2, 0.75e-2, 1e-2])


@pytest.mark.parametrize(("most", "least"), [(9, 1), (10, 3), (27, 9), (30, 20), (10, 9)])
def test_the_rate_is_held_after_the_warm_up_and_decays_only_after_decay_from(most, least):
    recipe = Recipe(epochs=most, held=least)

    held = {recipe.rate(epoch) for epoch in epochs(recipe.warmup, recipe.decay_from)}
    decaying = [recipe.rate(epoch) for epoch in epochs(recipe.decay_from, most)]

    assert held == {recipe.lr}
    assert decaying == sorted(decaying, reverse=True)
    assert recipe.rate(recipe.decay_from + 0.01) < recipe.lr
    assert decaying[-1] == pytest.approx(recipe.lr / 100)
    middle = (recipe.decay_from + most) / 2
    assert recipe.rate(middle) == pytest.approx(recipe.lr / 2)


@pytest.mark.parametrize(("most", "least"), [(9, 1), (10, 3), (27, 9), (30, 20), (10, 9), (2, 1)])
def test_the_first_rung_ends_before_the_rate_falls(most, least):
    recipe = Recipe(epochs=most, held=least)

    decay_from = recipe.decay_from

    assert least <= decay_from < most
    assert recipe.rate(least) == recipe.lr


@pytest.mark.parametrize("pause", [1, 3, 5, 9])
def test_a_trial_promoted_after_a_pause_has_the_rates_of_one_that_never_paused(pause):
    recipe, steps = Recipe(epochs=27, held=1), 7
    unbroken = [recipe.rate(step / steps) for step in range(27 * steps)]

    first = [recipe.rate(step / steps) for step in range(pause * steps)]
    promoted = dataclasses.replace(recipe)
    rest = [promoted.rate(pause + step / steps) for step in range((27 - pause) * steps)]

    assert [*first, *rest] == pytest.approx(unbroken, rel=1e-9)
    assert max(unbroken) == recipe.lr > min(unbroken)


def test_the_rate_is_positive_at_every_moment_of_any_budget():
    recipes = [Recipe(epochs=most, held=least) for most in (1, 2, 3, 10) for least in (1, most)]

    rates = [recipe.rate(epoch) for recipe in recipes for epoch in epochs(0, recipe.epochs)]

    assert all(0 < rate <= Recipe().lr for rate in rates)


@pytest.mark.parametrize(("images", "batch"), [(1, 16), (100, 16), (1079, 32), (4096, 128), (50_000, 128)])
def test_the_batch_size_grows_with_the_images_from_16_to_128(images, batch):
    recipe = Recipe()

    chosen = recipe.batch(images)

    assert chosen == batch


def test_a_given_batch_size_is_kept():
    recipe = Recipe(batch_size=50)

    sizes = {recipe.batch(images) for images in (1, 1000, 10**6)}

    assert sizes == {50}


def test_equal_recipes_have_equal_digests_and_every_field_counts():
    base = Recipe()
    changes = {
        "epochs": 11, "held": 2, "batch_size": 32, "lr": 1e-3, "weight_decay": 0.0, "warmup": 0.5, "label_smoothing": 0.0,
        "ema": 0.9, "clip": 2.0, "drop_path": 0.1, "augment": "none", "subset": 0.5,
        "schedule": "cosine", "mixup": 0.8, "cutmix": 1.0, "mix": 0.5, "erase": 0.25, "init": "jax",
    }  # fmt: skip

    digests = [Recipe(**{name: value}).digest for name, value in changes.items()]

    assert set(changes) == {field.name for field in dataclasses.fields(Recipe)}
    assert len({base.digest, *digests}) == len(changes) + 1
    assert Recipe().digest == base.digest
    assert len(base.digest) == 32


def test_equal_numbers_of_two_types_have_equal_digests():
    whole, real = Recipe(warmup=1, clip=1), Recipe(warmup=1.0, clip=1.0)

    digests = {whole.digest, real.digest}

    assert whole == real
    assert len(digests) == 1


def test_a_recipe_is_frozen():
    recipe = Recipe()

    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.lr = 1.0

    assert recipe.lr == 4e-3


@pytest.mark.parametrize("span", [(0, 10), (11, 10), (-1, 5), (1, 0)])
def test_a_rate_that_is_held_beyond_the_budget_or_before_its_beginning_is_refused(span):
    held, most = span

    with pytest.raises(InputError, match=rf"^held {held}, epochs {most}: 1 <= held <= epochs must hold$"):
        Recipe(held=held, epochs=most)


@pytest.mark.parametrize("name", ["subset", "lr", "ema"])
@pytest.mark.parametrize("value", [0, -0.1, 10.5, float("nan"), float("inf")])
def test_a_number_out_of_its_range_is_refused_by_its_name(name, value):
    fields = {name: value}

    with pytest.raises(InputError, match=rf"^{name} {value} is outside \(0, (1|10)\]$"):
        Recipe(**fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("label_smoothing", 1.0),
        ("label_smoothing", -0.1),
        ("drop_path", 1.0),
        ("drop_path", -0.1),
        ("weight_decay", -1.0),
        ("warmup", -1.0),
        ("clip", 0.0),
    ],
)
def test_a_number_that_would_break_training_is_refused_by_its_name(name, value):
    fields = {name: value}

    with pytest.raises(InputError, match=name.replace("_", "[ _]")):
        Recipe(**fields)


def test_a_negative_batch_size_is_refused():
    size = -1

    with pytest.raises(InputError, match=r"^batch size -1 is negative \(0 chooses one\)$"):
        Recipe(batch_size=size)


def test_an_unknown_augmentation_lists_the_known_ones():
    name = "cutmix"

    with pytest.raises(InputError, match=rf"^unknown augmentation 'cutmix'; known: {', '.join(AUGMENTATIONS)}$"):
        Recipe(augment=name)
