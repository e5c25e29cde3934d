"""The commands for studies as a whole: `nas studies`, `nas enqueue`, `nas doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.errors import InputError
from runners.options import Json, Storage, StudyName, err, out

studies_app = typer.Typer(help="The studies in a database: how far they are, their best, who drives them.")


@studies_app.callback(invoke_without_command=True)
def studies(context: typer.Context, storage: Storage = None, as_json: Json = False) -> None:
    """The studies in a database: how far they are, their best, who drives them."""
    if context.invoked_subcommand is None:
        from runners import study_commands

        study_commands.table(storage, as_json=as_json, out=out)
    elif storage is not None or as_json:
        raise InputError(f"options of `nas studies {context.invoked_subcommand}` go behind its name")


@studies_app.command("list")
def studies_list(storage: Storage = None, as_json: Json = False) -> None:
    """The same as `nas studies`."""
    from runners import study_commands

    study_commands.table(storage, as_json=as_json, out=out)


@studies_app.command("delete")
def studies_delete(
    study: StudyName,
    storage: Storage = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Delete its checkpoints too")] = False,
) -> None:
    """Delete a study and its trials; complete evaluations stay in the database for `nas search --reuse`."""
    from runners import study_commands

    study_commands.delete(study, storage, yes=yes, checkpoints=checkpoints, out=out)


@studies_app.command("stop")
def studies_stop(study: StudyName, storage: Storage = None) -> None:
    """Ask the driver of a study to end, wherever it runs; what it was doing goes on with the next `nas search`."""
    from runners import study_commands

    study_commands.stop(study, storage, out=out)


def confirm(
    study: StudyName,
    top: Annotated[int, typer.Option(help="How many of the best", min=1, max=100)] = 3,
    seeds: Annotated[int, typer.Option(help="Fresh seeds for each, the same for all", min=2, max=100)] = 5,
    storage: Storage = None,
    runner: Annotated[str, typer.Option(help="local, ray, or inline")] = "local",
    workers: Annotated[int | None, typer.Option(help="Trials at a time [default: one a core, or a GPU]", min=1)] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="Share of a GPU for each trial [default: as `nas search`]", min=0)
    ] = None,
    trial_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Seconds that one training may take [default: none]")
    ] = None,
    checkpoints: Annotated[str, typer.Option(help="Directory for checkpoints")] = "checkpoints",
    as_json: Json = False,
) -> None:
    """Train the best few again with fresh seeds: means with intervals, and whether the first is really ahead."""
    from runners.confirm import run_confirm

    options = {
        "runner": runner, "workers": workers, "gpus_per_trial": gpus_per_trial, "trial_timeout": trial_timeout,
        "checkpoints": checkpoints,
    }  # fmt: skip
    code = run_confirm(study, storage, top=top, seeds=seeds, options=options, as_json=as_json, out=out, err=err)
    raise typer.Exit(code)


def enqueue(
    study: StudyName,
    what: Annotated[str, typer.Argument(metavar="FILE.json|NAME", help="An architecture file, or a published network")],
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Have an architecture evaluated next, by the search that runs or the next one; it is scaled into the limits."""
    from runners import study_commands

    study_commands.enqueue(study, what, storage, as_json=as_json, out=out)


def report(
    study: StudyName,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="FILE.html, FILE.md or FILE.json [default: md, json printed]")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="html|md|json", help="What to write [default: by the file's ending]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no report of ours")] = False,
    storage: Storage = None,
) -> None:
    """One file with what a study came to: the best, its rivals, the front, progress, choices, how to repeat it."""
    from runners import report_command

    report_command.write_report(study, storage, to=to, form=form, force=force, out=out)


def doctor(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Name of a study [default: all]")] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Do what is safe: delete what is left over, put unreadable checkpoints aside"),
    ] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Check that nothing is lost, double or left over. Changes nothing; exit code 1 when a promise is broken."""
    from runners import study_commands

    raise typer.Exit(study_commands.doctor(study, storage, repair=repair, as_json=as_json, out=out))
