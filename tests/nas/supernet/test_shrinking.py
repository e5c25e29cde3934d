"""Classes by difficulty, which options are dropped, and the whole course on a supernet whose truth is known."""

import dataclasses
import random

import pytest

import search_spaces
from nas import Space, int_range, of, one_of
from nas.errors import ArchitectureError, InputError, SpaceError
from nas.supernet.course import OptionScore
from nas.supernet.shrinking import Judged, Rule, class_schedule, difficulty, dropped, shrink

TEN = tuple(range(10))
SPACE = Space({"mixer": one_of(pool="pool", conv={"kernel": one_of(3, 5, 7, 9)}, bad="bad"), "width": int_range(1, 5), "norm": one_of("batch", "layer")})  # fmt: skip
EFFECTS = {"mixer": {"pool": 0.0, "conv": 0.1, "bad": -0.2}, "mixer.conv.kernel": {3: 0.0, 5: 0.05, 7: 0.1, 9: -0.1}, "norm": {"batch": 0.0, "layer": 0.03}}  # fmt: skip


def score(label, value, error=0.001, judged=20, gene="g"):
    return OptionScore(gene, label, value, error, value, 1.0, judged)


def scores(*values, **options):
    return [score(label, value, **options) for label, value in enumerate(values)]


def kept(found):
    return [each.label for each in found if each.kept]


class Supernet:
    """Accuracy is what is planted, plus 0.1 for every width, and noise; it remembers what it was asked."""

    def __init__(self, seed=0, noise=0.01):
        self.rng, self.noise = random.Random(seed), noise
        self.trained, self.judged = [], []

    def train(self, number, space, classes, epochs):
        self.trained.append((number, classes, epochs, space.count().value))

    def judge(self, space, genomes, classes):
        self.judged.append((space, genomes, classes))
        found = []
        for genome in genomes:
            params = space.params(genome)
            value = (
                sum(EFFECTS[gene][label] for gene, label in params.items() if gene in EFFECTS) + 0.1 * params["width"]
            )
            found.append(Judged(genome, value + self.rng.gauss(0, self.noise), 2.0 ** params["width"]))
        return found

    def shrink(self, **options):
        return list(shrink(SPACE, TEN, train=self.train, judge=self.judge, **options))


# -- classes -------------------------------------------------------------------------------------------------------------


def test_the_class_of_the_highest_accuracy_is_the_easiest_and_ties_go_by_number():
    assert difficulty([0.2, 0.9, 0.5, 0.9]) == (1, 3, 2, 0)
    with pytest.raises(InputError, match="class 1: its accuracy is nan"):
        difficulty([0.2, float("nan")])


@pytest.mark.parametrize(
    ("classes", "counts"),
    [(1000, [100, 300, 600, 1000]), (100, [10, 30, 60, 100]), (10, [3, 6, 10]), (4, [3, 4]), (2, [2])],
)
def test_phases_have_the_published_shares_and_never_too_few_classes_to_tell_apart(classes, counts):
    order = random.Random(0).sample(range(classes), classes)

    schedule = class_schedule(order)

    assert [len(each) for each in schedule] == counts
    assert all(list(each) == order[: len(each)] for each in schedule)


@pytest.mark.parametrize(
    ("order", "shares", "told"),
    [
        ([0, 0, 1], [1.0], "each of 0 to 2 once is expected"),
        ([], [1.0], "order of classes"),
        (TEN, [0.5], "class shares 0.5: numbers above 0 that rise to 1"),
        (TEN, [0.5, 0.5, 1.0], "class shares 0.5, 0.5, 1"),
        (TEN, [0.0, 1.0], "class shares 0, 1"),
        (TEN, [], "class shares"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(order, shares, told):
    with pytest.raises(InputError, match=told):
        class_schedule(order, shares)


# -- what is dropped -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "share", "left"),
    [
        ([0.5, 0.1, 0.4, 0.3, 0.2], 0.4, [0, 2, 3]),
        ([0.5, 0.1, 0.4], 0.4, [0, 2]),
        ([0.5, 0.1], 0.4, [0, 1]),
        ([0.5, 0.1], 0.5, [0]),
        ([0.5, 0.1, 0.4], 0.99, [0]),
        ([0.5], 0.9, [0]),
        ([0.5, 0.1, 0.4], 0.0, [0, 1, 2]),
    ],
)
def test_the_weakest_share_of_a_choice_dies_rounded_down_and_one_always_lives(values, share, left):
    assert kept(dropped(scores(*values), Rule(share=share))) == left


def test_what_rounding_left_is_dropped_in_a_later_phase():
    two = scores(0.5, 0.1)

    assert kept(dropped(two, Rule(), counts={"g": 2}, phase=1)) == [0, 1]
    assert kept(dropped(two, Rule(), counts={"g": 2}, phase=2)) == [0]
    assert kept(dropped(scores(0.5, 0.1, 0.4), Rule(), counts={"g": 5}, phase=2)) == [0, 2]
    assert kept(dropped(scores(0.5, 0.1), Rule(), counts={"g": 3}, phase=2)) == [0, 1]  # one of three went already


def test_an_option_within_the_noise_of_the_best_lives_unless_it_shall_not_count():
    near = [score("best", 0.5, 0.03), score("near", 0.45, 0.04), score("far", 0.3, 0.04)]

    assert kept(dropped(near[:2], Rule(share=0.5, z=0.9))) == ["best"]
    assert kept(dropped(near[:2], Rule(share=0.5, z=1.1))) == ["best", "near"]
    assert kept(dropped(near[:2], Rule(share=0.5, z=0.0))) == ["best"]
    found = dropped(near, Rule(share=0.67, z=2.0))
    assert [(each.kept, each.why) for each in found] == [(True, ""), (True, "noise"), (False, "")]


def test_ties_are_kept_and_told():
    found = dropped(scores(0.5, 0.4, 0.4, 0.2, 0.1), Rule(share=0.6))
    equal = dropped(scores(0.5, 0.5, 0.5), Rule(share=0.9, z=0.0))

    assert [(each.label, each.kept, each.why) for each in found] == [
        (0, True, ""), (1, True, ""), (2, True, "tie"), (3, False, ""), (4, False, ""),
    ]  # fmt: skip
    assert [(each.kept, each.why) for each in equal] == [(True, ""), (True, "tie"), (True, "tie")]


def test_an_option_that_was_judged_too_rarely_lives_and_it_is_told():
    found = dropped(
        [*scores(0.5, 0.3, 0.2, 0.1), score("rare", 0.0, judged=4), score("never", None, None, 0)], Rule(share=0.5)
    )

    assert [(each.label, each.why) for each in found if each.kept] == [(0, ""), ("rare", "few"), ("never", "few")]
    assert kept(dropped([score(label, None, None, 0) for label in "ab"], Rule(share=0.5))) == ["a", "b"]
    assert [each.why for each in dropped(scores(0.5, 0.1), Rule(share=0.5, least=21))] == ["few", "few"]


def test_options_without_an_error_are_not_dropped_where_errors_count():
    without = scores(0.5, 0.1, error=None)

    assert kept(dropped(without, Rule(share=0.5))) == [0, 1]
    assert kept(dropped(without, Rule(share=0.5, z=0.0))) == [0]


def test_every_choice_is_judged_by_itself():
    found = dropped([*scores(0.9, 0.8, gene="high"), *scores(0.2, 0.1, gene="low")], Rule(share=0.5))

    assert [(each.gene, each.label) for each in found if each.kept] == [("high", 0), ("low", 0)]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"share": 1.0}, "share dropped 1"),
        ({"share": -0.1}, "share dropped"),
        ({"z": -1.0}, "z -1"),
        ({"least": 0}, "least 0"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule, told):
    with pytest.raises(InputError, match=told):
        Rule(**rule)


# -- the course ----------------------------------------------------------------------------------------------------------


def test_weak_options_die_and_good_ones_live_while_classes_are_added():
    supernet = Supernet()

    phases = supernet.shrink(epochs=7)

    assert [(phase.number, len(phase.classes), phase.epochs) for phase in phases] == [(1, 3, 7), (2, 6, 7), (3, 10, 7)]
    assert supernet.trained == [(phase.number, phase.classes, 7, phase.before) for phase in phases]
    first, second, last = phases
    assert first.kept == {"mixer": ("pool", "conv"), "mixer.conv.kernel": (3, 5, 7), "width": (3, 4, 5), "norm": ("batch", "layer")}  # fmt: skip
    assert second.kept == {"mixer": ("pool", "conv"), "mixer.conv.kernel": (5, 7), "width": (4, 5), "norm": ("layer",)}
    assert last.dropped == ()
    assert [(phase.before, phase.after) for phase in phases] == [(60, 24), (24, 6), (6, 6)]
    assert {each.label for each in last.scores if each.gene == "width"} == {4, 5}


def test_with_a_cost_that_outweighs_the_gain_the_cheap_widths_live():
    phases = Supernet().shrink(rule=Rule(cost_weight=0.5))

    assert phases[0].kept["width"] == (1, 2, 3)
    assert phases[1].kept["width"] == (1, 2)


def test_candidates_are_drawn_from_what_is_left_each_once_and_the_same_for_the_same_seed():
    first, second, other = Supernet(), Supernet(), Supernet()
    first.shrink(candidates=40, seed=3), second.shrink(candidates=40, seed=3), other.shrink(candidates=40, seed=4)

    drawn = [[genomes for _, genomes, _ in supernet.judged] for supernet in (first, second, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(genomes) for genomes in drawn[0]] == [40, 24, 6]
    for space, genomes, _ in first.judged:
        assert len({*genomes}) == len(genomes)
        assert all(space.contains(genome) for genome in genomes)


@pytest.mark.parametrize("ended", [0, 1, 2, 3])
def test_a_course_that_was_interrupted_goes_on_with_the_next_phase_as_if_it_had_not(ended):
    whole = Supernet(noise=0.0).shrink()
    supernet = Supernet(noise=0.0)

    rest = supernet.shrink(done=whole[:ended])

    assert rest == whole[ended:]
    assert [trained[0] for trained in supernet.trained] == [phase.number for phase in whole[ended:]]


def test_a_phase_is_handed_out_before_the_next_is_trained():
    supernet = Supernet()
    phases = shrink(SPACE, TEN, train=supernet.train, judge=supernet.judge)

    assert supernet.trained == []
    next(phases)
    assert len(supernet.trained) == 1


def test_phases_of_another_course_are_refused():
    done = Supernet().shrink(shares=(0.5, 1.0))

    with pytest.raises(InputError, match="phase 1 of what was begun has other classes"):
        Supernet().shrink(done=done[:1])
    with pytest.raises(InputError, match="unknown gene"):
        list(shrink(Space({"a": one_of(1, 2)}), TEN, train=None, judge=None, shares=(0.5, 1.0), done=done[:1]))


def test_where_drawing_is_told_it_is_used():
    supernet = Supernet()
    narrow = SPACE.genome({"mixer": "pool", "width": 1, "norm": "batch"})

    phases = supernet.shrink(
        draw=lambda space, rng: narrow if space is SPACE else space.sample(rng), rule=Rule(share=0.9)
    )

    assert supernet.judged[0][1] == [narrow]
    assert phases[0].dropped == ()  # one candidate tells nothing


def test_where_only_illegal_candidates_would_be_left_it_is_told():
    @dataclasses.dataclass(frozen=True)
    class Unlike:
        first: int
        second: int

        def __post_init__(self):
            if self.first == self.second:
                raise ArchitectureError([("second", "is the first")])

    space = Space(of(Unlike, first=one_of(1, 2, 3), second=one_of(1, 2, 3)))

    def judge(left, genomes, classes):
        return [Judged(each, -sum(left.params(each).values()), 1.0) for each in genomes]

    with pytest.raises(SpaceError, match=r"^phase 1: no legal candidate has kept options only; drop a smaller share$"):
        list(shrink(space, TEN, train=lambda *told: None, judge=judge, rule=Rule(share=0.9, z=0.0, least=1)))


def test_a_space_of_networks_shrinks_to_legal_ones():
    space = search_spaces.get("metaformer", 28)
    rng = random.Random(0)
    good = {(gene.path, label): rng.gauss(0, 0.05) for gene in space.genes for label in gene.options}

    def judge(left, genomes, classes):
        return [Judged(each, sum(good[one] for one in left.params(each).items()), 1.0) for each in genomes]

    *_, last = shrink(space, TEN, train=lambda *told: None, judge=judge, candidates=150)

    assert 0 < last.after < 1e-3 * space.count().value
    assert {(each.gene, each.label) for each in last.scores} < set(good)
