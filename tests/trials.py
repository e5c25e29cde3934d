"""Trials that ended, made by hand."""

from nas.jobs import Budget
from nas.objectives import objectives_from
from nas.trial import Source, State, Trial

ONE, LEAST, TWO = (objectives_from(texts) for texts in (["acc:max"], ["loss:min"], ["acc:max", "macs:min"]))


def trial(number, state=State.COMPLETE, source=Source.TRAINED, **metrics):
    return Trial(
        number=number, genome=(), candidate={}, digest="", state=state, origin="", attempt=1, metrics=metrics,
        budget=Budget(0, 1, 0, "cpu", ""), source=source,
    )  # fmt: skip


def accuracies(*values):
    """One trial for each value; None for one that failed."""
    return [
        trial(number, State.FAIL) if value is None else trial(number, acc=value) for number, value in enumerate(values)
    ]


def pairs(*values):
    return [trial(number, acc=acc, macs=macs) for number, (acc, macs) in enumerate(values)]
