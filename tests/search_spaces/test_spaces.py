"""The spaces that come along: legal, invertible, buildable, and holding the genes that they promise."""

import functools
import random

import pytest
import torch

import search_spaces
from nas.architecture import Architecture
from nas.errors import InputError
from nas.model import build

NAMES = tuple(search_spaces.SPACES)
SIDES = (8, 28, 32, 224)
EACH = [(name, side) for name in NAMES for side in SIDES if (name, side) != ("cvt13-nas", 8)]  # which refuses 8 pixels


@functools.cache
def space(name, resolution):
    return search_spaces.get(name, resolution)


def genes_of(name, resolution):
    return {gene.path: gene.options for gene in space(name, resolution).genes}


def ends(paths, suffix):
    return [path for path in paths if path.split(".")[-1] == suffix]


@pytest.mark.parametrize(("name", "resolution"), EACH)
def test_samples_are_legal_architectures_that_encode_back(name, resolution):
    source, rng = space(name, resolution), random.Random(1)

    genomes = [source.sample(rng) for _ in range(100)]

    for genome in genomes:
        architecture = source.decode(genome)
        assert isinstance(architecture, Architecture)
        assert architecture.resolution == resolution
        assert source.encode(architecture) == genome
        assert source.genome(source.params(genome)) == genome
        assert source.encode(Architecture.from_json(architecture.to_json())) == genome
        assert source.identity(architecture) == architecture.digest
    assert len(set(genomes)) > 90


@pytest.mark.parametrize(("name", "resolution"), EACH)
def test_different_genomes_are_different_networks(name, resolution):
    source, rng = space(name, resolution), random.Random(2)

    genomes = {source.sample(rng) for _ in range(300)}

    assert len({source.decode(genome).digest for genome in genomes}) == len(genomes)


@pytest.mark.parametrize(("name", "resolution"), EACH)
def test_every_option_of_every_gene_is_taken_by_a_legal_candidate(name, resolution):
    source, rng = space(name, resolution), random.Random(3)
    seen = set()

    for _ in range(2000):
        seen |= {(path, repr(option)) for path, option in source.params(source.sample(rng)).items()}

    assert seen == {(gene.path, repr(option)) for gene in source.genes for option in gene.options}


@pytest.mark.parametrize(("name", "resolution"), [each for each in EACH if each[1] < 224])
def test_samples_are_built_and_give_logits(name, resolution):
    source, rng = space(name, resolution), random.Random(4)
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    for _ in range(8):
        channels = rng.choice((1, 3))
        model = build(source.decode(source.sample(rng)), in_channels=channels, num_classes=10).eval()
        with torch.no_grad():
            logits = model(torch.randn(2, channels, resolution, resolution))

        assert logits.shape == (2, 10)
        assert torch.isfinite(logits).all()
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_for_224_pixels_is_built(name):
    source = space(name, 224)

    architecture = source.decode(source.sample(random.Random(5)))

    with torch.device("meta"):
        model = build(architecture, num_classes=10)
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 10)


@pytest.mark.parametrize("resolution", SIDES)
def test_metaformer_searches_mixer_depth_width_mlp_ratio_and_norm_of_every_stage(resolution):
    stages = {8: 2, 28: 3, 32: 3, 224: 4}[resolution]
    styles = ("poolformer.", "baseline.") if resolution == 224 else ("",)

    genes = genes_of("metaformer", resolution)

    for index in range(stages):
        for field in ("mixer", "depth", "width", "mlp_ratio", "norm"):
            assert all(len(genes[f"{style}stages.{index}.{field}"]) > 1 for style in styles)
    mixers = set().union(*(genes[f"{styles[0]}stages.{index}.mixer"] for index in range(stages)))
    published = {"token_linear", "random_mixing", "multi_axis_mlp"} if resolution == 224 else set()
    assert mixers == {
        *("identity", "pooling", "depthwise_conv", "separable_conv", "attention", "conv_attention"),
        *published,
    }
    assert not [path for path in genes if f"stages.{stages}." in path]


@pytest.mark.parametrize("resolution", SIDES)
def test_the_kernels_and_strides_of_convolutional_projections_are_searched(resolution):
    style, half = ("poolformer.", "published.") if resolution == 224 else ("", "")
    for name, place in (("metaformer", f"{style}stages.0.mixer.conv_attention."), ("cvt", f"{half}stages.0.mixer.")):
        genes = genes_of(name, resolution)

        for field, options in (("q_kernel", {1, 3}), ("kv_kernel", {1, 3, 5}), ("kv_stride", {1, 2, 4})):
            found = {path: set(genes[path]) for path in ends(genes, field)}
            assert f"{place}{field}" in found, name
            assert all(choices <= options for choices in found.values())
            assert len(set().union(*found.values())) > 1


@pytest.mark.parametrize("resolution", SIDES)
def test_cvt_searches_embedding_width_depth_and_mlp_ratio(resolution):
    genes = genes_of("cvt", resolution)

    found = {field: ends(genes, field) for field in ("embedding", "width", "depth", "mlp_ratio")}

    stages = {8: 2, 28: 3, 32: 3, 224: 2 * 3}[resolution]  # from 64 pixels on in two halves
    assert all(len(found[field]) == stages for field in ("width", "depth", "mlp_ratio"))
    assert found["embedding"]


@pytest.mark.parametrize("resolution", SIDES)
def test_isotropic_searches_patch_width_depth_layout_mixer_position_and_norm(resolution):
    genes = genes_of("isotropic", resolution)

    fields = {path.split(".")[-1] for path in genes}

    assert {"embedding", "width", "depth", "mixer", "mlp_ratio", "position", "head", "kernel"} <= fields


@pytest.mark.parametrize("name", NAMES)
def test_a_space_of_one_resolution_has_one_digest_and_of_others_another(name):
    sides = (28, 32, 64, 224) if name == "cvt13-nas" else (8, 16, 28, 32, 224)

    first, second = ([search_spaces.get(name, side).digest for side in sides] for _ in range(2))

    assert first == second
    assert len(set(first)) == len(sides)


def test_different_spaces_have_different_digests():
    names = NAMES

    digests = {space(name, 32).digest for name in names}

    assert len(digests) == len(names)


def test_an_unknown_space_lists_the_nearest_and_the_known_ones():
    name = "metafomer"

    with pytest.raises(
        InputError,
        match=r"^unknown space 'metafomer': did you mean metaformer\? known: metaformer, cvt, cvt13-nas, isotropic$",
    ):
        search_spaces.get(name, 32)


@pytest.mark.parametrize("resolution", [-1, 0, 3, 1025])
@pytest.mark.parametrize("name", NAMES)
def test_a_resolution_out_of_range_is_refused(name, resolution):
    get = search_spaces.get

    with pytest.raises(InputError, match=rf"^the space '{name}' takes inputs of 4 to 1024 pixels, not {resolution}$"):
        get(name, resolution)


@pytest.mark.parametrize("name", NAMES)
def test_every_resolution_is_taken_or_refused_in_words(name):
    taken, refusals, rng = [], {}, random.Random(6)

    for resolution in [*range(4, 80), 96, 97, 127, 128, 160, 192, 223, 225, 256, 384, 511, 512, 1000, 1024]:
        try:
            source = search_spaces.get(name, resolution)
        except InputError as error:
            refusals[resolution] = str(error)
            continue
        taken.append(resolution)
        assert source.decode(source.sample(rng)).resolution == resolution

    assert all(str(resolution) in message for resolution, message in refusals.items())
    wanted = {28, 32, 33, 63, 64, 96, 128, 256} | (set() if name == "cvt13-nas" else {4, 7, 8, 16})
    assert wanted <= set(taken)


@pytest.mark.parametrize(("name", "resolution"), EACH)
def test_mutants_crosses_and_neighbours_stay_in_the_space(name, resolution):
    source, rng = space(name, resolution), random.Random(7)
    first, second = source.sample(rng), source.sample(rng)

    mutants = [source.mutate(first, rng) for _ in range(20)]
    children = [source.crossover(first, second, rng) for _ in range(20)]
    near = list(source.neighbours(first))

    assert all(source.contains(genome) for genome in (*mutants, *children, *near))
    assert all(genome != first for genome in (*mutants, *near))
    assert len(set(near)) == len(near) > 5


def test_spaces_are_large():
    counts = {name: space(name, 32).count() for name in NAMES}

    sizes = {name: count.value for name, count in counts.items()}

    assert sizes["metaformer"] > 10**9
    assert sizes["cvt"] > 10**8
    assert sizes["isotropic"] > 10**4
