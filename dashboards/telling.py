"""From findings to a page: what is said first, and the section on the best."""

from __future__ import annotations

from dashboards.evidence import Measured
from dashboards.findings import Findings
from dashboards.headline import BEGUN, DRAWN, Contestant, Gain
from dashboards.pages import Card, Page, Section, Table
from dashboards.sections import sections
from nas.objectives import Objective
from nas.version import __version__
from nas.wording import quantity

LONG = 90  # letters of a network in a table; architectures are shorter
RIVALS = {"published": "the best published family", "random": "random search"}


def page(found: Findings) -> Page:
    """The report of a study, in words, tables and pictures."""
    return Page(
        title=f"Architecture search: {found.study}",
        lead=_lead(found),
        notes=tuple(_notes(found)),
        cards=tuple(_cards(found)),
        sections=(_best(found), *sections(found)),
        version=__version__,
    )


def _lead(found: Findings) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in found.states.items() if count)
    within = f" within {' and '.join(found.limits)}" if found.limits else ", without limits"
    spent = f"; {_duration(found.courses[0].hours)} of evaluation, added over workers"
    told = found.provenance
    where = f", over space {told.space}" if told.space else ""
    where += f", on {told.data}" if told.data and told.data != "own" else ""
    return (
        f"{' and '.join(found.objectives)}{within}{where}. Trials: {states or 'none'}"
        f"{spent if found.courses[0].trainings else ''}."
    )


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} hours"
    return f"{60 * hours:.0f} minutes" if hours >= 1 / 30 else f"{3600 * hours:.0f} seconds"


def _notes(found: Findings) -> list[str]:
    """What is unusual about a study, and what a reader has to know before the numbers."""
    total, complete = sum(found.states.values()), found.states["complete"]
    notes = []
    if found.now:
        notes.append(f"The search is still running, driven by {found.now}: all of this may change.")
    elif found.states["running"] or found.states["paused"]:
        notes.append(
            f"The search has not ended: {found.states['running']} trials are unfinished and {found.states['paused']} "
            f"wait at a rung; nobody drives it now."
        )
    if said := _how_many(total, complete, found.states["fail"]):
        notes.append(said)
    if complete and found.headline.winner is None:
        notes.append(f"There is no best: {found.headline.why_none}.")
    if total and not found.limits:
        notes.append("The search had no limits on cost: the best may be the largest.")
    if len(found.objectives) > 1:
        notes.append(
            f"There are several objectives, so the answer is a front; where one network is named, it is the best of "
            f"the front by {found.headline.objective}."
        )
    for count, what in (
        (found.reused, "taken over from other studies and not trained here"),
        (found.adopted, "run by another program through Optuna"),
    ):
        if count:
            notes.append(f"{count:,} of the trials were {what}.")
    return notes + _begun(found)


def _begun(found: Findings) -> list[str]:
    """With which weights the trials began, where that is not as usual."""
    notes = []
    if found.inherited:
        notes.append(
            f"{found.inherited:,} of the trials began with the weights of another: behind their accuracy is more "
            f"training than their own epochs, and `nas confirm` says what the best come to without it."
        )
    if found.by_supernet and found.states["complete"]:
        notes.append(
            f"No trial was trained: all were judged by the weights that they inherit from a supernet. What the best "
            f"come to when they are trained stands in the study {found.study}.retrain, if they were."
        )
    return notes


def _how_many(total: int, complete: int, failed: int) -> str:
    """What is to be said of a study with hardly a trial."""
    if not total:
        return "No trial yet: there is nothing to report."
    if failed == total:
        return "All trials failed; the reasons are below."
    if not complete:
        return "No trial is complete yet."
    return "One trial is complete: hardly anything can be said yet." if complete == 1 else ""


def _cards(found: Findings) -> list[Card]:
    top = found.headline
    if top.winner is None:
        return []
    goal = Objective.parse(top.objective)
    cards = [Card(f"best {goal.name}", quantity(top.winner.value.value), _luck(found, top.winner.value))]
    shown = [name for name in top.winner.metrics if name != goal.name][:3]
    bounds = {limit.split("<=")[0].split(">=")[0]: limit for limit in found.limits}
    cards += [
        Card(name, quantity(top.winner.metrics[name]), f"limit: {bounds[name]}" if name in bounds else "of the winner")
        for name in shown
    ]
    return cards + [Card(f"over {RIVALS[gain.over]}", _signed(gain.value), _interval(gain)) for gain in top.gains]


def _luck(found: Findings, value: Measured) -> str:
    if found.by_supernet:
        return "by inherited weights"
    if value.low is None or value.high is None:
        return "no interval: one training"
    basis = f"{value.count} fresh seeds" if value.kind == "replicates" else f"{value.count:,} validation images"
    return f"95 %: {quantity(value.low)} to {quantity(value.high)} ({basis})"


def _interval(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return gain.rests_on
    return f"95 %: {_signed(gain.low)} to {_signed(gain.high)}"


def _signed(value: float) -> str:
    if not value:
        return "0"
    return f"{value:+.4f}" if 5e-5 <= abs(value) < 10 else f"{value:+.3g}"


def _best(found: Findings) -> Section:
    top = found.headline
    if top.winner is None:
        return Section("best", "The best", (f"There is none: {top.why_none}.",))
    goal, winner = Objective.parse(top.objective), top.winner
    within = " within the limits" if found.limits else ""
    network = f": {winner.network}" if len(winner.network) <= LONG else "; what it is stands below"
    lines = [f"The best network{within} is trial {winner.trial}{network}."]
    if winner.replicates:
        lines.append(
            f"Its {goal.name} is the mean of {len(winner.replicates)} trainings with fresh seeds (`nas confirm`), "
            f"which nobody chose it for; in the search it had {quantity(winner.in_search)}."
        )
        if top.first is not None and top.first.trial != winner.trial:
            lines.append(
                f"In the search trial {top.first.trial} was the best, with {quantity(top.first.in_search)}; "
                + (
                    f"trained again, trial {winner.trial} is ahead on average."
                    if top.first.replicates
                    else "it was not trained again."
                )
            )
    elif found.by_supernet:
        lines.append(f"Its {goal.name} is by inherited weights: `nas retrain` says what training makes of it.")
    else:
        end = "high" if goal.maximize else "low"
        lines.append(
            f"Its {goal.name} is that of one training, and it was chosen because that is {end}: part of it is luck. "
            f"`nas confirm` trains the best few again with fresh seeds."
        )
        if winner.value.kind == "images":
            lines.append(
                f"The interval (Wilson's) says how far {winner.value.count:,} validation images tell its accuracy, not "
                f"how much another seed would change it. The number of images is inferred: all accuracies are whole "
                f"multiples of 1/{winner.value.count}."
            )
    lines += [_gain(gain, goal) for gain in top.gains]
    lines += _missing(found)
    lines += _race(found)
    if any(each.study == found.study and each.label.startswith(DRAWN) for each in top.others):
        lines.append(
            "There is no random search beside this study (`nas search --baseline`), so its own random trials stand for "
            "it: they are fewer than all trials, and so an easier rival."
        )
    return Section("best", "The best", tuple(lines), tables=(_contestants(found, winner, goal),))


def _gain(gain: Gain, goal: Objective) -> str:
    what = gain.rival.label if gain.over == "published" and gain.rival.label == BEGUN else RIVALS[gain.over]
    label = "" if what == gain.rival.label else f"{gain.rival.label}, "
    rival = f"{what} ({label}trial {gain.rival.trial} of {gain.rival.study})"
    how = f"{quantity(abs(gain.value))} {'better' if gain.value > 0 else 'worse'} in {goal.name} than"
    text = f"It is {how if gain.value else f'as good in {goal.name} as'} {rival}"
    if gain.low is None or gain.high is None:
        return f"{text}; {gain.rests_on}."
    said = f"{text}: 95 % interval {_signed(gain.low)} to {_signed(gain.high)}, {gain.rests_on}"
    if "images" in gain.rests_on:
        said += " (what another seed would change is not in it)"
    if gain.low > 0:
        return f"{said}. That is more than luck."
    if gain.high < 0:
        return f"{said}. The rival is better, and that is more than bad luck."
    return f"{said}. The interval holds 0: that may be luck."


def _missing(found: Findings) -> list[str]:
    over = {gain.over for gain in found.headline.gains}
    lines: list[str] = []
    if found.by_supernet:  # trained networks would be no rivals
        return lines
    if "published" not in over and found.provenance.recipe:
        lines.append(
            "No published family is complete within the limits beside it (`nas search --published` trains some)."
        )
    if found.headline.drawn and "random" not in over:
        lines.append("All of its trials were drawn at random: this is a random search itself.")
    elif not {"random"} & {*over, *(each.label for each in found.headline.others)}:
        lines.append("No random search with a complete trial is beside it (`nas search --baseline` runs one).")
    return lines


def _race(found: Findings) -> list[str]:
    race = found.headline.race
    if race is None or race.ours is None or race.random is None:
        return []
    measure = "hypervolume of the front" if race.measure == "hypervolume" else f"best {race.measure}"
    text = (
        f"After {race.trainings:,} trainings each the {measure} was {quantity(race.ours)} in this search and "
        f"{quantity(race.random)} in random search"
    )
    if race.reached is None:
        return [f"{text}; this search has not reached what random search found."]
    return [f"{text}; this search was as good as that after {race.reached:,} trainings."]


def _contestants(found: Findings, winner: Contestant, goal: Objective) -> Table:
    rows = [winner, *found.headline.others]
    names = [name for name in dict.fromkeys(name for row in rows for name in row.metrics) if name != goal.name]
    header = ("what", goal.name, "95 % interval", "rests on", *names, "trial", "network")
    return Table(
        "the winner and its rivals",
        header,
        tuple(
            (
                row.label,
                quantity(row.value.value),
                "-"
                if row.value.low is None or row.value.high is None
                else f"{quantity(row.value.low)} to {quantity(row.value.high)}",
                "inherited weights" if found.by_supernet else _rests_on(row.value),
                *(quantity(row.metrics[name]) if name in row.metrics else "-" for name in names),
                f"{row.trial} of {row.study}",
                _cut(row.network),
            )
            for row in rows
        ),
        frozenset({1, 2, *range(4, 4 + len(names))}),
    )


def _cut(network: str) -> str:
    return network if len(network) <= LONG else f"{network[: LONG - 2]} …"


def _rests_on(value: Measured) -> str:
    if value.kind == "replicates":
        return f"{value.count} fresh seeds"
    return "one training" + (f", {value.count:,} images" if value.kind == "images" else "")
