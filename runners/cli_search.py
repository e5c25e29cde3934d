"""The command `nas search` and its options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from runners.options import Json, Storage, err, out


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
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="scratch|inherit|supernet",
            help="What a trial begins with: inherit takes the weights of the nearest trained one, where shapes allow; "
            "supernet trains one network that contains all, judges trials by it, and trains the best [default: scratch]",
        ),
    ] = None,
    supernet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A trained supernet of this space and data to judge by")
    ] = None,
    supernet_epochs: Annotated[
        int | None, typer.Option(help="Epochs of the supernet [default: 3 times those of a trained network]")
    ] = None,
    supernet_sampling: Annotated[
        str | None,
        typer.Option(
            help="sandwich (the largest, by the labels; the smallest and some between, by the largest) or uniform "
            "[default: sandwich]"
        ),
    ] = None,
    supernet_at_once: Annotated[
        int | None,
        typer.Option(help="Networks that each of its steps trains [default: 4 of a sandwich, 1 of uniform]"),
    ] = None,
    supernet_workers: Annotated[
        int | None,
        typer.Option(help="With --runner ray: that share every batch of its training, through Ray Train [default: 1]"),
    ] = None,
    judge_images: Annotated[
        int | None,
        typer.Option(help="With a supernet: validation images that candidates are judged on; 0: all [default: 2048]"),
    ] = None,
    shrink: Annotated[
        bool | None,
        typer.Option(
            "--shrink",
            help="Train the supernet on easy classes first, then more, dropping the weakest options of every choice (DA-NAS)",
        ),
    ] = None,
    shrink_cost: Annotated[
        float | None,
        typer.Option(
            help="With --shrink: accuracy that e times the MACs must bring, or an option loses [default: 0.02]"
        ),
    ] = None,
    retrain: Annotated[
        int | None,
        typer.Option(
            help="With a supernet: how many of the best are trained; of several objectives the best by the first that "
            "training changes and those that cover most of the front [default: 3]"
        ),
    ] = None,
    retrain_from: Annotated[
        str | None,
        typer.Option(
            metavar="scratch|supernet",
            help="With a supernet: what their training begins with, new weights or the inherited ones, which need fewer "
            "epochs [default: scratch]",
        ),
    ] = None,
    retrain_epochs: Annotated[
        int | None, typer.Option(help="With a supernet: epochs of these trainings [default: --epochs MAX]")
    ] = None,
    spread: Annotated[
        int | None,
        typer.Option(
            help="With a supernet: how many others, from good to bad, are trained to see whether it orders them rightly "
            "[default: 6]"
        ),
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
        "batch_size": batch_size, "lr": lr, "augment": augment, "weights": weights,
        "supernet": None if supernet is None else str(supernet), "supernet_epochs": supernet_epochs,
        "supernet_at_once": supernet_at_once, "supernet_workers": supernet_workers, "judge_images": judge_images, "shrink": shrink, "shrink_cost": shrink_cost,
        "supernet_sampling": supernet_sampling, "retrain": retrain, "retrain_from": retrain_from, "retrain_epochs": retrain_epochs,
        "spread": spread, "checkpoints": checkpoints, "export": export,
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
