"""What a dry run says that a search will take."""

import json

import pytest

from nas.pace import Pace

PACE = Pace(step=0.5, steps=8, forward=3)  # an epoch: 4 s of training, 1.5 s of looking at the validation images
SEARCH = ["search", "--dry-run", "--limit", "params<=1e5", "--epochs", "3", "--trials", "40", "--workers", "2"]
JUDGED = [*SEARCH, "--weights", "supernet", "--supernet-epochs", "10"]


@pytest.fixture(autouse=True)
def at_one_pace(one_thread, monkeypatch):
    monkeypatch.setattr("nas.pace.pace", lambda *asked: PACE)


def estimate(nas, *options):
    code, out, _ = nas(*options, "--json")
    assert code == 0
    return json.loads(out)


def test_trained_trials_count_with_all_their_epochs(nas):
    told = estimate(nas, *SEARCH)

    assert (told["trial_seconds"], told["search_seconds"]) == (3 * 5.5, 20 * 3 * 5.5)
    assert "supernet_seconds" not in told


def test_a_supernet_costs_four_networks_a_step_judging_a_look_and_what_is_trained_after_it_all_its_epochs(
    nas, digits, tmp_path
):
    told = estimate(nas, *JUDGED, "--retrain", "2", "--spread", "3")

    assert told["supernet_seconds"] == 10 * 4 * 4
    assert told["trial_seconds"] == pytest.approx(1.5 * (1 + 1024 / digits.counts["validation"]))
    assert told["training_seconds"] == 3 * 5.5
    assert told["search_seconds"] == pytest.approx(160 + 20 * told["trial_seconds"] + 2.5 * 3 * 5.5)
    assert list(tmp_path.iterdir()) == []


def test_judging_takes_as_long_as_its_images_say(nas, digits):
    told = estimate(nas, *JUDGED, "--judge-images", "100")

    assert told["trial_seconds"] == pytest.approx(1.5 * (100 + 1024) / digits.counts["validation"])


def test_trainings_after_it_have_the_epochs_that_are_said_for_them(nas):
    told = estimate(nas, *JUDGED, "--retrain", "2", "--spread", "3", "--retrain-epochs", "1")

    assert (told["supernet_seconds"], told["training_seconds"]) == (10 * 4 * 4, 5.5)


def test_epochs_of_few_classes_have_fewer_steps_and_what_is_judged_after_each_phase_counts(nas):
    told = estimate(nas, *JUDGED, "--shrink")

    # one epoch to warm up, then three of 3, 6 and 10 classes of 10; 256 judged after each
    assert told["supernet_seconds"] == pytest.approx(16 * (1 + 3 * 1.9) + 256 * 1.9 * told["trial_seconds"])


def test_no_more_networks_are_trained_after_it_than_there_are_trials(nas):
    told = estimate(nas, *JUDGED, "--trials", "4")

    assert told["search_seconds"] == pytest.approx(160 + 2 * told["trial_seconds"] + 2 * told["training_seconds"])


def test_a_supernet_that_the_search_would_refuse_is_refused(nas, tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(b"half of")
    for name in ("gone.safetensors", "torn.safetensors"):
        code, _, err = nas(*SEARCH, "--weights", "supernet", "--supernet", name)

        assert code == 2
        assert name in err.strip().splitlines()[-1]


def test_the_words_say_what_is_trained_when(nas):
    _, out, _ = nas(*JUDGED)

    assert "the supernet about 3 min" in out
    assert "9 networks trained for 3 epochs after it" in out
    assert "40 trials on 2 workers" in out
