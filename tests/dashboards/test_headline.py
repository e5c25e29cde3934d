"""The best and how far it is ahead, computed by hand."""

import pytest
from accounts import TRAINED, account, record, trial

from dashboards.headline import headline
from nas.companions import BASELINE, CONFIRM, PUBLISHED
from nas.intervals import wilson
from nas.trial import State


def test_an_empty_study_and_one_over_its_limits_have_no_winner_and_say_why():
    assert headline(account([])).why_none == "none of 0 trials is complete"
    over = headline(account([trial(0, accuracy=0.5, params=9.0)], limits=["params<=5"]))
    assert over.winner is None
    assert over.why_none == "no trial keeps params<=5; the nearest is trial 0 with params=9"


def test_one_training_has_wilsons_interval_and_no_rival():
    found = headline(account([trial(0, accuracy=342 / 359)], **TRAINED))

    assert (found.winner.trial, found.winner.value.kind, found.images) == (0, "images", 359)
    assert (found.winner.value.low, found.winner.value.high) == wilson(342, 359)
    assert found.others == found.gains == ()


def test_an_evaluation_of_ones_own_has_no_interval():
    found = headline(account([trial(0, accuracy=0.5), trial(1, accuracy=0.25, origin="random")]))

    assert (found.winner.value.kind, found.winner.value.low) == ("none", None)
    assert [(gain.over, gain.value, gain.low, gain.rests_on) for gain in found.gains] == [
        ("random", 0.25, None, "no interval: one training")
    ]


def test_of_a_metric_to_be_small_a_smaller_one_is_a_gain():
    trials = [trial(0, loss=0.5, origin="random"), trial(1, loss=0.2)]

    found = headline(account(trials, objectives=["loss:min"]))

    assert found.winner.trial == 1
    assert found.gains[0].value == pytest.approx(0.3)


def replicates(name, of, rows):
    """A study of `nas confirm`: genomes are the network's and which seed."""
    trials = [trial(index, genome=(*genome, seed), accuracy=value) for index, (genome, seed, value) in enumerate(rows)]
    return record(trials, name=name, confirms=of.name, of=of.settings)


def test_with_fresh_seeds_the_best_mean_wins_and_both_are_compared_seed_by_seed():
    trials = [trial(0, accuracy=0.9), trial(1, accuracy=0.8), trial(2, accuracy=0.1, origin="random")]
    study = record(trials)
    random = record([trial(0, accuracy=0.85, origin="random")], name="demo.baseline")
    again = replicates("demo.confirm", study, [((0,), 0, 0.5), ((0,), 1, 0.7), ((1,), 0, 0.7), ((1,), 1, 0.8)])
    theirs = replicates("demo.baseline.confirm", random, [((0,), 0, 0.5), ((0,), 1, 0.7)])
    beside = {BASELINE: random, CONFIRM: again, BASELINE + CONFIRM: theirs}

    found = headline(account(trials, companions=beside))

    assert (found.winner.trial, found.first.trial) == (1, 0)
    assert (found.winner.value.value, found.winner.value.kind) == (pytest.approx(0.75), "replicates")
    (gain,) = found.gains
    half = 12.7062 * 0.05  # t of one degree of freedom, times s / sqrt(2) of 0.2 and 0.1
    assert gain.value == pytest.approx(0.15)
    assert (gain.low, gain.high) == (pytest.approx(0.15 - half, abs=1e-4), pytest.approx(0.15 + half, abs=1e-4))
    assert gain.ahead is False


def test_replicates_of_a_study_that_is_another_one_now_do_not_count():
    trials = [trial(0, accuracy=0.9)]
    again = replicates("demo.confirm", record(trials, limits=["macs<=1"]), [((0,), 0, 0.5), ((0,), 1, 0.7)])

    assert headline(account(trials, companions={CONFIRM: again})).winner.replicates == {}


def test_published_families_stand_beside_best_first():
    mine = [trial(0, accuracy=0.9), trial(1, accuracy=0.4, origin="start")]
    families = record([trial(0, accuracy=0.6), trial(1, accuracy=0.8), trial(2, State.FAIL)], name="demo.published")

    found = headline(account(mine, companions={PUBLISHED: families}, **TRAINED))

    assert [(each.study, each.trial) for each in found.others] == [("demo.published", 1), ("demo.published", 0)]
    assert found.gains[0].over == "published"
    assert found.gains[0].value == pytest.approx(0.1)


def test_without_them_the_best_start_stands_for_them_unless_it_is_the_winner():
    trials = [trial(0, accuracy=0.5, origin="start"), trial(1, accuracy=0.75)]

    assert [gain.rival.trial for gain in headline(account(trials, **TRAINED)).gains] == [0]
    assert headline(account(trials[:1], **TRAINED)).gains == ()
    assert headline(account(trials)).gains == ()


def test_a_random_search_is_not_compared_with_itself():
    found = headline(account([trial(0, accuracy=0.5, origin="random"), trial(1, accuracy=0.7, origin="random")]))

    assert found.drawn
    assert found.gains == found.others == ()


def test_the_race_is_over_as_many_trainings_of_each():
    mine = [trial(0, accuracy=0.2), trial(1, accuracy=0.6), trial(2, accuracy=0.9)]
    random = record([trial(0, accuracy=0.5), trial(1, accuracy=0.4)], name="demo.baseline")

    race = headline(account(mine, companions={BASELINE: random})).race

    assert (race.trainings, race.ours, race.random, race.reached) == (2, 0.6, 0.5, 2)
