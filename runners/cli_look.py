"""The commands that look at a study: `nas status`, `nas best`, `nas trials`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from runners.options import Json, Storage, StudyName, out

EVERY_S = "2"  # between looks of --watch, if not told otherwise
List = list[str] | None


class Watching(TyperCommand):
    """`nas status`: --watch may stand without a number behind it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the usual number there."""
        for index in [at for at, word in enumerate(args) if word == "--watch"][:1]:
            if not _is_number(args[index + 1 : index + 2]):
                args = [*args[: index + 1], EVERY_S, *args[index + 1 :]]
        return super().parse_args(ctx, args)


def _is_number(words: list[str]) -> bool:
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False


def status(
    study: StudyName,
    storage: Storage = None,
    watch: Annotated[
        float | None,
        typer.Option(
            metavar="[SECONDS]",
            help="Look again every so many seconds [2] until the study is over; in a file, a line for every change",
        ),
    ] = None,
    plot: Annotated[
        bool | None,
        typer.Option("--plot/--no-plot", help="Progress, and accuracy against cost [default: on a wide terminal]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """How far a study is, and its best so far."""
    if watch is None:
        from runners import status as once

        once.status(study, storage, plot=plot, as_json=as_json, out=out)
    else:
        from runners import status_watch

        status_watch.watch(study, storage, every_s=watch, plot=plot, as_json=as_json, out=out)


def best(
    study: StudyName,
    storage: Storage = None,
    count: Annotated[int, typer.Option("-n", help="How many, with one objective", min=1)] = 5,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the table as a picture")] = None,
    as_json: Json = False,
) -> None:
    """The best trials; with several objectives, the front."""
    from runners import best as shown

    shown.best(study, storage, count=count, svg=svg, as_json=as_json, out=out)


def trials(
    study: StudyName,
    storage: Storage = None,
    state: Annotated[
        List, typer.Option(metavar="STATE,STATE", help="Only in these: running, paused, complete, pruned, fail")
    ] = None,
    where: Annotated[
        List, typer.Option(metavar="LIMIT", help="As in 'params<=2e6', of a metric or a column; repeatable")
    ] = None,
    gene: Annotated[
        List,
        typer.Option(
            metavar="PATH=VALUE",
            help="As in stages.0.mixer=pooling, PATH as `nas spaces SPACE` shows; * any; repeatable",
        ),
    ] = None,
    origin: Annotated[List, typer.Option(metavar="NAME,NAME", help="Only proposed by these, as in random")] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:asc|desc]", help="By a metric or a column [default: number]; objectives best first"
        ),
    ] = None,
    count: Annotated[int | None, typer.Option("-n", metavar="COUNT", help="Only the first so many", min=1)] = None,
    columns: Annotated[
        List,
        typer.Option(metavar="NAME,NAME", help="number, state, origin, epochs, seconds, network, ..., metrics, genes"),
    ] = None,
    csv: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write CSV with all metrics; - to standard output")
    ] = None,
    as_json: Json = False,
) -> None:
    """The trials of a study: all, or those asked for."""
    from runners import trials as listed
    from runners.trials_chosen import Wanted

    lists = {"states": state, "limits": where, "genes": gene, "origins": origin}
    given = {name: tuple(words) for name, words in lists.items() if words}
    wanted = Wanted(**given, sort=sort, count=count)
    listed.trials(study, storage, wanted, columns=columns or (), csv=csv, as_json=as_json, out=out)
