"""`nas zoo`, `nas zoo show`, `nas import-weights` and `--start`, as people call them."""

import json
import sys

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from nas import build, diagram, pretrained, zoo
from nas.architecture import Architecture
from nas.export import load_exported
from nas.wording import short_architecture
from runners import cli


@pytest.fixture
def checkpoint(tmp_path):
    """Weights of ConvMixer's CIFAR-10 member by timm's names, and the model they are of."""
    model = build(zoo.get("convmixer-256-8-cifar10"), num_classes=10).eval()
    state = pretrained.translate_back(model, "ConvMixer", "timm")
    save_file(state, tmp_path / "weights.safetensors")
    return model, tmp_path / "weights.safetensors"


def test_the_zoo_lists_every_network_with_its_costs_and_others_to_compare_with(nas):
    code, out, _ = nas("zoo", "--json")
    rows = {row["name"]: row for row in json.loads(out)}

    assert code == 0
    assert set(zoo.names()) <= set(rows)
    assert (rows["cvt-13"]["params"], rows["cvt-13"]["top1"], rows["cvt-13"]["year"]) == (19_997_480, 81.6, 2021)
    assert rows["randformer-s12"]["frozen_params"] == 12_127_010 - rows["randformer-s12"]["params"]
    assert not rows["ResNet-50"]["in_zoo"]
    assert all(row["source"] for row in rows.values())


def test_the_zoo_of_one_family_has_that_family_only(nas):
    code, out, _ = nas("zoo", "--family", "cvt", "--json")

    assert code == 0
    assert {row["family"] for row in json.loads(out)} == {"CvT"}


def test_the_table_is_for_people(nas):
    code, out, _ = nas("zoo", "--family", "PVT")

    assert code == 0
    assert "pvt-large" in out
    assert "arXiv 2102.12122" in out


def test_an_unknown_family_lists_the_known_ones(nas):
    code, _, err = nas("zoo", "--family", "swin")

    assert code == 2
    assert err.startswith("nas: unknown family 'swin'; known: ConvMixer, MLP-Mixer")


@pytest.mark.parametrize(
    "name", ["cvt-13", "caformer-s18", "gmlp-s16", "convmixer-768-32", "pvt-tiny", "metaformer-rrrr-s12"]
)
def test_a_network_is_drawn_stage_by_stage_with_its_shares(nas, name):
    code, out, _ = nas("zoo", "show", name)

    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith(f"{name}: {zoo.entry(name).family}")
    assert sum(line.startswith("├ stage") for line in lines) == len(zoo.get(name).stages)
    for stage in zoo.get(name).stages:
        assert stage.blocks[0].mixer.kind in out
    assert "GMACs" in lines[-1]


def test_runs_of_equal_blocks_are_drawn_once(nas):
    _, out, _ = nas("zoo", "show", "cvt-13-nas")

    assert "7 x conv_attention" in out
    assert "3 x conv_attention" in out


def test_show_as_json_is_an_architecture_file(nas, tmp_path):
    code, out, _ = nas("zoo", "show", "cvt-13", "--json")
    (tmp_path / "mine.json").write_text(out)

    assert code == 0
    assert Architecture.from_json(out) == zoo.get("cvt-13")
    assert nas("cost", "mine.json")[0] == 0


def test_a_resolution_that_a_network_cannot_take_says_which_stage_and_why(nas):
    code, _, err = nas("zoo", "show", "cvt-13", "--resolution", "3")

    assert code == 2
    assert err.startswith(
        "nas: cvt-13 does not take 3 pixels: stages[0].embedding.stride: 4 is larger than the 3x3 map"
    )


def test_an_unknown_network_lists_the_nearest(nas):
    code, _, err = nas("zoo", "show", "cvt-14")

    assert code == 2
    assert err.startswith("nas: unknown architecture 'cvt-14': did you mean cvt-")
    assert f"`nas zoo` lists the {len(zoo.names())} known ones" in err


def test_imported_weights_are_those_of_the_file(nas, checkpoint, tmp_path):
    model, file = checkpoint

    code, out, _ = nas("import-weights", "convmixer-256-8-cifar10", file, "--to", "out", "--json")

    reloaded, facts = load_exported(tmp_path / "out")
    images = torch.randn(2, 3, 32, 32)
    assert code == 0
    assert json.loads(out)["params"] == 594_186
    assert (facts["network"], len(facts["classes"])) == ("convmixer-256-8-cifar10", 10)
    with torch.no_grad():
        assert torch.equal(reloaded(images), model(images))


def test_imported_weights_replace_nothing_unless_told(nas, checkpoint):
    _, file = checkpoint
    nas("import-weights", "convmixer-256-8-cifar10", file, "--to", "out")

    code, _, err = nas("import-weights", "convmixer-256-8-cifar10", file, "--to", "out")

    assert (code, err.startswith("nas: ")) == (2, True)
    assert "--force replaces an export" in err
    assert nas("import-weights", "convmixer-256-8-cifar10", file, "--to", "out", "--force")[0] == 0


def test_weights_of_another_network_are_refused_with_the_first_mismatches_and_nothing_is_written(
    nas, checkpoint, tmp_path
):
    _, file = checkpoint

    code, _, err = nas("import-weights", "convmixer-1024-20", file, "--to", "out")

    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "missing (" in err
    assert "of another shape (" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cvt-14", "x.safetensors"), "unknown architecture 'cvt-14'"),
        (("cvt-13", "x.safetensors"), "x.safetensors"),
        (("cvt-13", "junk.safetensors"), "holds no weights that can be read safely"),
        (("cvt-13", "junk.pt"), "holds no weights that can be read safely"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(nas, tmp_path, words, message):
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    (tmp_path / "junk.pt").write_bytes(b"junk")

    code, out, err = nas("import-weights", *words)

    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_source_that_a_family_is_not_in_says_where_it_is(nas, checkpoint):
    _, file = checkpoint

    code, _, err = nas("import-weights", "cvt-13", file, "--source", "timm")

    assert code == 2
    assert err.strip() == "nas: timm has no CvT; weights come from transformers or official"


def test_a_search_starts_from_published_networks_scaled_to_it(nas):
    code, _, err = nas(
        *("search", "--data", "digits", "--trials", "2", "--epochs", "1", "--runner", "inline"),
        *("--limit", "params<=50e3", "--start", "cvt-13", "--start", "poolformer-s12", "--json"),
    )

    assert code == 0
    assert "start cvt-13: a point of metaformer like it takes its place (width x" in err
    _, listed, _ = nas("trials", "metaformer-digits", "--json")
    trials = json.loads(listed)
    assert [trial["origin"] for trial in trials] == ["start", "start"]
    mixers = [trial["candidate"]["stages"][0]["blocks"][0]["mixer"]["kind"] for trial in trials]
    assert mixers == ["conv_attention", "pooling"]


def test_a_start_that_no_scale_brings_within_the_limits_is_bad_input(nas):
    code, _, err = nas("search", "--data", "digits", "--limit", "params<=900", "--start", "cvt-13", "--trials", "1")

    assert code == 2
    assert "params<=900" in err


def test_names_are_whole_on_a_narrow_terminal(nas, monkeypatch):
    monkeypatch.setattr(cli, "out", Console(width=80, file=sys.stdout))
    code, out, _ = nas("zoo", "--family", "ConvMixer")

    assert code == 0
    assert all(name in out for name in ("convmixer-1536-20", "convmixer-256-8-cifar10"))


def test_a_drawing_keeps_its_frame_on_a_narrow_terminal():
    drawing = diagram.text(zoo.get("cvt-13"), width=80)

    assert max(map(len, drawing.splitlines())) <= 80
    assert all(line[0] in "╭├│╰" for line in drawing.splitlines())


def test_options_before_show_are_refused_rather_than_ignored(nas):
    code, _, err = nas("zoo", "--json", "show", "cvt-13")

    assert (code, err) == (2, "nas: options of `nas zoo show` go behind its name\n")


@pytest.mark.parametrize(("name", "said"), [("ResNet-50", "a row to compare with"), ("CVT-13", "did you mean cvt-13")])
def test_a_name_that_is_listed_or_in_capitals_is_not_merely_unknown(nas, name, said):
    code, _, err = nas("cost", name)

    assert code == 2
    assert said in err


def test_a_cost_is_for_the_classes_that_the_network_was_published_with(nas):
    _, out, _ = nas("cost", "cvt-cifar10", "--json")

    assert json.loads(out)["params"] == 19_547_466


def test_a_dry_run_looks_at_its_starts_too(nas):
    assert nas("search", "--data", "digits", "--start", "nope", "--dry-run")[0] == 2


def test_networks_whose_blocks_differ_are_told_apart_in_tables():
    same, other = zoo.get("cvt-13"), zoo.get("cvt-13-nas")

    assert short_architecture(same) == "cvt3 64x1 | cvt3 192x2 | cvt3 384x10"
    assert short_architecture(other) == "cvt3 64x1 | cvt3 192x2 | cvt3 384x10 kv1111111222 r4444444222"
