"""`nas export`, `nas predict` and `nas bench` as a person uses them, and one clear line for bad input."""

import json
import shutil
import zipfile

import numpy as np
import pytest
import torch
from conftest import command
from PIL import Image

from nas.errors import InputError
from nas.export import load_exported, opened
from nas.export.formats import NEEDED

FORMS = ("safetensors", "py", "onnx", "pt2")


@pytest.fixture
def nas(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def searched(tmp_path_factory, _own_cache):
    """URL of a study of two objectives on the digits, with a network or two on its front, and one exported in full."""
    from _pytest.monkeypatch import MonkeyPatch

    from runners import cli

    folder = tmp_path_factory.mktemp("searched")
    url = f"sqlite:///{folder}/nas.db"
    words = (
        "search",
        "--objective",
        "accuracy:max",
        "--objective",
        "params:min",
        "--limit",
        "params<=2e4",
        "--trials",
        "2",
    )
    with MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for arguments in (
            (*words, "--epochs", "1", "--runner", "inline", "--study", "s", "--storage", url, "--json"),
            ("export", "s", "--to", "all", "--storage", url, "--json"),
        ):
            patch.setattr("sys.argv", ["nas", *arguments])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert not ended.value.code
    return url, folder / "all"


@pytest.fixture
def pictures(digits, tmp_path):
    """A few test images as files, larger and not square; the square in the middle is what counts."""
    paths = []
    for index in range(3):
        image = Image.fromarray(digits.images("test")[index, :, :, 0])
        paths.append(tmp_path / f"{index}.png")
        padded = Image.new("L", (14, 8))
        padded.paste(image, (3, 0))
        padded.save(paths[-1])
    return paths


def test_everything_that_can_be_had_is_exported(searched):
    _, folder = searched

    assert {path.name for path in folder.iterdir()} == {
        "README.md", "architecture.json", "architecture.svg", "export.json", "metrics.json", "model.onnx", "model.pt2",
        "model.py", "model.safetensors", "preprocess.json",
    }  # fmt: skip


def test_the_whole_front_goes_to_folders_of_its_own(nas, searched, tmp_path):
    url, _ = searched
    _, out, _ = nas("best", "s", "--storage", url, "--json")
    numbers = [trial["number"] for trial in json.loads(out)]

    code, out, err = nas(
        *("export", "s", "--to", "front", "--pareto", "--format", "safetensors", "--storage", url, "--json")
    )

    assert code == 0, err
    assert [each["trial"] for each in json.loads(out)["exports"]] == numbers
    assert {path.name for path in (tmp_path / "front").iterdir()} == {f"trial-{number}" for number in numbers}
    for number in numbers:
        assert load_exported(tmp_path / "front" / f"trial-{number}")[1]["trial"] == number


def test_one_folder_of_the_front_that_is_in_the_way_stops_all_before_anything_is_written(nas, searched, tmp_path):
    url, _ = searched
    _, out, _ = nas("best", "s", "--storage", url, "--json")
    last = tmp_path / "front" / f"trial-{json.loads(out)[-1]['number']}"
    last.mkdir(parents=True)

    code, _, err = nas("export", "s", "--to", "front", "--pareto", "--storage", url)

    assert code == 2
    assert f"{last} exists and is no export of ours" in err
    assert list((tmp_path / "front").iterdir()) == [last]


def test_without_the_extra_onnx_is_left_out_with_a_line_and_refused_where_it_is_asked_for(
    nas, searched, tmp_path, monkeypatch
):
    url, folder = searched
    monkeypatch.setattr("nas.export.formats.find_spec", lambda name: None if name in NEEDED else name)
    monkeypatch.setattr("nas.export.formats.FORMATS", {form: f"model.{form}" for form in ("safetensors", "onnx")})

    code, _, err = nas("export", "s", "--to", "out", "--storage", url)
    assert code == 0, err
    assert "without ONNX, which needs onnx, onnxscript, onnxruntime: pip install 'mixer-nas[export]'" in err
    assert not (tmp_path / "out" / "model.onnx").exists()

    for asked in (
        ("export", "s", "--to", "o2", "--format", "onnx", "--storage", url),
        ("bench", folder, "--format", "onnx"),
    ):
        code, _, err = nas(*asked)
        assert code == 2
        assert err.strip().endswith("pip install 'mixer-nas[export]'")
        assert err.count("\n") == 1
    assert not (tmp_path / "o2").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--to", "x", "--format", "tflite"), "unknown format 'tflite'"),
        (("--to", "x", "--license", "MIT License"), "--license 'MIT License': an identifier as in apache-2.0"),
        (("--to", "x", "--pareto", "--trial", "0"), "--pareto and --trial"),
        (("--to", "x", "--trial", "99"), "has no trial 99"),
        (("--to", ".."), "is no name for a folder"),
        (("--to", "../" * 2 + "x" * 300), "is no name for a folder"),
        (("--to", "."), "exists and is no export of ours"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(more, said, nas, searched, tmp_path):
    code, _, err = nas("export", "s", *more, "--storage", searched[0])

    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_every_format_predicts_what_the_model_does(nas, searched, pictures, digits):
    _, folder = searched
    model, facts = load_exported(folder)
    mean, std = (torch.tensor(facts[name]).view(-1, 1, 1) for name in ("mean", "std"))
    bytes_BHW1 = torch.from_numpy(np.array(digits.images("test")[:3]))
    with torch.inference_mode():
        shares_BK = model((bytes_BHW1.permute(0, 3, 1, 2).float() / 255 - mean) / std).softmax(1)

    for form in FORMS:
        code, out, err = nas("predict", folder, *pictures, "--format", form, "--top", "3", "--json")
        assert code == 0, err
        for row, shares_K, path in zip(json.loads(out), shares_BK, pictures, strict=True):
            values, indices = shares_K.topk(3)
            assert row["image"] == str(path)
            assert [each["class"] for each in row["top"]] == [digits.classes[index] for index in indices]
            assert [each["probability"] for each in row["top"]] == pytest.approx(values.tolist(), abs=1e-4)


def test_a_prediction_is_a_line_for_every_picture(nas, searched, pictures, tmp_path):
    pictures = [path.relative_to(tmp_path) for path in pictures]  # a long path would be folded
    code, out, _ = nas("predict", searched[1], *pictures, "--top", "50")

    assert code == 0
    assert out.splitlines()[0].split() == ["image", *(f"{place}." for place in range(1, 11))]
    assert [line.split()[0] for line in out.splitlines()[1:]] == [str(path) for path in pictures]
    assert out.count("%") == 30


def test_what_cannot_be_predicted_from_is_one_line(nas, searched, pictures, tmp_path):
    _, folder = searched
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ((tmp_path / "empty", pictures[0]), "is no export of mixer-nas"),
        ((folder, tmp_path / "none.png"), "none.png: there is no such file"),
        ((folder, tmp_path), "a picture is expected, not a directory"),
        ((folder, pictures[0], tmp_path / "text.png"), "corrupt image"),
        ((folder, pictures[0], "--format", "coreml"), "unknown format 'coreml'"),
    ):
        code, out, err = nas("predict", *arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1


def test_the_bench_times_every_format_and_batch_and_says_where(nas, searched):
    _, folder = searched

    forms = [word for form in ("safetensors", "onnx", "pt2") for word in ("--format", form)]

    code, out, err = nas("bench", folder, *forms, "--batch", "1,5", "--json")

    assert code == 0, err
    told = json.loads(out)
    assert (told["threads"], told["dtype"], told["image"]) == (1, "float32", [1, 8, 8])
    assert told["device"]
    assert [(row["format"], row["batch"]) for row in told["rows"]] == [
        (form, size) for form in ("safetensors", "onnx", "pt2") for size in (1, 5)
    ]
    for row in told["rows"]:
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["images_per_second"] == pytest.approx(1e3 * row["batch"] / row["median_ms"])
    _, shown, _ = nas("bench", folder, "--batch", "2")
    assert "images/s" in shown
    assert "pt2" not in shown  # it runs what the folder holds, so only when it is asked for


@pytest.mark.parametrize("batch", ["", "0", "1,,2", "x", "-1", "1e9", "5000"])
def test_a_batch_that_cannot_be_is_one_line(batch, nas, searched):
    code, _, err = nas("bench", searched[1], f"--batch={batch}")

    assert code == 2
    assert "whole numbers from 1 to 4096" in err


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("export.json", {"channels": "one"}, "is no export of mixer-nas"),
        ("export.json", {"classes": None}, "is no export of mixer-nas"),
        ("export.json", {"resolution": 9}, "preprocess.json is not that of the model"),
        ("preprocess.json", {"size": 10**9}, "preprocess.json is not that of the model"),
        ("preprocess.json", {"mean": [0.1, 0.2]}, "preprocess.json is not that of the model"),
        ("preprocess.json", {"std": "x"}, "preprocess.json cannot be read"),
        ("preprocess.json", None, "how images must be normalised for it is unknown"),
    ],
)
def test_facts_that_do_not_fit_are_one_line(file, change, said, nas, searched, pictures, tmp_path):
    folder = shutil.copytree(searched[1], tmp_path / "changed")
    if change is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | change))

    code, _, err = nas("predict", folder, pictures[0])

    assert code == 2
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("form", ["onnx", "pt2", "safetensors"])
def test_a_torn_file_is_one_line(form, nas, searched, tmp_path):
    torn = shutil.copytree(searched[1], tmp_path / "torn")
    path = torn / f"model.{form}"
    path.write_bytes(path.read_bytes()[:1000])

    code, _, err = nas("bench", torn, "--format", form, "--batch", "1")

    assert code == 2
    assert str(torn) in err
    assert err.count("\n") == 1


def test_a_program_that_would_unpickle_is_not_opened(searched, tmp_path):
    folder = shutil.copytree(searched[1], tmp_path / "evil")
    marker = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    for inner, content in (
        ("data/weights/model_weights_config.json", None),
        ("data/sample_inputs/model.pt", Payload()),
        ("data/weights/model.pt", b"legacy"),
    ):
        with zipfile.ZipFile(searched[1] / "model.pt2") as whole:
            entries = {name: whole.read(name) for name in whole.namelist()}
        root = next(iter(entries)).partition("/")[0]
        if content is None:
            entries[f"{root}/{inner}"] = entries[f"{root}/{inner}"].replace(
                b'"use_pickle": false', b'"use_pickle": true', 1
            )
        elif isinstance(content, bytes):
            entries[f"{root}/{inner}"] = content
        else:
            torch.save(content, tmp_path / "payload")
            entries[f"{root}/{inner}"] = (tmp_path / "payload").read_bytes()
        with zipfile.ZipFile(folder / "model.pt2", "w") as changed:
            for name, value in entries.items():
                changed.writestr(name, value)

        with pytest.raises(InputError, match=r"model\.pt2 cannot be read"):
            opened(folder, "pt2")
        assert not marker.exists()
