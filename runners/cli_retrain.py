"""The command `nas retrain` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runners.options import Json, Storage, err, out


def retrain(
    epochs: Annotated[int, typer.Option(help="Epochs of each training")],
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Name of a study in the database")] = None,
    trial: Annotated[int | None, typer.Option(help="Number of the trial [default: the best]")] = None,
    top: Annotated[int | None, typer.Option(help="How many of the best [default: 1]", min=1, max=100)] = None,
    network: Annotated[
        str | None, typer.Option(metavar="NAME|FILE.json", help="Instead of a study: a published network, or a file")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="With --network: digits, hf:HUB_ID_OR_DIRECTORY or folder:DIRECTORY")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="With --network: side in pixels to resize images to")] = None,
    recipe: Annotated[str, typer.Option(help="small, deit, metaformer, cvt, or search: that of the search")] = "small",
    weights: Annotated[str, typer.Option("--from", help="scratch, or search: train its weights on")] = "scratch",
    seeds: Annotated[int, typer.Option(help="Trainings of each network, with fresh seeds", min=1, max=100)] = 1,
    lr: Annotated[float | None, typer.Option(help="Learning rate [default: the recipe's, by the batch]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch [default: 16 to 128, by the data]")] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine, linear or held")] = None,
    warmup: Annotated[float | None, typer.Option(help="Epochs of rising learning rate")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of matrices and kernels")] = None,
    augment: Annotated[str | None, typer.Option(help="none, shift, shift-flip, auto or rand")] = None,
    mixup: Annotated[float | None, typer.Option(help="Parameter of the Beta distribution; 0: none")] = None,
    cutmix: Annotated[float | None, typer.Option(help="Parameter of the Beta distribution; 0: none")] = None,
    erase: Annotated[float | None, typer.Option(help="Probability that part of an image is erased")] = None,
    drop_path: Annotated[float | None, typer.Option(help="Rate of the last block")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="In [0, 1)")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of the averaged weights that are judged")] = None,
    workers: Annotated[
        int, typer.Option(help="That share every batch of a training, through Ray Train", min=1, max=1024)
    ] = 1,
    at_once: Annotated[
        int | None, typer.Option(help="Trainings at a time [default: one a core, or a GPU]", min=1)
    ] = None,
    runner: Annotated[str, typer.Option(help="local, ray, or inline")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Ray cluster: auto or HOST:PORT [default: start Ray here]")
    ] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="Share of a GPU for each training [default: as `nas search`]", min=0)
    ] = None,
    export: Annotated[Path | None, typer.Option(metavar="DIR", help="Export the best of them at the end")] = None,
    name: Annotated[str | None, typer.Option("--study", help="Name of their study [default: STUDY.retrain]")] = None,
    checkpoints: Annotated[str, typer.Option(help="Directory for checkpoints")] = "checkpoints",
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Train a found or published network fully, by a recipe of the field; test accuracy with its interval."""
    from runners.retrain import Wanted, run_retrain

    fields = {
        "lr": lr, "batch_size": batch_size, "schedule": schedule, "warmup": warmup, "weight_decay": weight_decay,
        "augment": augment, "mixup": mixup, "cutmix": cutmix, "erase": erase, "drop_path": drop_path,
        "label_smoothing": label_smoothing, "ema": ema,
    }  # fmt: skip
    wanted = Wanted(
        study=study,
        network=network,
        data=data,
        resolution=resolution,
        trial=trial,
        top=top,
        seeds=seeds,
        recipe=recipe,
        epochs=epochs,
        fields={key: value for key, value in fields.items() if value is not None},
        weights=weights,
        name=name,
        export=export,
        workers=workers,
        options={
            "runner": runner, "at_once": at_once, "address": address, "gpus_per_trial": gpus_per_trial, "checkpoints": checkpoints,
        },
    )  # fmt: skip
    raise typer.Exit(run_retrain(wanted, storage, as_json=as_json, out=out, err=err))
