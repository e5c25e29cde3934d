"""Export: equal after reloading, atomic, and never over something that is not ours."""

import json

import pytest
import torch
from pictures import sound
from safetensors.torch import load_file, save_file

from nas import search
from nas.architecture import Architecture, Block, Embedding, Stage
from nas.errors import ExportError, InputError
from nas.export import FORMATS, export, load_exported
from nas.mixers import ConvAttention, DepthwiseConv, Pooling
from nas.recipe import Recipe
from nas.space import Space, of, one_of
from nas.training import TrainAndValidate, measure
from nas.trial import State


@pytest.fixture(scope="module")
def result(digits, tmp_path_factory):
    block = of(Block, mixer=one_of(DepthwiseConv(), Pooling(), ConvAttention(head_width=16, kv_stride=1)), norm="batch")
    embedding = Embedding(kernel=3, stride=2, padding=1)
    space = Space(of(Architecture, resolution=8, stages=(of(Stage, embedding=embedding, width=16, blocks=(block,)),)))
    evaluate = TrainAndValidate(digits, Recipe(epochs=1))
    folder = tmp_path_factory.mktemp("search")
    return search(
        space, evaluate, objectives=["accuracy:max"], trials=3, storage=f"sqlite:///{folder}/nas.db", study="s",
        runner="inline", checkpoints=folder / "c",
    )  # fmt: skip


def test_an_export_reloads_to_the_metrics_that_the_search_saw(result, digits, tmp_path):
    exported = export(result.best, digits, tmp_path / "model", study="s")

    assert exported.files == (
        "README.md", "architecture.json", "architecture.svg", "export.json", "metrics.json", "model.py",
        "model.safetensors", "preprocess.json",
    )  # fmt: skip
    assert exported.largest_difference == 0
    assert exported.metrics["validation"]["accuracy"] == result.best.metrics["accuracy"]
    model, facts = load_exported(tmp_path / "model")
    assert Architecture.load(tmp_path / "model" / "architecture.json") == result.best.candidate
    assert facts["classes"] == list(digits.classes)
    assert facts["trial"] == result.best.number
    words = sound((tmp_path / "model" / "architecture.svg").read_text(encoding="utf-8")).words
    assert words[0] == f"trial {result.best.number} of s"
    assert "image 8 × 8 × 1 → 10 classes" in words[1]
    measured = measure(model, digits, "test", torch.device("cpu"))
    assert json.loads((tmp_path / "model" / "metrics.json").read_text())["test"] == measured


@pytest.mark.soak
def test_every_mixer_of_the_study_exports(result, digits, tmp_path):
    assert {trial.candidate.stages[0].blocks[0].mixer.kind for trial in result.trials} == {
        "depthwise_conv", "pooling", "conv_attention",
    }  # fmt: skip
    for trial in result.trials:
        assert export(trial, digits, tmp_path / str(trial.number), study="s").largest_difference == 0


def test_an_existing_export_needs_force_and_anything_else_is_never_replaced(result, digits, tmp_path):
    target, weights = tmp_path / "model", {"study": "s", "formats": ("safetensors",)}
    export(result.best, digits, target, **weights)

    with pytest.raises(InputError, match="exists; --force replaces an export"):
        export(result.best, digits, target, **weights)
    export(result.best, digits, target, **weights, force=True)
    (target / "architecture.svg").unlink()  # as an export of an older version
    export(result.best, digits, target, **weights, force=True)
    (tmp_path / "thesis").mkdir()
    with pytest.raises(InputError, match="exists and is no export of ours"):
        export(result.best, digits, tmp_path / "thesis", **weights, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "thesis"]


def test_all_formats_agree_and_say_by_how_much(result, digits, tmp_path):
    exported = export(result.best, digits, tmp_path / "model", study="s", formats=tuple(FORMATS), strict=True)

    assert [check.form for check in exported.checks] == ["safetensors", "py", "onnx", "pt2"]
    assert not exported.left_out
    told = json.loads((tmp_path / "model" / "metrics.json").read_text())
    for check in exported.checks:
        assert check.largest_difference <= check.allowed
        assert told["formats"][check.form]["largest_difference"] == check.largest_difference
    assert told["formats"]["onnx"]["tolerance"] == 1e-4
    for split in ("validation", "test"):
        assert told["formats"]["onnx"][split]["accuracy"] == told[split]["accuracy"]
        low, high = told["accuracy_95"][split]
        assert low < told[split]["accuracy"] < high


def spoiled(part):
    """A writer of weights that are wrong where the name of the tensor says so."""

    def spoil(weights, path, **more):
        save_file({name: value + 1 if part in name else value for name, value in weights.items()}, path, **more)

    return spoil


def test_a_failed_check_says_which_format_differs_by_how_much_and_leaves_nothing_behind(
    result, digits, tmp_path, monkeypatch
):
    monkeypatch.setattr("nas.export.formats.save_file", spoiled("classifier.bias"))

    with pytest.raises(
        ExportError,
        match=r"the safetensors differs from the trained model by up to 1\.?\d* in its logits; 0 is allowed",
    ):
        export(result.best, digits, tmp_path / "model", study="s")
    assert list(tmp_path.iterdir()) == []


def test_another_format_that_differs_is_named_and_leaves_nothing_behind(result, digits, tmp_path, monkeypatch):
    def another(program, path):
        weights = program.state_dict  # shared with the model
        weights["classifier.bias"] = torch.nn.Parameter(weights["classifier.bias"].detach() + 0.01)
        save(program, path)

    save = torch.export.save
    monkeypatch.setattr(torch.export, "save", another)

    with pytest.raises(ExportError, match=r"the pt2 differs from the trained model by up to 0\.01"):
        export(result.best, digits, tmp_path / "model", study="s", formats=("pt2",))
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_cannot_be_written_is_left_out_with_its_reason_unless_it_was_asked_for(
    result, digits, tmp_path, monkeypatch
):
    def refuse(*_args, **_more):
        raise ExportError("token mixer 'mine' cannot be written into a file of its own")

    monkeypatch.setattr("nas.standalone.source", refuse)

    exported = export(result.best, digits, tmp_path / "model", study="s")
    assert exported.left_out == {"py": "token mixer 'mine' cannot be written into a file of its own"}
    assert "model.py" not in exported.files
    with pytest.raises(ExportError, match="token mixer 'mine'"):
        export(result.best, digits, tmp_path / "strict", study="s", strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_place_that_cannot_be_written_is_named(result, digits, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ExportError, match=r"cannot write to .*file"):
        export(result.best, digits, tmp_path / "file" / "model", study="s")


def test_trials_without_a_model_are_refused(result, digits, tmp_path):
    import dataclasses

    running = dataclasses.replace(result.best, state=State.RUNNING)
    gone = dataclasses.replace(
        result.best, budget=dataclasses.replace(result.best.budget, checkpoint=str(tmp_path / "gone"))
    )

    with pytest.raises(InputError, match="is running and cannot be exported"):
        export(running, digits, tmp_path / "model", study="s")
    with pytest.raises(InputError, match=r"has no checkpoint in .*gone; it cannot be exported"):
        export(gone, digits, tmp_path / "model", study="s")


def test_a_folder_that_is_no_export_or_holds_other_weights_is_refused(result, digits, tmp_path):
    with pytest.raises(InputError, match="is no export of mixer-nas"):
        load_exported(tmp_path)

    target = tmp_path / "model"
    export(result.best, digits, target, study="s", formats=("safetensors",))
    weights = load_file(target / "model.safetensors")
    weights.pop("classifier.bias")
    save_file(weights, target / "model.safetensors")
    with pytest.raises(InputError, match=r"is no export of mixer-nas: .*classifier\.bias"):
        load_exported(target)
