"""What the tests of the default sampler share: spaces with a truth, and searches in them."""

import random

from nas import Space, int_range, one_of
from nas.feasible import Pricing
from nas.objectives import limits_from, objectives_from
from nas.samplers import Outcome, make_sampler

LAYERS = Space(
    {
        **{f"mixer{index}": one_of("pool", "conv", "attention", "mlp") for index in range(4)},
        **{f"width{index}": int_range(1, 6) for index in range(4)},
        **{f"norm{index}": one_of("layer", "batch") for index in range(4)},
    }
)  # 12 genes, 5.3 million candidates
WORTH = {"pool": 0.0, "conv": 0.6, "attention": 1.0, "mlp": 0.3}
PRICE = {"pool": 1.0, "conv": 2.0, "attention": 4.0, "mlp": 2.5}


def accuracy(value):
    """Attention late, width everywhere with less and less return, and norms that suit the mixer."""
    found = 0.0
    for index in range(4):
        mixer, width = value[f"mixer{index}"], value[f"width{index}"]
        found += WORTH[mixer] * (0.5 + 0.25 * index) + 1.2 * (1 - 0.6**width)
        found += 0.4 * ((value[f"norm{index}"] == "layer") == (mixer in ("attention", "mlp")))
    return found / 10


def macs(value):
    return {"macs": sum(PRICE[value[f"mixer{index}"]] * value[f"width{index}"] for index in range(4))}


def sampler_of(name="auto", goals=("accuracy:max",), limits=(), seed=0, space=LAYERS, costs=macs, **more):
    pricing = Pricing(space, costs, limits_from(list(limits)))
    return make_sampler(name, space, objectives_from(list(goals)), seed, pricing=pricing, **more)


def taken(sampler, space=LAYERS):
    """A proposal that is evaluated: genome, handle and origin."""
    proposal = sampler.ask()
    genome = space.canonical(proposal.genome)
    return genome, sampler.accept(proposal, genome), proposal.origin


def searched(sampler, outcome, trials, space=LAYERS):
    """The genomes of so many trials one after the other."""
    found = []
    for _ in range(trials):
        genome, handle, _ = taken(sampler, space)
        sampler.tell(handle, outcome(space.decode(genome)))
        found.append(genome)
    return found


def results(count, outcome, seed=0, space=LAYERS):
    """Of random candidates."""
    rng = random.Random(seed)
    genomes = [space.sample(rng) for _ in range(count)]
    return [(genome, outcome(space.decode(genome))) for genome in genomes]


def told(value):
    return Outcome([accuracy(value)])
