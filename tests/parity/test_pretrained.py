"""Published weights: what is refused and how it is said, what is understood, and which files are read."""

import functools
import os
import pickle

import numpy as np
import pytest
import torch
from parity import oracles
from safetensors.torch import save_file

from nas import build, pretrained, zoo
from nas.errors import InputError
from nas.mixers import SeparableConv
from nas.zoo.families import conv_mixer, cvt_cifar10, res_mlp, vit
from nas.zoo.metaformer import baseline, pool_former

TINY = vit(32, 2, head_width=16, resolution=32)
POOLS = pool_former((16, 32), (1, 1), layer_scale=0.1, strides=(4, 2), resolution=32)


def weights(architecture=TINY, family="DeiT", source="timm", classes=5):
    """Random weights of ours by the names of a source."""
    model = oracles.randomise(build(architecture, num_classes=classes))
    return {name: value.clone() for name, value in pretrained.translate_back(model, family, source).items()}


def names_of(model):
    return pretrained.translate_back(model, "DeiT", "timm")


def refusal(*arguments):
    """What is said of weights that are not taken: one line, whatever they are."""
    with pytest.raises(InputError) as caught:
        pretrained.load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- weights of another model --------------------------------------------------------------------------------------------


def test_weights_of_another_size_are_refused_with_their_number_and_the_first_shapes():
    tiny = oracles.on_meta(oracles.timm_model, "deit_tiny_patch16_224")

    said = refusal("deit-small", tiny, "timm")

    assert said == (
        "these weights are not of this DeiT, read as timm: 151 of another shape ("  # all but head.bias
        "pos_embed (1, 197, 192) for our stages.0.0.position (1, 197, 384), "
        "cls_token (1, 1, 192) for our stages.0.0.class_token (1, 1, 384), "
        "patch_embed.proj.weight (192, 3, 16, 16) for our stages.0.0.conv.weight (384, 3, 16, 16), ...)"
    )


def test_a_distilled_deit_is_refused_naming_what_distillation_added():
    distilled = oracles.on_meta(oracles.timm_model, "deit_tiny_distilled_patch16_224")

    said = refusal("deit-tiny", distilled, "timm")

    assert said == (
        "these weights are not of this DeiT, read as timm: 3 unknown (dist_token, head_dist.bias, head_dist.weight); "
        "1 of another shape (pos_embed (1, 198, 192) for our stages.0.0.position (1, 197, 192))"
    )


def test_weights_of_another_family_are_refused_by_every_name_that_is_known():
    pools = pretrained.translate_back(oracles.full_size("poolformer-s12"), "PoolFormer", "official")

    said = refusal("cvt-13", pools)

    needed = {
        name
        for name in pretrained.translate_back(oracles.full_size("cvt-13"), "CvT", "official")
        if "tracked" not in name
    }
    missing, unknown = len(needed - pools.keys()), len(pools.keys() - needed)
    assert said.startswith("these weights are not of this CvT, read as official: ")
    assert f" {missing} missing (stage0.patch_embed.proj.weight, stage0.patch_embed.proj.bias, stage0." in said
    assert f"; {unknown} unknown (network.0.0.layer_scale_1, network.0.0.layer_scale_2, network.0.0.mlp" in said
    assert "; 3 of another shape (norm.weight (512,) for our norm.weight (384,), norm.bias (512,) for our" in said


def test_weights_of_a_deeper_and_of_a_shallower_network_are_refused():
    base = pretrained.translate_back(oracles.full_size("resmlp-s24"), "ResMLP", "timm")

    deeper, shallower = refusal("resmlp-s12", base), refusal("resmlp-s36", base)

    assert "read as timm: 144 unknown (blocks.12.linear_tokens.bias, " in deeper
    assert "read as timm: 144 missing (blocks.24.norm1.alpha, blocks.24.norm1.beta, " in shallower


def test_weights_for_another_resolution_are_refused():
    trained = pretrained.translate_back(oracles.full_size("vit-b16-384"), "ViT", "timm")

    said = refusal("vit-b16", trained)

    assert said.endswith(
        ": 1 of another shape (pos_embed (1, 577, 768) for our stages.0.0.position (1, 197, 768))"
    )  # 1 + 24 x 24 rows


@pytest.mark.parametrize("source", ["timm", "transformers", "official"])
def test_the_names_of_another_source_than_the_one_given_are_refused(source):
    state = weights(POOLS, "PoolFormer", source)

    for other in {"timm", "transformers", "official"} - {source}:
        with pytest.raises(InputError, match=f"^these weights are not of this PoolFormer, read as {other}: .* missing"):
            pretrained.load_as(POOLS, "PoolFormer", state, other)


@pytest.mark.parametrize("nothing", [{}, {"model": {}}, {"epoch": 3, "state_dict": {"lr": 0.1}}])
def test_a_checkpoint_without_tensors_is_refused(nothing):
    said = refusal("deit-tiny", nothing)

    assert said == "these weights hold no tensors by name"


# -- names of networks and sources ---------------------------------------------------------------------------------------


def test_an_unknown_network_names_the_nearest():
    said = refusal("cvt13", weights())

    assert said.startswith("unknown architecture 'cvt13': did you mean cvt-13 or ")


def test_an_unknown_source_names_the_nearest_and_all():
    said = refusal("cvt-13", weights(), "transformer")

    assert said == "unknown source 'transformer': did you mean transformers? known: timm, transformers, official"


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(InputError, match=r"^unknown family 'Deit': did you mean DeiT\? known: ConvMixer, "):
        pretrained.load_as(TINY, "Deit", weights())


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("cvt-13", "timm", "timm has no CvT; weights come from transformers or official"),
        ("gmlp-ti16", "official", "official has no gMLP; weights come from timm"),
        ("pvt-tiny", "timm", "timm has no PVT; weights come from transformers or official"),
        ("mixer-b16", "transformers", "transformers has no MLP-Mixer; weights come from timm or official"),
    ],
)
def test_a_source_without_the_family_says_which_have_it(name, source, said):
    assert refusal(name, weights(), source) == said
    with pytest.raises(InputError, match=f"^{said}$"):
        pretrained.translate_back(oracles.full_size(name), zoo.entry(name).family, source)


# -- what fits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["timm", "transformers", "official"])
def test_without_a_source_the_names_that_fit_are_found(source):
    state = weights(POOLS, "PoolFormer", source)

    found = pretrained.load_as(POOLS, "PoolFormer", state)

    for name, value in pretrained.translate_back(found, "PoolFormer", source).items():
        assert torch.equal(value, state[name])


CONVOLUTIONS = (SeparableConv(activation="star_relu", bias=False),) * 4
HEADS = {
    "linear": (TINY, "DeiT", "transformers"),
    "of two layers": (baseline(CONVOLUTIONS, (8,) * 4, (1,) * 4, resolution=32), "ConvFormer", "timm"),
    "numbered": (conv_mixer(16, 2, kernel=3, patch=4, resolution=16), "ConvMixer", "official"),
    "of vit-pytorch": (cvt_cifar10(), "CvT", "official"),
}


@pytest.mark.parametrize("classes", [1, 5, 21_843])
@pytest.mark.parametrize("head", HEADS)
def test_the_number_of_classes_is_that_of_the_checkpoint(head, classes):
    architecture, family, source = HEADS[head]
    state = weights(architecture, family, source, classes)

    model = pretrained.load_as(architecture, family, state, source)

    assert model.num_classes == classes
    assert model(torch.zeros(1, 3, architecture.resolution, architecture.resolution)).shape == (1, classes)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "epoch": 3, "optimizer": {"state": {0: torch.zeros(2)}}},
        lambda state: {"state_dict": state, "arch": "deit"},
        lambda state: {"params": state},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    ],
    ids=["model", "state_dict", "params", "module.", "both"],
)
def test_wrappers_of_releases_and_of_parallel_training_are_understood(wrap):
    state = weights()

    found = pretrained.load_as(TINY, "DeiT", wrap(state))

    assert all(torch.equal(value, state[name]) for name, value in names_of(found).items())


def test_early_checkpoints_without_num_batches_tracked_are_read():
    architecture = conv_mixer(16, 2, kernel=3, patch=4, resolution=16)
    state = weights(architecture, "ConvMixer")
    early = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}

    found = pretrained.load_as(architecture, "ConvMixer", early, "timm")

    assert len(state) - len(early) == 5
    for name, value in pretrained.translate_back(found, "ConvMixer", "timm").items():
        assert torch.equal(value, early.get(name, torch.tensor(0)))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_float32(kind):
    state = {name: value.to(kind) for name, value in weights().items()}

    found = pretrained.load_as(TINY, "DeiT", state)

    assert {parameter.dtype for parameter in found.parameters()} == {torch.float32}
    assert all(torch.equal(value, state[name].float()) for name, value in names_of(found).items())


def test_training_what_was_loaded_leaves_the_checkpoint_alone():
    state = weights()
    before = {name: value.clone() for name, value in state.items()}
    found = pretrained.load_as(TINY, "DeiT", state)

    with torch.no_grad():
        for parameter in found.parameters():
            parameter.zero_()

    assert not found.training
    assert all(torch.equal(value, before[name]) for name, value in state.items())


# -- files ---------------------------------------------------------------------------------------------------------------


def save_arrays(state, path):
    np.savez(path, **{name: value.numpy() for name, value in state.items()})


WRITERS = {
    "weights.safetensors": save_file,
    "weights.npz": save_arrays,
    "weights.pth": torch.save,
    "old.pth.tar": functools.partial(torch.save, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("file", WRITERS)
def test_files_are_read_as_they_were_written(file, tmp_path):
    state = weights(res_mlp(32, 2, layer_scale=0.1, resolution=32), "ResMLP", "official")
    WRITERS[file](state, tmp_path / file)

    found = pretrained.read(tmp_path / file)

    assert found.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in found.items())


def test_pieces_of_one_of_our_tensors_are_saved_and_read_apart(tmp_path):
    model = oracles.randomise(build(TINY, num_classes=5))
    save_file(pretrained.translate_back(model, "ViT", "transformers"), tmp_path / "vit.safetensors")

    found = pretrained.load_as(TINY, "ViT", pretrained.read(tmp_path / "vit.safetensors"))

    assert all(torch.equal(value, model.state_dict()[name]) for name, value in found.state_dict().items())


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


TRAPS = {
    "weights.pth": lambda trap, path: torch.save({"w": torch.zeros(1), "args": trap}, path),
    "old.pth": lambda trap, path: torch.save({"args": trap}, path, _use_new_zipfile_serialization=False),
    "plain.pth": lambda trap, path: path.write_bytes(pickle.dumps(trap, protocol=2)),
    "weights.npz": lambda trap, path: np.savez(path, w=np.zeros(1), args=np.array([trap], dtype=object)),
    "plain.npz": lambda trap, path: path.write_bytes(pickle.dumps(trap)),
    "plain.safetensors": lambda trap, path: path.write_bytes(pickle.dumps(trap)),
}


@pytest.mark.parametrize("file", TRAPS)
def test_a_file_that_would_run_code_is_refused_and_runs_none(file, tmp_path):
    TRAPS[file](Trap(tmp_path / "sprung"), tmp_path / file)

    with pytest.raises(InputError, match="weights that can be read safely") as caught:
        pretrained.read(tmp_path / file)

    assert str(tmp_path / file) in str(caught.value)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(FileExistsError):  # the trap is one: unpickled, it would make the folder
        pickle.loads(pickle.dumps(Trap(tmp_path)))


def cut(file, path, share):
    WRITERS[file](weights(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("file", WRITERS)
def test_a_missing_file_is_said_to_be_missing_not_to_be_unsafe(file, tmp_path):
    with pytest.raises(InputError) as caught:
        pretrained.read(tmp_path / file)

    assert str(caught.value).startswith(f"{tmp_path / file}: No such file or directory")


DAMAGE = {
    "folder": lambda file, path: path.mkdir(),
    "empty": lambda file, path: path.touch(),
    "garbage": lambda file, path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "text": lambda file, path: path.write_text("<html>404: Not Found</html>\n" * 9),
    "cut at once": functools.partial(cut, share=0.01),
    "cut in half": functools.partial(cut, share=0.5),
    "cut at the end": functools.partial(cut, share=0.999),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", WRITERS)
def test_a_damaged_file_is_an_error_of_one_line_that_names_it(file, damage, tmp_path):
    path = tmp_path / file
    DAMAGE[damage](file, path)

    with pytest.raises(InputError) as caught:
        pretrained.read(path)

    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "kind"), [([torch.zeros(1)], "list"), (torch.zeros(1), "Tensor")])
def test_a_torch_file_of_something_else_than_names_is_refused(content, kind, tmp_path):
    torch.save(content, tmp_path / "weights.pth")

    with pytest.raises(InputError, match=f" holds a {kind}, not a state dict$"):
        pretrained.read(tmp_path / "weights.pth")
