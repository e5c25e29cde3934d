"""A supernet is made once, goes on where it was, and is never mixed with one that is made otherwise."""

import dataclasses
import json

import pytest
from supernets import PLAN, SMALL, making_of, silent, small

from nas.errors import InputError
from nas.mixers import Attention, Pooling
from nas.supernet import Supernet, files
from nas.supernet.course import Course
from nas.supernet.making import COURSE, make
from nas.supernet.plan import Shrinking
from nas.supernet.shrinking import Rule

SHRINKING = Shrinking(warm_up=1, epochs=1, shares=(0.4, 1.0), candidates=9, rule=Rule(share=0.5, z=0, least=1))
FOUR = dataclasses.replace(PLAN, recipe=dataclasses.replace(PLAN.recipe, epochs=4))


class Killed(Exception):
    """What a power cut would be."""


def epochs_of(making, folder, **options):
    """The file, and the epochs that were trained for it."""
    trained = []
    return make(making, folder, lambda epoch, metrics: trained.append(epoch), **options), trained


def shrinking(digits, **fields):
    return making_of(digits, plan=FOUR, shrinking=SHRINKING, **fields)


@pytest.fixture(scope="module")
def shrunk(digits, tmp_path_factory):
    """A supernet that has shrunk, the phases that were told, and the epochs."""
    phases = []
    folder = tmp_path_factory.mktemp("shrunk")
    file, trained = epochs_of(shrinking(digits), folder, shrunk=lambda phase, classes: phases.append((phase, classes)))
    return file, phases, trained, folder


def weights_of(file):
    return files.weights_of(file.path, file.digest)


def test_it_is_made_once_and_read_the_second_time(digits, tmp_path):
    file, trained = epochs_of(making_of(digits), tmp_path / "new")
    again, more = epochs_of(making_of(digits), tmp_path / "new")

    assert (trained, more) == ([1, 2], [])
    assert again == file
    assert (file.path, file.space, file.data) == (str(tmp_path / "new" / files.NAME), SMALL.digest, digits.digest)
    facts = dict(file.facts)
    assert (facts["epochs"], facts["steps"], facts["passes"], facts["workers"]) == (2, 6, 24, 1)
    assert (facts["plan"], facts["limits"], facts["shrinking"], facts["course"]) == (PLAN.as_dict(), [], None, None)
    assert facts["seconds"] > 0


@pytest.mark.parametrize(
    ("fields", "differ"),
    [
        ({"seed": 3}, "seed"),
        ({"plan": FOUR, "shrinking": SHRINKING}, "plan and shrinking"),
        ({"plan": dataclasses.replace(PLAN, sampling="uniform")}, "plan"),
    ],
)
@pytest.mark.parametrize("how_far", ["begun", "made"])
def test_one_that_is_made_otherwise_is_refused_and_left_as_it_is(digits, tmp_path, fields, differ, how_far):
    begin(making_of(digits), tmp_path, 1) if how_far == "begun" else make(making_of(digits), tmp_path, silent)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(InputError) as refused:
        make(making_of(digits, **fields), tmp_path, silent)

    assert f"{tmp_path} holds a supernet made with another {differ}; another --study" in str(refused.value)
    assert ("--supernet" in str(refused.value)) == (how_far == "made")
    assert "\n" not in str(refused.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def begin(making, folder, epochs):
    """Killed after so many epochs."""

    def told(epoch, metrics):
        if epoch == epochs:
            raise Killed

    with pytest.raises(Killed):
        make(making, folder, told)


@pytest.mark.parametrize("limit", ["params<=1e3", "macs<=1e4"])
def test_one_within_other_limits_is_refused(digits, tmp_path, limit):
    make(making_of(digits, "params<=3e3"), tmp_path, silent)

    with pytest.raises(InputError, match="made with another limits"):
        make(making_of(digits, limit), tmp_path, silent)


def test_one_of_another_space_is_refused(digits, tmp_path):
    begin(making_of(digits), tmp_path / "begun", 1)
    make(making_of(digits), tmp_path / "made", silent)
    other = making_of(digits, space=small(Pooling(), Attention(head_width=8)))

    with pytest.raises(InputError, match="a supernet of another space"):
        make(other, tmp_path / "made", silent)
    with pytest.raises(InputError, match="made with another space"):
        make(other, tmp_path / "begun", silent)


def test_what_was_begun_goes_on_to_the_weights_of_one_that_was_not_killed(digits, tmp_path):
    begin(making_of(digits), tmp_path / "killed", 1)

    file, trained = epochs_of(making_of(digits), tmp_path / "killed")
    whole = make(making_of(digits), tmp_path / "whole", silent)

    assert trained == [2]
    assert all(each.equal(weights_of(whole)[name]) for name, each in weights_of(file).items())
    assert {**file.facts, "seconds": 0} == {**whole.facts, "seconds": 0}


def test_two_that_make_the_same_supernet_at_once_do_not_disturb_each_other(digits, tmp_path):
    refused = []

    def told(epoch, metrics):
        with pytest.raises(InputError, match=f"another process is making the supernet in {tmp_path}; the same command"):
            make(making_of(digits), tmp_path, silent)
        refused.append(epoch)

    file = make(making_of(digits), tmp_path, told)

    assert refused == [1, 2]
    assert make(making_of(digits), tmp_path, silent) == file


def test_what_only_networks_over_the_limits_have_is_never_trained(digits, tmp_path):
    making = making_of(digits, "params<=700")
    assert {each.stages[0].width for each in map(SMALL.decode, SMALL) if making.pricing.within(each)} == {8}

    file = make(making, tmp_path, silent)

    new = Supernet(SMALL, in_channels=1, num_classes=10, resolution=8).weights
    name = next(name for name, each in new.items() if name.startswith("classifier") and each.ndim == 2)
    moved = (weights_of(file)[name] - new[name].detach()).abs()
    assert moved[:, 8:].max() < 1e-3 < moved[:, :8].max()  # decay alone, and learning


def test_limits_that_nothing_is_within_are_said(digits, tmp_path):
    with pytest.raises(InputError, match="no architecture found within params<=10; the nearest has params="):
        make(making_of(digits, "params<=10"), tmp_path, silent)


def test_a_space_shrinks_by_phases_and_the_file_tells_its_course(shrunk, digits):
    file, phases, trained, folder = shrunk
    course = Course.from_json(json.loads(json.dumps(file.facts["course"])))

    assert trained == [1, 2, 3, 4]
    assert [phase for phase, _ in phases] == list(course.phases)
    assert [len(phase.classes) for phase in course.phases] == [4, 10]
    assert {classes for _, classes in phases} == {course.classes} == {10}
    assert (course.cost, file.space) == ("macs", SMALL.digest)
    assert course.phases[0].dropped
    assert not course.phases[-1].dropped
    assert all(each.cost >= 1 for phase in course.phases for each in phase.scores if each.cost is not None)
    left = course.narrowed(SMALL)
    assert left.count().value == course.phases[-1].after < SMALL.count().value
    assert json.loads((folder / COURSE).read_text())["course"] == file.facts["course"]


@pytest.mark.parametrize("killed", [1, 3])
def test_killed_in_any_phase_it_goes_on_without_training_those_before_again(digits, tmp_path, shrunk, killed):
    begin(shrinking(digits), tmp_path, killed)

    file, trained = epochs_of(shrinking(digits), tmp_path)

    assert trained == [*range(killed + 1, 5)]
    assert file.facts["course"] == shrunk[0].facts["course"]
    assert all(each.equal(weights_of(shrunk[0])[name]) for name, each in weights_of(file).items())


def test_killed_between_phases_it_goes_on_with_the_next(digits, tmp_path, shrunk):
    def ended(phase, classes):
        raise Killed

    with pytest.raises(Killed):
        make(shrinking(digits), tmp_path, silent, ended)
    told = []
    file, trained = epochs_of(shrinking(digits), tmp_path, shrunk=lambda phase, classes: told.append(phase.number))

    assert (trained, told) == ([3, 4], [2])
    assert file.facts["course"] == shrunk[0].facts["course"]


def test_a_course_that_is_not_readable_is_said(digits, tmp_path):
    begin(shrinking(digits), tmp_path, 2)
    (tmp_path / COURSE).write_text('{"order": [1]')

    with pytest.raises(InputError, match=r"course\.json: not the course of a supernet that was begun"):
        make(shrinking(digits), tmp_path, silent)
