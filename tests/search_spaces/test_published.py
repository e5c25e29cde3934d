"""Which published networks are points of which space, and the space that CvT-13-NAS was found in."""

import functools

import pytest

import search_spaces
from nas import zoo
from nas.costs import cost
from nas.errors import InputError, SpaceError

HOME = {  # the space of each family; its published members are points of it at their own resolution
    "ConvMixer": "isotropic",
    "MLP-Mixer": "isotropic",
    "gMLP": "isotropic",
    "ResMLP": "isotropic",
    "DeiT": "isotropic",
    "ViT": "isotropic",
    "PoolFormer": "metaformer",
    "MetaFormer": "metaformer",
    "IdentityFormer": "metaformer",
    "RandFormer": "metaformer",
    "PoolFormerV2": "metaformer",
    "ConvFormer": "metaformer",
    "CAFormer": "metaformer",
    "CvT": "cvt",
}
OUTSIDE = {
    "pvt-tiny": "patch embeddings with a norm and reduced keys have no space of their own",
    "pvt-small": "as pvt-tiny",
    "pvt-medium": "as pvt-tiny",
    "pvt-large": "as pvt-tiny",
    "cvt-cifar10": "another projection, norm and kernel than CvT's",
    "metaformer-rrrr-s12": "a random matrix over 56x56 tokens: the space offers it up to 28x28",
    "cvt-13-nas": "its blocks differ within a stage, which cvt13-nas searches and cvt does not",
}


@functools.cache
def space(name, resolution):
    return search_spaces.get(name, resolution)


@pytest.mark.parametrize("name", [name for name in zoo.names() if name not in OUTSIDE])
def test_a_published_network_is_a_point_of_the_space_of_its_family(name):
    architecture = zoo.get(name)
    home = space(HOME[zoo.entry(name).family], architecture.resolution)

    genome = home.encode(architecture)

    assert home.decode(genome) == architecture


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_is_outside(name):
    architecture = zoo.get(name)

    for home in ("metaformer", "cvt", "isotropic"):
        with pytest.raises(SpaceError, match=r"^not in the space: "):
            space(home, architecture.resolution).encode(architecture)


@pytest.mark.parametrize("name", ["cvt-13", "cvt-13-kv1", "cvt-13-nas"])
def test_cvt_13_and_its_kin_are_points_of_cvt13_nas(name):
    home = space("cvt13-nas", 224)

    assert home.decode(home.encode(zoo.get(name))) == zoo.get(name)


def test_cvt13_nas_has_26_genes_and_4_to_the_13_networks():
    home = space("cvt13-nas", 224)

    count = home.count()

    assert len(home) == 26
    assert {gene.path.split(".")[-1] for gene in home.genes} == {"kv_stride", "mlp_ratio"}
    assert (count.value, count.exact) == (4**13, True)


@pytest.mark.parametrize(
    ("stride", "ratio", "params", "gmacs"),
    [(2, 4, 19_997_480, 4.566), (2, 2, 13_779_368, 3.12), (1, 2, 13_779_368, 5.20), (1, 4, 19_997_480, 6.64)],
)
def test_the_corners_of_cvt13_nas_cost_what_counting_by_hand_gives(stride, ratio, params, gmacs):
    """Counted for the four corners by the closed form of a CvT block, 12C^2 + 46C at ratio 4."""
    home = space("cvt13-nas", 224)
    genome = home.genome(
        {gene.path: stride if gene.path.endswith("kv_stride") else float(ratio) for gene in home.genes}
    )

    known = cost(home.decode(genome))

    assert known.params == params
    assert known.macs == pytest.approx(gmacs * 1e9, rel=2e-3)


def test_cvt13_nas_refuses_a_map_that_its_strides_do_not_fit():
    with pytest.raises(InputError, match=r"^the space 'cvt13-nas' does not take 8 pixels: stages\[1\]"):
        search_spaces.get("cvt13-nas", 8)
