"""The command line `nas`: every command is a few lines here; what they do lives elsewhere and is loaded when used."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from nas.errors import InputError, NasError, Terminated
from nas.version import __version__
from runners.cli_studies import Json, Storage, StudyName, confirm, doctor, enqueue, studies_app

app = typer.Typer(
    name="nas",
    help="Neural architecture search for vision backbones: Optuna samplers, Ray or local workers, trials in SQL.",
    epilog="First steps: nas search --data digits --trials 24; then nas best STUDY, nas dashboard.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
out, err = Console(), Console(stderr=True)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit")] = False) -> None:
    if version:
        typer.echo(f"mixer-nas {__version__}")
        raise typer.Exit


@app.command()
def search(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE.toml]", help="Search file; options override it")] = None,
    space: Annotated[
        str | None,
        typer.Option(help="metaformer, cvt, cvt13-nas, isotropic, or MODULE:NAME of your own [default: metaformer]"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="digits, hf:HUB_ID_OR_DIRECTORY or folder:DIRECTORY [default: digits]")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Side in pixels to resize images to [default: theirs]")] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME:max or NAME:min, once for each; accuracy, loss, params, macs, activation_bytes, latency_ms [default: accuracy:max]"
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME<=NUMBER, as in params<=2e6 or latency_ms<=5; what breaks it is never trained, or, with accuracy>=0.9, never the best"
        ),
    ] = None,
    latency_device: Annotated[
        str | None,
        typer.Option(help="cpu or cuda: where latency_ms is measured [default: what this machine trains on]"),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="How many trials the study shall have in all [default: 24]")
    ] = None,
    epochs: Annotated[
        str | None,
        typer.Option(
            metavar="MIN:MAX",
            help="Training budget: trials start with MIN epochs and the best go on by rungs up to MAX; MAX alone trains "
            "every trial fully [default: 1:10, and 10 with --evaluate]",
        ),
    ] = None,
    factor: Annotated[
        int | None, typer.Option(help="Of the trials of a rung one in so many goes on [default: 3]")
    ] = None,
    brackets: Annotated[
        int | None,
        typer.Option(help="Ladders of rungs, each beginning one rung higher than the one before [default: 1]"),
    ] = None,
    rung_subset: Annotated[
        float | None,
        typer.Option(help="Share of the training images at the first rung, rising to all of them at MAX [default: 1]"),
    ] = None,
    rung_resolution: Annotated[
        int | None,
        typer.Option(help="Side of the images in pixels at the first rung, rising to the full one [default: the full]"),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="auto, evolution, tpe, nsga2, nsga3, gp, qmc, random, brute-force (up to 100,000 combinations) or cmaes "
            "(spaces of numbers) [default: auto]"
        ),
    ] = None,
    runner: Annotated[
        str | None, typer.Option(help="local (processes of this machine), ray, or inline [default: local]")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at a time [default: one a core, or a GPU]")] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(help="Cores for each trial [default: all of them, shared out]")
    ] = None,
    gpus_per_trial: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE|auto",
            help="Share of a GPU for each trial; 0 for none; auto: as many trials on one as fit by a prediction "
            "[default: 1 where this machine, or the Ray cluster, has one; 0 with --evaluate]",
        ),
    ] = None,
    resources: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=AMOUNT", help="Custom resource of Ray nodes that each trial takes, as in A100=0.25"),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster: auto or HOST:PORT [default: start Ray here]")
    ] = None,
    runtime_env: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="YAML or JSON for Ray: what it shall set up on its nodes, as pip: [timm]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random [default: 0]")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which nothing new is started; what runs is finished")
    ] = None,
    trial_timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Seconds that one trial may take; its worker is killed then and the trial fails [default: none]",
        ),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Name; a study that exists is gone on with [default: by space and data]")
    ] = None,
    storage: Storage = None,
    subset: Annotated[
        float | None, typer.Option(help="Share of the training images to use, as in 0.2 [default: 1]")
    ] = None,
    evaluate: Annotated[
        str | None,
        typer.Option(help="MODULE:FUNCTION of your own instead of training: (candidate, budget, report) -> metrics"),
    ] = None,
    costs: Annotated[
        str | None, typer.Option(help="MODULE:FUNCTION with it: (candidate) -> costs known before")
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            help="Architecture to try first, a published name or FILE.json; scaled into the space and the limits. "
            "Without it, auto begins with published families; none: with nothing"
        ),
    ] = None,
    reuse: Annotated[
        bool | None,
        typer.Option("--reuse", help="Take in what other studies in the database found with the same data and recipe"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step [default: 16 to 128 by the size of the data]")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of AdamW [default: 0.004]")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, shift, shift-flip or auto [default: auto: flips colour images only]")
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(help="Directory for checkpoints, shared by all nodes of a cluster [default: checkpoints]"),
    ] = None,
    proxies: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Zero-cost scores to choose candidates by, as in synflow,naswot; see `nas proxies`",
        ),
    ] = None,
    callback: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="Ray Tune callback, an object or what makes one, as ray.tune.logger:JsonLoggerCallback",
        ),
    ] = None,
    export: Annotated[str | None, typer.Option(metavar="DIR", help="Export the best model there at the end")] = None,
    published: Annotated[
        bool | None,
        typer.Option("--published", help="Also train the published families, scaled to the limits, for comparison"),
    ] = None,
    baseline: Annotated[
        bool | None,
        typer.Option("--baseline", help="Also run random search with the same budget and limits, for comparison"),
    ] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the closing tables as a picture")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how large the space is and what a trial costs, and stop")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Let Ray's log and ours through, as NAS_LOG=debug does")
    ] = False,
    as_json: Json = False,
) -> None:
    """Search for architectures. Interrupted, the same command goes on where it was."""
    given = {
        "space": space, "data": data, "resolution": resolution, "objectives": objective or None, "limits": limit or None,
        "trials": trials, "epochs": epochs, "factor": factor, "brackets": brackets, "sampler": sampler, "runner": runner, "workers": workers,
        "cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial, "resources": resources or None,
        "address": address, "seed": seed, "timeout": timeout, "trial_timeout": trial_timeout,
        "study": study, "storage": storage, "subset": subset, "evaluate": evaluate, "costs": costs, "start": start or None,
        "batch_size": batch_size, "lr": lr, "augment": augment, "checkpoints": checkpoints, "export": export,
        "published": published, "baseline": baseline, "reuse": reuse, "proxies": proxies or None,
        "callbacks": callback or None,
        "latency_device": latency_device, "rung_subset": rung_subset, "rung_resolution": rung_resolution,
        "runtime_env": runtime_env,
    }  # fmt: skip
    from nas.config import read_config
    from runners import logs

    if verbose:
        os.environ[logs.VARIABLE] = "debug"
    logs.configure()
    config = read_config(file, {name: value for name, value in given.items() if value is not None})
    if dry_run:
        from runners.dry_run import dry_run as say

        raise typer.Exit(say(config, as_json=as_json, out=out))
    from runners.search_command import run_search

    raise typer.Exit(run_search(config, svg=svg, as_json=as_json, out=out, err=err))


@app.command()
def status(study: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """How far a study is, and its best so far."""
    from runners import look

    look.status(study, storage, as_json=as_json, out=out)


@app.command()
def best(
    study: StudyName,
    storage: Storage = None,
    count: Annotated[int, typer.Option("-n", help="How many, with one objective", min=1)] = 5,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the table as a picture")] = None,
    as_json: Json = False,
) -> None:
    """The best trials; with several objectives, the front."""
    from runners import look

    look.best(study, storage, count=count, svg=svg, as_json=as_json, out=out)


@app.command()
def trials(study: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """Every trial of a study."""
    from runners import look

    look.trials(study, storage, as_json=as_json, out=out)


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


@app.command()
def export(
    study: StudyName,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Directory to make")],
    trial: Annotated[int | None, typer.Option(help="Number of the trial [default: the best]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is there")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write a trial's model: weights, architecture, metrics; reloaded and compared before anything is kept."""
    from runners import look

    look.export_trial(study, storage, to=to, number=trial, force=force, as_json=as_json, out=out)


app.command()(confirm)
app.command()(enqueue)
app.command()(doctor)


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
    as_json: Json = False,
) -> None:
    """Draw a network stage by stage; with --json, the architecture file that searches and `nas cost` read."""
    from runners import zoo_commands

    zoo_commands.show(name, resolution, classes, as_json=as_json, out=out)


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
        sys.stderr.write(f"nas: {' '.join(message.split())}\n")
    sys.exit(2)
