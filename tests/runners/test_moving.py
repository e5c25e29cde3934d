"""`nas status` on how far the front moved: the line, worked out by hand."""

import pytest
from trials import ONE, TWO, accuracies, pairs

from nas.history import History
from runners.moving import moved_line


@pytest.mark.parametrize(
    ("history", "line"),
    [
        (History([], ONE), "nothing complete yet after 0 trainings"),
        (History([], TWO), "nothing complete yet after 0 trainings"),
        (History(accuracies(None), ONE), "nothing complete yet after 1 training"),
        (History(accuracies(0.5), ONE), "best acc 0.5000 since trial 0, the newest training"),
        (History(accuracies(0.5, 0.4), ONE), "best acc 0.5000 since trial 0, 1 training ago"),
        (
            History(accuracies(0.5, 0.4, None, 0.7, 0.1, 0.2), ONE),
            "best acc 0.7000 since trial 3, 2 trainings ago; +0.2000 in the last 5 trainings",
        ),
        (
            History(accuracies(0.5, *[0.4] * 9, 0.75, *[0.6] * 5), ONE),
            "best acc 0.7500 since trial 10, 5 trainings ago; +0.2500 in the last 10 trainings, unchanged in the last 5",
        ),
        (
            History(accuracies(0.5, *[0.4] * 11), ONE),
            "best acc 0.5000 since trial 0, 11 trainings ago; unchanged in the last 10 trainings",
        ),
        (History(accuracies(None, None, 0.5, 0.6, 0.7), ONE), "best acc 0.7000 since trial 4, the newest training"),
        (
            History(pairs((0.5, 100), (0.6, 200)), TWO),
            "front: 2 networks, the newest is trial 1, the newest training",
        ),
        (
            # reference (-0.49, 110), units (0.1, 100): 0.1 * 1.0 with the first two, 1.1 * 1.0 with the third
            History(pairs((0.5, 10), (0.5, 10), (0.6, 10), *[(0.5, 110)] * 4), TWO),
            "front: 1 network, the newest is trial 2, 4 trainings ago; hypervolume +1000.0% in the last 5 trainings",
        ),
    ],
)  # fmt: skip
def test_status_says_how_far_it_moved(history, line):
    assert moved_line(history) == line
