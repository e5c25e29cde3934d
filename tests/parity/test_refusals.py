"""Weights that are nearly right are refused by name, and what is given back is the caller's own."""

import pytest
import torch

from nas import build, pretrained
from nas.errors import InputError
from nas.zoo.families import vit


def small_vit(source="transformers"):
    architecture = vit(96, 2, head_width=32, resolution=64)
    return architecture, pretrained.translate_back(build(architecture, num_classes=3), "ViT", source)


@pytest.mark.parametrize("shapes", [((288, 96), (7,)), ((90, 96), (102, 96)), ((96, 90), (96, 90))])
def test_pieces_that_only_fit_together_are_refused(shapes):
    architecture, state = small_vit()
    query = "vit.encoder.layer.0.attention.attention.query.weight"
    changed = {query: torch.zeros(shapes[0]), query.replace("query", "key"): torch.zeros(shapes[1])}

    with pytest.raises(InputError, match=r"of another shape \(vit\.encoder\.layer\.0\.attention\.attention\.query"):
        pretrained.load_as(architecture, "ViT", {**state, **changed}, "transformers")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wrappers_of_torch_put_before_names_is_taken_off(prefix):
    architecture, state = small_vit("timm")

    model = pretrained.load_as(architecture, "ViT", {prefix + name: value for name, value in state.items()}, "timm")

    assert torch.equal(model.state_dict()["norm.weight"], state["norm.weight"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value.clone().fill_(float("nan")),
        lambda value: value.to(torch.complex64),
        lambda value: value.to_sparse(),
    ],
)
def test_weights_that_are_no_dense_finite_numbers_are_refused_by_name(spoil):
    architecture, state = small_vit("timm")

    with pytest.raises(InputError, match=r"^these weights hold norm\.weight "):
        pretrained.load_as(architecture, "ViT", {**state, "norm.weight": spoil(state["norm.weight"])}, "timm")


@pytest.mark.parametrize("state", [[], {0: torch.zeros(1)}, {"model": {1: torch.zeros(1)}}, None, {}])
def test_what_is_no_state_dict_is_refused(state):
    with pytest.raises(InputError, match=r"^these weights "):
        pretrained.load("cvt-13", state)


def test_what_is_given_back_shares_nothing_with_the_model():
    model = build(vit(96, 2, head_width=32, resolution=64), num_classes=3)
    state = pretrained.translate_back(model, "ViT", "timm")

    owned = {value.data_ptr() for value in model.state_dict().values()}

    assert not owned & {value.data_ptr() for value in state.values()}
