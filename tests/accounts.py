"""Studies as a report reads them, made by hand."""

import datetime

from nas.jobs import Budget
from nas.store.accounts import Account, Attempt, Choice
from nas.store.reading import StudyRecord
from nas.trial import Source, State, Trial

TRAINED = {"evaluate": "train and validate", "space": "metaformer", "data": "digits (abc, 8 px)",
           "source": {"data": "digits", "resolution": None, "digest": "abc"}}  # fmt: skip
VERSIONS = {"python": "3.11.7", "torch": "2.13.0"}


def trial(number, state=State.COMPLETE, *, origin="surrogate", curve=None, stop=1, genome=None, seconds=36.0, reason="",
          source=Source.TRAINED, candidate=None, host="h", **metrics):  # fmt: skip
    return Trial(
        number=number, genome=(number,) if genome is None else genome, candidate=candidate or {"layer": number},
        digest=f"d{number}", state=state, origin=origin, attempt=1, metrics=metrics, curve=curve or {},
        budget=Budget(0, stop, 7 + number, "cpu", ""), seconds=seconds, host=host, reason=reason, source=source,
    )  # fmt: skip


def record(trials, name="demo", driver=None, **settings):
    told = {"objectives": ["accuracy:max"], "limits": [], "epochs": [1, 1], **settings}
    return StudyRecord(name, told, "0.1.0", driver, tuple(trials), tuple(each for each in trials if each.ended))


def account(trials, choices=(), taken=None, companions=None, **settings):
    when = datetime.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - naive UTC, as the tables hold it
    attempts = tuple(
        Attempt(each.number, 1, each.state.value, 7, "cpu", "h", each.seconds, when, when, VERSIONS) for each in trials
    )
    return Account(record(trials, **settings), tuple(choices), taken or {}, attempts, companions or {})


def gene(path, *options, ordered=False):
    return Choice(path, options, ordered)
