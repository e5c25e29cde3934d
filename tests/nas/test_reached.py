"""Which rungs trials reached."""

from nas.fidelity import Rungs
from nas.jobs import Budget
from nas.reached import AtRung, by_rung, epochs
from nas.trial import Source, State, Trial

LADDER = Rungs(1, 9)


def trial(number, state, reached=0, stop=None, source=Source.TRAINED):
    curve = {level: {"score": 0.5} for level in (1, 3, 9) if level <= reached}
    return Trial(
        number=number, genome=(), candidate={}, digest="", state=state, origin="random", attempt=1, metrics={},
        budget=Budget(0, stop or reached, 0, "cpu", ""), curve=curve, source=source,
    )  # fmt: skip


def test_a_trial_counts_at_every_rung_that_it_came_to_and_stays_at_the_last():
    trials = [
        trial(0, State.COMPLETE, 9), trial(1, State.PAUSED, 3), trial(2, State.PRUNED, 1), trial(3, State.FAIL, 0, stop=1),
        trial(4, State.RUNNING, 3, stop=9), trial(5, State.COMPLETE, 9, source=Source.REUSED),
    ]  # fmt: skip

    assert by_rung(trials, LADDER) == [AtRung(1, 4, 0, 1), AtRung(3, 3, 1, 0), AtRung(9, 1, 0, 0)]
    assert epochs(trials, LADDER) == (9 + 3 + 1 + 3, 5 * 9)


def test_trials_of_a_higher_bracket_do_not_count_at_rungs_below_it():
    rungs = Rungs(1, 9, brackets=2)
    later = next(number for number in range(20) if rungs.bracket(number) == 1)

    found = by_rung([trial(later, State.PAUSED, 3)], rungs)

    assert [(each.epochs, each.reached) for each in found] == [(1, 0), (3, 1), (9, 0)]
