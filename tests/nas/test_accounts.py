"""All that a report tells of a study, out of a database."""

import pytest
from evaluations import macs, share_of_conv3

from nas import Space, one_of, search
from nas.companions import BASELINE
from nas.errors import InputError
from nas.store.accounts import read_account
from nas.store.reading import read_study


def run(url, folder, space, **options):
    given = {"objectives": ["accuracy:max"], "trials": 8, "study": "s", "runner": "inline", "sampler": "random"}
    return search(
        space, options.pop("evaluate", share_of_conv3), storage=url, checkpoints=folder, **{**given, **options}
    )


def test_options_are_those_of_the_space_and_attempts_those_that_were_made(database, layers, tmp_path):
    result = run(database, tmp_path, layers, costs=macs)

    found = read_account(database, "s")

    assert [(choice.path, choice.options, choice.ordered) for choice in found.choices] == [
        (f"layer{index}", ("skip", "conv3", "conv5"), False) for index in range(4)
    ]
    assert found.taken == {trial.number: trial.candidate for trial in result.trials}
    assert [(each.number, each.attempt, each.state) for each in found.attempts] == [
        (number, 1, "complete") for number in range(8)
    ]
    assert all("python" in each.versions and each.began <= each.ended for each in found.attempts)
    assert found.record == read_study(database, "s")


def by_width(candidate, budget, report):
    return {"accuracy": candidate["width"] / 100}


def test_numbers_in_steps_are_ordered_and_genes_under_others_belong_to_those_that_use_them(tmp_path):
    url = f"sqlite:///{tmp_path}/nas.db"
    space = Space({"width": one_of(16, 32, 48), "ratio": one_of(1.0, 2.5), "mixer": one_of(pool="pool", conv={"kernel": one_of(3, 5)})})  # fmt: skip
    run(url, tmp_path, space, evaluate=by_width, trials=12)

    found = read_account(url, "s")

    told = {choice.path: choice for choice in found.choices}
    assert (told["width"].options, told["width"].ordered) == ((16, 32, 48), True)
    assert (told["ratio"].options, told["ratio"].ordered) == ((1.0, 2.5), True)
    assert not told["mixer"].ordered
    users = {number for number, row in found.taken.items() if "mixer.conv.kernel" in row}
    assert users == {number for number, row in found.taken.items() if row["mixer"] == "conv"}


def test_studies_beside_it_are_known_by_their_endings_and_no_others(tmp_path, layers):
    url = f"sqlite:///{tmp_path}/nas.db"
    for name in ("s", "s.baseline", "s.other", "sxbaseline"):
        run(url, tmp_path, layers, study=name, trials=2)

    assert [*read_account(url, "s").companions] == [BASELINE]
    with pytest.raises(InputError, match="unknown study 'none'"):
        read_account(url, "none")
