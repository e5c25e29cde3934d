"""The commands about models that are taken home: `nas export`, `nas predict`, `nas bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runners.options import Json, Storage, StudyName, err, out

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="What `nas export` wrote")]
WRITTEN = "safetensors, py, onnx or pt2"


def export(
    study: StudyName,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Directory to make; with --pareto, DIR/trial-N for each")],
    trial: Annotated[int | None, typer.Option(help="Number of the trial [default: the best]")] = None,
    pareto: Annotated[bool, typer.Option("--pareto", help="Every network of the front")] = False,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help=f"{WRITTEN}; may be given again [default: all that can be had]"),
    ] = None,
    licence: Annotated[
        str, typer.Option("--license", metavar="ID", help="Of the weights, for the model card: as in apache-2.0")
    ] = "unknown",
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is there")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write a model as a folder for the Hugging Face hub; every format is compared before anything is kept."""
    from runners import exporting

    wish = exporting.Wish(to, trial, pareto, tuple(formats or ()), licence, force)
    exporting.export_study(study, storage, wish, as_json=as_json, out=out, err=err)


def predict(
    folder: Folder,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures that Pillow reads")],
    form: Annotated[
        str, typer.Option("--format", help=f"Which file to use: {WRITTEN}; py and pt2 run what the folder holds")
    ] = "safetensors",
    top: Annotated[int, typer.Option(help="Classes to show of each", min=1)] = 5,
    as_json: Json = False,
) -> None:
    """The likeliest classes of pictures, by an exported model."""
    from runners import predicting

    predicting.predict(folder, images, form=form, top=top, as_json=as_json, out=out)


def bench(
    folder: Folder,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="safetensors, onnx or pt2, which runs what the folder holds; may be given again "
            "[default: safetensors and onnx]",
        ),
    ] = None,
    batch: Annotated[str, typer.Option(metavar="N,N,...", help="Images in a pass")] = "1,8,32",
    threads: Annotated[int, typer.Option(help="Of torch and of onnxruntime", min=1)] = 1,
    as_json: Json = False,
) -> None:
    """How fast each format of an exported model is on this machine's CPU."""
    from runners import benching

    benching.bench(folder, tuple(formats or ()), batch, threads=threads, as_json=as_json, out=out)
