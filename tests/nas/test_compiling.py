"""From templates to spaces: their digests, what is refused, and what is built once."""

import pytest
from small_spaces import SMALL, Net, small

from nas import Space, int_range, of, one_of, repeat
from nas.errors import SpaceError
from nas.mixers import Attention, Pooling


@pytest.mark.parametrize("name", SMALL)
def test_equal_spaces_have_equal_digests(name):
    first, second = small(name), small(name)

    digests = {first.digest, second.digest}

    assert len(digests) == 1
    assert len(first.digest) == 32


def test_different_spaces_have_different_digests():
    templates_of = [
        {"a": one_of(1, 2)},
        {"a": one_of(2, 1)},
        {"a": one_of(1, 3)},
        {"a": one_of(1, 2, 3)},
        {"b": one_of(1, 2)},
        {"a": one_of("1", "2")},
        {"a": one_of(1.0, 2.0)},
        {"a": one_of(True, 2)},
        {"a": one_of(one=1, two=2)},
        {"a": one_of(1, 2), "b": 0},
        {"a": one_of(1, 2), "b": 1},
        {"a": one_of(1, 2), "b": True},
        {"a": [one_of(1, 2)]},
        {"a": (one_of(1, 2),)},
        [one_of(1, 2)],
        (one_of(1, 2),),
        one_of(1, 2),
        repeat("x", one_of(1, 2)),
        repeat("y", one_of(1, 2)),
        of(Net, width=one_of(1, 2)),
        of(Attention, head_width=one_of(1, 2)),
        {"a": one_of(1, 2), "m": Attention(head_width=8)},
        {"a": one_of(1, 2), "m": Attention(head_width=16)},
        *(template for template, _ in SMALL.values()),
    ]

    digests = [Space(template).digest for template in templates_of]

    assert len(set(digests)) == len(digests)


def test_two_genes_of_one_name_are_refused():
    template = {"a.b": one_of(1, 2), "a": {"b": one_of(3, 4)}}

    with pytest.raises(SpaceError, match=r"^two genes are called 'a\.b': name the options, as in one_of\(small="):
        Space(template)


@pytest.mark.parametrize(
    "template", [{}, [], {"a": 1, "b": (2, 3)}, 5, None, {"a": one_of(1)}, of(Net, width=3), repeat(1, 3)]
)
def test_a_space_without_a_choice_is_refused(template):
    maker = Space

    with pytest.raises(SpaceError, match=r"^this space has no choice: use one_of\(\.\.\.\) or int_range"):
        maker(template)


@pytest.mark.parametrize("options", [(1, 1), ("a", "b", "a"), (None, None), (True, True), (0.5, 2, 0.5)])
def test_the_same_option_twice_is_refused(options):
    twice = max(options, key=options.count)

    with pytest.raises(SpaceError, match=rf"^one_of\(\) has the option {twice!r} twice$"):
        one_of(*options)


def test_the_same_value_under_two_made_names_is_refused():
    options = (Attention(head_width=8), Attention(head_width=8))

    with pytest.raises(SpaceError, match="twice"):
        Space({"mixer": one_of(*options)})


def test_a_choice_of_nothing_is_refused():
    maker = one_of

    with pytest.raises(SpaceError, match=r"^one_of\(\) has no options$"):
        maker()


@pytest.mark.parametrize("bounds", [(3, 2), (1, 4, 0), (1, 4, -1)])
def test_an_empty_range_is_refused(bounds):
    maker = int_range

    with pytest.raises(SpaceError, match=r"^int_range\(.*\) is empty: low <= high and step >= 1 must hold$"):
        maker(*bounds)


def test_a_range_has_both_ends_where_the_step_meets_them():
    options = [int_range(1, 4).options, int_range(2, 9, 3).options, int_range(5, 5).options]

    lengths = [len(option) for option in options]

    assert options == [(1, 2, 3, 4), (2, 5, 8), (5,)]
    assert lengths == [4, 3, 1]


def test_an_unknown_field_is_refused_with_the_known_ones():
    cls = Attention

    with pytest.raises(
        SpaceError, match=r"^of\(Attention\): unknown field 'heads'; known: head_width, qkv_bias, out_bias, reduction$"
    ):
        of(cls, heads=one_of(1, 2))


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "3", one_of(0, 1), one_of(1, "2")])
def test_a_count_that_is_no_positive_whole_number_is_refused(count):
    template = repeat(one_of(1, 2), count)

    with pytest.raises(
        SpaceError, match=r"^repeat\(\): a count of \[.*\] is not one or more whole numbers of at least 1$"
    ):
        Space(template)


def test_options_of_one_class_get_names_of_their_own():
    choice = one_of(
        of(Attention, head_width=8), Pooling(), of(Attention, head_width=one_of(16, 32)), Attention(), "attention_9"
    )

    labels = choice.labels

    assert labels == ("attention", "pooling", "attention_2", "attention_3", "attention_9")


def test_a_string_option_that_looks_like_a_made_name_is_no_second_option():
    options = ("list_2", [1], [2])

    choice = one_of(*options)

    assert len(set(choice.labels)) == 3


def test_parts_that_cannot_be_changed_are_built_once_and_lists_and_dicts_for_every_candidate():
    space = Space({"mixer": of(Pooling, size=one_of(3, 5)), "tags": [one_of("a", "b")], "width": int_range(1, 3)})
    one, other, third = (space.decode(genome) for genome in ((1, 0, 0), (1, 0, 2), (0, 0, 0)))

    assert one["mixer"] is other["mixer"]
    assert (one["mixer"].size, third["mixer"].size) == (5, 3)
    one["tags"].append("changed")
    assert other["tags"] == ["a"]
    assert space.decode((1, 0, 0)) == {"mixer": Pooling(size=5), "tags": ["a"], "width": 1}


def test_more_parts_than_are_remembered_are_still_built_right(monkeypatch):
    monkeypatch.setattr("nas.nodes.KEPT", 3)
    space = Space(of(Pooling, size=one_of(3, 5, 7, 9, 11, 13)))

    assert [space.decode((option,)).size for option in (0, 1, 2, 3, 4, 5, 0, 3)] == [3, 5, 7, 9, 11, 13, 3, 9]
