"""A study that is looked at again and again: what a look returns is what is read anew, and nothing is read in vain."""

import pytest
from evaluations import macs, raises_sometimes
from optunas import sql

from nas import search
from nas.errors import InputError, StoreError
from nas.store import watching
from nas.store.managing import delete_study
from nas.store.reading import read_study
from nas.store.watching import Watched


def run(space, url, folder, **options):
    return search(
        space, raises_sometimes, objectives=["accuracy:max"], costs=macs, sampler="random", runner="inline",
        epochs=(1, 9), storage=url, study="s", checkpoints=folder, **options,
    )  # fmt: skip


def test_every_look_at_a_growing_study_is_what_is_read_anew(layers, database, tmp_path):
    watched = Watched(database, "s")
    looks = []

    def compare(study):
        if len(looks) < 40:
            looks.append(watched.look())
            assert looks[-1] == read_study(database, "s")

    run(layers, database, tmp_path, trials=12, watch=compare)
    looks.append(watched.look())

    assert looks[-1] == read_study(database, "s")
    assert len({id(look) for look in looks}) > 10
    assert {trial.state.value for look in looks for trial in look.trials} >= {"running", "paused", "complete", "fail"}
    watched.close()


def test_while_nobody_writes_the_same_object_comes_back(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    run(layers, url, tmp_path, trials=3)
    watched = Watched(url, "s")

    assert watched.look() is watched.look()


def test_only_the_trials_that_moved_are_read(layers, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/nas.db"
    asked = []
    trials_of = watching.trials_of

    def noted(connection, study_id, numbers):
        asked.append(numbers)
        return trials_of(connection, study_id, numbers)

    monkeypatch.setattr(watching, "trials_of", noted)
    watched = Watched(url, "s")
    run(layers, url, tmp_path, trials=6, watch=lambda study: watched.look())

    whole = [numbers for numbers in asked if numbers is None]
    assert 1 <= len(whole) < 4  # with the driver's coming
    assert max(len(numbers) for numbers in asked if numbers is not None) <= 3


def test_a_study_that_another_one_of_its_name_replaced_is_read_anew_and_a_deleted_one_is_told(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    run(layers, url, tmp_path, trials=4, seed=1)
    watched = Watched(url, "s")
    first = watched.look()
    delete_study(url, "s")

    with pytest.raises(InputError, match="unknown study 's'"):
        watched.look()
    run(layers, url, tmp_path, trials=4, seed=2)
    assert watched.look() == read_study(url, "s") != first


def test_after_an_error_the_next_look_connects_anew(layers, tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    run(layers, url, tmp_path, trials=2)
    watched = Watched(url, "s")
    watched.look()
    sql(url, "ALTER TABLE nas_studies RENAME TO away")

    with pytest.raises(StoreError, match="nas_studies"):
        watched.look()
    sql(url, "ALTER TABLE away RENAME TO nas_studies")
    assert watched.look() == read_study(url, "s")
