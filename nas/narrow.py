"""A space with some options left out; paths and labels stay, so that its candidates are candidates of the whole.

A gene with one option left stays a gene: then `Space.params` of a candidate is the same in both spaces, and what one
of them calls it, `Space.genome` of the other reads. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.errors import InputError, unknown
from nas.nodes import Gene
from nas.space import Genome, Space
from nas.template import Narrow, Scalar, alike


def narrowed(space: Space, kept: Mapping[str, Sequence[Scalar]]) -> Space:
    """The space of the candidates that take kept options only.

    Args:
        space: any space, narrowed ones too.
        kept: the labels that are left, by the path of their gene; genes that are not named keep all. Genes under an
            option that is left out vanish with it, and what `kept` says of them counts for nothing.

    Raises: InputError for a gene or label that the space does not have, or a gene without a label.
    """
    genes = {gene.path: gene for gene in space.genes}
    left: dict[str, tuple[Scalar, ...]] = {}
    for path, labels in kept.items():
        if path not in genes:
            raise unknown("gene", path, list(genes))
        if not labels:
            raise InputError(f"{path}: none of its options is kept; at least one is needed")
        for label in labels:
            if not _among(label, genes[path].options):
                known = ", ".join(map(repr, genes[path].options))
                raise InputError(f"{path}: {label!r} is no option; known: {known}")
        left[path] = tuple(label for label in genes[path].options if _among(label, labels))
    if all(len(labels) == len(genes[path].options) for path, labels in left.items()):
        return space
    template, before = _parts(space.template)
    return Space(Narrow(template, {**before, **left}), legal=space.legal)


def carried(genome: Sequence[int], given: Space, to: Space) -> Genome | None:
    """The genome in the space `to` of a candidate of `given`; None where `to` does not hold it.

    One of the two is to be the other one narrowed, or both the same space narrowed.
    """
    genes = {gene.path: gene for gene in to.genes}
    params = given.params(genome)
    if any(path not in genes or not _among(label, genes[path].options) for path, label in params.items()):
        return None
    return to.genome(params)


def settled(space: Space) -> tuple[Gene, ...]:
    """The genes with one option left."""
    return tuple(gene for gene in space.genes if len(gene.options) == 1)


def _parts(template: Any) -> tuple[Any, Mapping[str, tuple[Scalar, ...]]]:
    return (template.template, template.kept) if isinstance(template, Narrow) else (template, {})


def _among(label: Scalar, labels: Sequence[Scalar]) -> bool:
    return any(alike(label, each) for each in labels)
