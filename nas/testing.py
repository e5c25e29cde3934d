"""What a token mixer must keep to, as one call for the test of a mixer of your own."""

from __future__ import annotations

import random

import torch
from torch.nn.functional import cross_entropy

from nas.architecture import Architecture, Block, Embedding, Stage
from nas.audit import traced_macs
from nas.costs import cost
from nas.errors import SpaceError
from nas.mixers import MIXERS, Mixer
from nas.model import build
from nas.space import Space, of, one_of
from nas.tally import Place


def check_mixer(mixer: Mixer, *, width: int = 16, side: int = 8) -> None:
    """Hold `mixer` against the contract of a token mixer, at `width` channels on a `side` x `side` map.

    It gives tokens of the shape it took, moves with every trainable parameter, treats the images of a batch apart,
    costs what its formula says (parameters and MACs, by trace), and survives JSON and a space.
    Raises: AssertionError saying what is broken.
    """
    assert MIXERS.get(mixer.kind) is type(mixer), f"{mixer.kind}: the class is not registered; put @register above it"
    torch.manual_seed(0)
    _check_shape(mixer, Place(width, side))
    architecture = _around(mixer, width, side)
    model = build(architecture, num_classes=5)
    images, classes = torch.randn(4, 3, 2 * side, 2 * side), torch.tensor([0, 1, 2, 3])
    cross_entropy(model.train()(images), classes).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{mixer.kind}: no gradient reaches {name}"
            assert torch.isfinite(parameter.grad).all(), f"{mixer.kind}: the gradient of {name} is not finite"
    with torch.no_grad():
        together = model.eval()(images)
        alone = torch.cat([model(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-4), f"{mixer.kind}: an image depends on the others of its batch"
    _check_costs(mixer, architecture, model)
    again = Architecture.from_json(architecture.to_json())
    assert again == architecture, f"{mixer.kind}: JSON gives back {again.stages[0].blocks[0].mixer!r}"
    _check_choices(type(mixer), width, side)


def _check_shape(mixer: Mixer, place: Place) -> None:
    """Tokens keep their shape; a class token is mixed along, or refused by `faults_at`."""
    token = place._replace(extra=1)
    refused = any(mixer.faults_at(token))
    assert mixer.takes_class_token or refused, (
        f"{mixer.kind}: faults_at lets a class token pass; call super().faults_at"
    )
    for each in (place,) if refused else (place, token):
        x_BNC = torch.randn(2, each.tokens, each.width)
        mixed = mixer.module(each).eval()(x_BNC)
        assert mixed.shape == x_BNC.shape, f"{mixer.kind}: {tuple(x_BNC.shape)} becomes {tuple(mixed.shape)}"


def _around(mixer: Mixer, width: int, side: int) -> Architecture:
    stage = Stage(embedding=Embedding(kernel=2, stride=2), width=width, blocks=(Block(mixer=mixer, mlp_ratio=2),))
    return Architecture(resolution=2 * side, stages=(stage,))


def _check_costs(mixer: Mixer, architecture: Architecture, model: torch.nn.Module) -> None:
    known = cost(architecture, num_classes=5)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    traced = traced_macs(model, resolution=architecture.resolution)
    assert known.params == trained, f"{mixer.kind}: {known.params} parameters by formula, the module has {trained}"
    assert known.macs == traced, f"{mixer.kind}: {known.macs} MACs by formula, {traced} traced"


def _check_choices(cls: type[Mixer], width: int, side: int) -> None:
    """What the spaces offer of it can be drawn, built and found again."""
    rng, place = random.Random(0), of(Block, mixer=one_of(offered=cls.choices()), mlp_ratio=one_of(1.0, 2.0))
    stage = of(Stage, embedding=Embedding(kernel=2, stride=2), width=width, blocks=(place,))
    space = Space(of(Architecture, resolution=2 * side, stages=(stage,)))
    try:
        genome = space.sample(rng)
    except SpaceError as error:
        raise AssertionError(f"{cls.kind}: nothing of choices() fits {width} channels at {side}x{side}") from error
    assert space.encode(space.decode(genome)) == genome, f"{cls.kind}: choices() offers two of the same"
