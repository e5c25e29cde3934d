"""The genes of trials, read from the database without the space."""

from evaluations import share_of_conv3

from nas import Space, int_range, one_of, search
from nas.store.genes import read_genes
from nas.store.reading import read_study


def test_genes_are_those_of_the_space_and_only_active_ones_are_taken(database, tmp_path):
    space = Space(
        {"depth": int_range(1, 3), "mixer": one_of(pool={"size": one_of(3, 5)}, none="none"), "x": one_of(0.5, 1.0)}
    )
    search(
        space, lambda candidate, budget, report: {"accuracy": 0.5}, objectives=["accuracy:max"], trials=40,
        sampler="random", runner="inline", storage=database, study="s", checkpoints=tmp_path,
    )  # fmt: skip

    found = read_genes(database, "s")

    assert found.options == {gene.path: gene.options for gene in space.genes}
    trials = read_study(database, "s").trials
    assert found.taken == {trial.number: space.params(trial.genome) for trial in trials}
    assert len({len(genes) for genes in found.taken.values()}) == 2


def test_a_study_without_trials_has_none(layers, tmp_path):
    database = f"sqlite:///{tmp_path}/nas.db"
    search(
        layers, share_of_conv3, objectives=["accuracy:max"], trials=1, timeout=1e-9, runner="inline", storage=database,
        study="s", checkpoints=tmp_path,
    )  # fmt: skip

    assert not read_study(database, "s").trials
    assert (read_genes(database, "s").options, read_genes(database, "s").taken) == ({}, {})
