"""A network as one file: short, of torch alone, and the same network."""

import ast
import random
import subprocess
import sys

import pytest
import torch
from networks import EVERY, MODERN, PYRAMID, network, patch, stage
from safetensors.torch import load_file, save_file
from standing import executed, small, standing

from nas import zoo
from nas.architecture import Block, Embedding, Stage
from nas.errors import ExportError
from nas.mixers import MIXERS, Attention, DepthwiseConv, Identity
from nas.model import Backbone, build
from nas.standalone import run, run_all, source
from nas.tally import ACTIVATIONS, NORMS
from search_spaces import SPACES, get

ALLOWED = {"torch", *sys.stdlib_module_names}


def candidates():
    """Random networks of every space, small and large images."""
    rng = random.Random(5)
    for name in SPACES:
        for resolution in (16, 32, 64) if name != "cvt13-nas" else (32, 64):
            space = get(name, resolution)
            yield from ((f"{name}-{resolution}-{index}", space.decode(space.sample(rng))) for index in range(2))


CANDIDATES = dict(candidates())
NETWORKS = {
    **{name: zoo.get(name) for name in zoo.names()},
    **CANDIDATES,
    "modern": MODERN,
    "pyramid": PYRAMID,
    "every": EVERY,
}
LINES = 400
MOST_LINES = 480  # of every mixer, norm and activation at once, which no space has


@pytest.fixture(scope="module")
def texts():
    meant = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    return {
        name: source(each, in_channels=3, num_classes=1000, title=name, classes=[*map(str, names)], **meant)
        for name, each in NETWORKS.items()
        if name not in {"modern", "pyramid"}
        for names in [range(10 if name == "every" else 1000)]
    }


@pytest.mark.slow
def test_a_file_is_under_400_lines_and_imports_torch_and_the_standard_library_only(texts):
    assert len(texts) == len(zoo.names()) + len(CANDIDATES) + 1 >= 78 + 20
    for name, text in texts.items():
        assert text.count("\n") < (MOST_LINES if name == "every" else LINES), name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= ALLOWED, name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, name
                assert node.module.split(".")[0] in ALLOWED | {"__future__"}, name


def test_everything_a_file_defines_is_used_and_it_is_formatted(texts, tmp_path):
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
        defined = [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        assert set(defined) - used <= {"load", "preprocess"}, name
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["format", "--check", "--line-length=120"], ["check", "--select=E,F,W,B", "--line-length=120"]):
        told = subprocess.run([*ruff, *command, "--isolated", tmp_path], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout


@pytest.mark.slow
def test_the_weights_of_a_network_fit_its_file(texts):
    for name, text in texts.items():
        with torch.device("meta"):
            written = executed(text)["Model"]().state_dict()
            built = Backbone(NETWORKS[name], 3, 1000, 0.0).state_dict()
        assert {key: value.shape for key, value in written.items()} == {
            key: value.shape for key, value in built.items()
        }


@pytest.mark.slow
def test_every_network_gives_the_same_logits_in_an_interpreter_without_our_packages(tmp_path):
    seen = {block.mixer.kind for each in NETWORKS.values() for part in each.stages for block in part.blocks}
    assert seen >= {kind for kind, mixer in MIXERS.items() if mixer.__module__.startswith("nas.")}
    different = {small(each): name for name, each in NETWORKS.items()}  # sizes of a family may become the same
    assert len(different) > 70
    pairs = [standing(tmp_path / name, each, seed=index) for index, (each, name) in enumerate(different.items())]

    logits = run_all([each for each, _ in pairs])

    for name, (_, expected), found in zip(different.values(), pairs, logits, strict=True):
        assert expected.std() > 0, name
        assert torch.allclose(found, expected, rtol=0, atol=1e-6), name


def test_a_network_at_another_size_and_with_other_channels(tmp_path):
    at_8 = standing(tmp_path / "a", CANDIDATES["isotropic-16-0"].at(8), channels=1, classes=2)
    at_48 = standing(tmp_path / "b", network(stage(Attention(head_width=8), DepthwiseConv(kernel=4))).at(48))
    free = network(stage(Attention(head_width=8), Identity()))
    (folder, _), _ = standing(tmp_path / "c", free)
    larger_BCHW = torch.randn(1, 3, 64, 64)
    model = build(free, num_classes=7).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    with torch.inference_mode():
        expected = [at_8[1], at_48[1], model(larger_BCHW)]

    for found, logits in zip(run_all([at_8[0], at_48[0], (folder, larger_BCHW)]), expected, strict=True):
        assert torch.allclose(found, logits, rtol=0, atol=1e-6)


def test_only_what_a_network_uses_of_a_layer_is_in_its_file():
    text = source(network(stage(Attention(head_width=8))), in_channels=3, num_classes=2)

    for word in ("class_token", "drop_path", "DropPath", "norm_first", "LayerScale", "make_activation", "preprocess"):
        assert word not in text
    assert "AttentionMixer(32, heads=4)" in text
    assert "Mlp(32, hidden=128)" in text


def test_every_mixer_norm_and_activation_is_in_the_longest_network():
    blocks = [block for part in EVERY.stages for block in part.blocks]

    assert {block.mixer.kind for block in blocks} >= {k for k, each in MIXERS.items() if each.__module__[:4] == "nas."}
    assert {block.norm for block in blocks} | {"none"} == set(NORMS)
    assert {block.activation for block in blocks} == set(ACTIVATIONS)


def test_blocks_that_differ_in_the_mixer_alone_are_a_loop_over_the_mixers():
    mixers = (Attention(head_width=8), DepthwiseConv(), Identity())
    odd = Block(mixer=Identity(), mlp_ratio=2)
    alike = tuple(Block(mixer=each) for each in mixers)

    text = source(network(Stage(embedding=patch(), width=32, blocks=(*alike, odd))), in_channels=3, num_classes=2)

    loop = "for mixer in (AttentionMixer(32, heads=4), DepthwiseMixer(32, side=8, kernel=3), nn.Identity()):"
    assert loop in text
    assert "mix = Branch(nn.LayerNorm(32), mixer)" in text
    assert text.count("stage.append") == 2


def test_blocks_of_the_conv_mixer_layout_make_such_a_loop_too(tmp_path):
    fields = {"layout": "conv_mixer", "mlp_ratio": 0, "norm": "batch"}
    pair, expected = standing(tmp_path / "m", network(stage(DepthwiseConv(), Attention(head_width=8), **fields)))

    assert "for mixer in (DepthwiseMixer(32, side=8, kernel=3), AttentionMixer(32, heads=4)):" in (
        pair[0] / "model.py"
    ).read_text(encoding="utf-8")
    assert torch.allclose(run(*pair), expected, rtol=0, atol=1e-6)


def test_equal_blocks_are_a_loop_and_blocks_by_turns_too():
    one, other = Block(mixer=Attention(head_width=8)), Block(mixer=DepthwiseConv())
    blocks = (one, one, one, other, one, other, one, Block(mixer=Identity()))

    text = source(network(Stage(embedding=patch(), width=32, blocks=blocks)), in_channels=3, num_classes=2)

    assert [line.strip() for line in text.splitlines() if line.strip().startswith("for _")] == [
        "for _ in range(3):",
        "for _ in range(2):",
    ]
    assert text.count("stage.append") == 4


def test_the_images_of_a_data_set_are_preprocessed_as_in_training(digits):
    from nas.augment import Preprocess

    data = digits
    shape = {"in_channels": data.channels, "num_classes": 10, "mean": data.mean, "std": data.std}
    names = executed(source(network(stage(), resolution=data.resolution), **shape, classes=data.classes))
    images_BHWC = torch.randint(0, 256, (5, data.resolution, data.resolution, data.channels), dtype=torch.uint8)

    assert torch.equal(names["preprocess"](images_BHWC), Preprocess(data, "none").eval()(images_BHWC))
    assert names["CLASSES"] == list(data.classes)
    with pytest.raises(ValueError, match=r"B x 8 x 8 x 1 is expected, not \(5, 4, 8, 1\)"):
        names["preprocess"](images_BHWC[:, 4:])


def test_names_and_titles_of_any_kind_are_written_safely():
    shape = {"in_channels": 3, "num_classes": 2}
    odd = ['"', "'", "\\", '"""', "a\nb", "ü", "{x}", "😀"]
    plain = network(stage())

    for title in ('"""', "\\", "x" * 300, "a\nb", "'''", 'ends with "', "ends with \\", "nul \0 \ud800"):
        assert executed(source(plain, **shape, title=title, classes=odd))["CLASSES"] == odd
    many = [f"{name} {index}" for index in range(60) for name in odd]
    assert executed(source(plain, **shape, classes=many))["CLASSES"] == many
    assert "CLASSES" not in source(plain, **shape, classes=[f"a rather long name {index}" for index in range(21_000)])


def test_a_file_says_its_number_of_parameters_when_it_is_run(tmp_path):
    standing(tmp_path / "m", PYRAMID)

    told = subprocess.run([sys.executable, "model.py"], cwd=tmp_path / "m", capture_output=True, text=True, check=True)

    assert told.stdout == f"{sum(each.numel() for each in build(PYRAMID, num_classes=7).parameters()):,} parameters\n"


def test_damaged_weights_are_said_to_be_so(tmp_path):
    (folder, images_BCHW), _ = standing(tmp_path / "m", network(stage()))
    path, load = folder / "model.safetensors", executed((folder / "model.py").read_text())["load"]
    whole = path.read_bytes()
    load(folder)
    damaged = (b"", whole[:5], whole[:40], whole[:-4], whole + b"xxxx", b"\xff" * 200, whole.replace(b"F32", b"F99"))
    for data in (*damaged, whole.replace(b'"shape":[32]', b'"shape":[-1]'), b"\x02" + bytes(7) + b"[]"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"model\.safetensors is no whole safetensors file: \S"):
            load(folder)
    with pytest.raises(ExportError, match=r"^model\.py does not run by itself: ValueError: .* is no whole safetensors"):
        run(folder, images_BCHW)
    save_file({"norm.weight": torch.ones(32)}, path)
    with pytest.raises(RuntimeError, match="Missing key"):
        load(folder)


def test_a_file_that_needs_our_packages_does_not_run_alone(tmp_path):
    (folder, images_BCHW), _ = standing(tmp_path / "m", network(stage()))
    (folder / "model.py").write_text(
        (folder / "model.py").read_text().replace("import json", "import json, nas.layers.common")
    )

    with pytest.raises(ExportError, match=r"does not run by itself: ModuleNotFoundError: the file imports nas, and"):
        run(folder, images_BCHW)
    assert sorted(path.name for path in folder.iterdir()) == ["model.py", "model.safetensors"]


def test_embeddings_with_padding_and_strides_keep_their_numbers():
    embedding = Embedding(kernel=7, stride=3, padding=2, norm="layer", activation="relu")

    text = source(network(stage(embedding=embedding)), in_channels=1, num_classes=2)

    assert "ConvEmbedding(nn.Conv2d(1, 32, 7, stride=3, padding=2), nn.LayerNorm(32))" in text
    assert "self.activation = nn.ReLU()" in text
