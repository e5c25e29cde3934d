"""The command line `nas`: every command is a few lines here; what they do lives elsewhere and is loaded when used."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from nas.errors import InputError, NasError, Terminated
from nas.version import __version__
from runners.cli_export import bench, export, predict
from runners.cli_look import Watching, best, status, trials
from runners.cli_retrain import retrain
from runners.cli_search import search
from runners.cli_studies import confirm, doctor, enqueue, report, studies_app
from runners.options import Json, Storage, StudyName, err, out
from runners.screen import plain

app = typer.Typer(
    name="nas",
    help="Neural architecture search for vision backbones: Optuna samplers, Ray or local workers, trials in SQL.",
    epilog="First steps: nas search --data digits --trials 24; then nas best STUDY, nas dashboard.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit")] = False) -> None:
    if version:
        typer.echo(f"mixer-nas {__version__}")
        raise typer.Exit


app.command()(search)
app.command(cls=Watching)(status)
app.command()(best)
app.command()(trials)


Side = Annotated[str, typer.Argument(metavar="TRIAL|best|NAME|FILE.json", help="Of the study, or a network")]


@app.command()
def compare(
    study: StudyName,
    left: Side,
    right: Side,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw both networks side by side")] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """What two trials, or a trial and a network, differ in: parts, costs, metrics, curves."""
    from runners import compare as comparing

    comparing.compare(study, storage, left, right, svg=svg, as_json=as_json, out=out)


@app.command()
def proxies(
    study: StudyName,
    storage: Storage = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--names", help="As in synflow,naswot [default: all]; params and macs come along"),
    ] = None,
    batch: Annotated[int, typer.Option(help="Training images that scores are taken on", min=4)] = 32,
    seed: Annotated[int, typer.Option(help="Of weights, images and resampling")] = 0,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the table as a picture")] = None,
    as_json: Json = False,
) -> None:
    """Score the trained networks as if untrained: do zero-cost scores rank them as training did?"""
    from runners import proxies_command

    proxies_command.proxies(
        study, storage, names=names or (), batch=batch, seed=seed, svg=svg, as_json=as_json, out=out, err=err
    )


app.command()(export)
app.command()(predict)
app.command()(bench)
app.command()(confirm)
app.command()(retrain)
app.command()(enqueue)
app.command()(doctor)
app.command()(report)


@app.command()
def dashboard(
    storage: Storage = None,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on", min=1, max=65535)] = 8080,
) -> None:
    """Optuna Dashboard on the database, for looking only."""
    from dashboards.app import serve
    from nas.store.database import storage_url

    serve(storage_url(storage), host, port, lambda text: err.print(text, highlight=False, soft_wrap=True))


@app.command()
def cost(
    network: Annotated[
        str, typer.Argument(metavar="NAME|FILE.json", help="A published network, or an architecture file")
    ],
    resolution: Annotated[
        int | None, typer.Option(help="Side of the input in pixels [default: the network's]", min=1)
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Outputs of the classifier [default: as published, else 1000]", min=1)
    ] = None,
    channels: Annotated[int, typer.Option(help="Channels of the input", min=1)] = 3,
    audit: Annotated[
        bool, typer.Option("--audit", help="Count a second time by tracing the real module with fvcore")
    ] = False,
    latency: Annotated[bool, typer.Option("--latency", help="Time it here: a forward pass in float32")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda, for --latency")] = "cpu",
    batch: Annotated[int, typer.Option(help="Images in a pass, for --latency", min=1)] = 1,
    as_json: Json = False,
) -> None:
    """Parameters, MACs and activation memory of a network, by stage."""
    from runners import look

    timed = (device, batch) if latency else None
    look.cost_of(network, resolution, classes, channels, audit=audit, timed=timed, as_json=as_json, out=out)


zoo_app = typer.Typer(help="The published networks: what they cost, what was reported of them, how they are built.")
app.add_typer(studies_app, name="studies")
app.add_typer(zoo_app, name="zoo")


@zoo_app.callback(invoke_without_command=True)
def zoo(
    context: typer.Context,
    family: Annotated[str | None, typer.Option(help="One family only, as in CvT")] = None,
    compare: Annotated[bool, typer.Option(help="Also networks that are not built here")] = True,
    as_json: Json = False,
) -> None:
    """The published networks: family, year, parameters, MACs, reported accuracy, source."""
    if context.invoked_subcommand is None:
        from runners import zoo_commands

        zoo_commands.table(family, compare=compare, as_json=as_json, out=out)
    elif family is not None or as_json:
        raise InputError(f"options of `nas zoo {context.invoked_subcommand}` go behind its name")


@zoo_app.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE.json", help="A published network, or an architecture file")],
    resolution: Annotated[
        int | None, typer.Option(help="Side of the input in pixels [default: the network's]", min=1)
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Outputs of the classifier", min=1)] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write it as a picture")] = None,
    as_json: Json = False,
) -> None:
    """Draw a network stage by stage; with --json, the architecture file that searches and `nas cost` read."""
    from runners import zoo_commands

    zoo_commands.show(name, resolution, classes, svg=svg, as_json=as_json, out=out)


@app.command("import-weights")
def import_weights(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A published network, as in cvt-13")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Its weights: .safetensors, .npz (Flax) or a torch file")
    ],
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Directory to make [default: exports/NAME]")] = None,
    source: Annotated[
        str | None, typer.Option(help="Whose names: timm, transformers or official [default: those that fit]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is there")] = False,
    as_json: Json = False,
) -> None:
    """Translate published weights into ours. Nothing is unpickled; keys that do not fit are listed."""
    from runners import zoo_commands

    zoo_commands.import_weights(name, file, source, to or Path("exports") / name, force=force, as_json=as_json, out=out)


@app.command()
def spaces(
    space: Annotated[str | None, typer.Argument(metavar="[SPACE]", help="Show the genes of one")] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Side of the input in pixels [default: 8, 28, 32 and 224]")
    ] = None,
    as_json: Json = False,
) -> None:
    """The spaces that come with mixer-nas, and how large they are."""
    from runners import look

    look.spaces(space, resolution, as_json=as_json, out=out)


def main() -> None:
    """Run the command; bad input is one line on standard error and exit code 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except NasError as error:
        _fail(str(error))
    except Terminated as ended:
        _leave(ended.signal)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: an unknown option or command
            _fail(error.format_message())
        raise


def _leave(number: int) -> NoReturn:
    """Exit as after this signal; another one of them does not change the exit code."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _fail(message: str) -> None:
    if message:
        sys.stderr.write(f"nas: {plain(' '.join(message.split()))}\n")
    sys.exit(2)
