"""A small space for supernets: every kind of choice, and networks that train in no time."""

from networks import stage

from nas import Space, of, one_of, repeat
from nas.architecture import Architecture, Block, Stage
from nas.costs import cost
from nas.feasible import Pricing
from nas.mixers import Attention, Pooling, SeparableConv
from nas.objectives import Limit
from nas.recipe import Recipe
from nas.supernet.making import Making
from nas.supernet.plan import TrainingPlan


def small(*mixers, norms=("layer", "batch"), widths=(8, 16, 24), depths=(1, 2, 3)):
    """Networks of one stage for images of 8 pixels."""
    mixers = mixers or (of(SeparableConv, kernel=one_of(3, 5)), Attention(head_width=8), Pooling())
    block = of(Block, mixer=one_of(*mixers), mlp_ratio=one_of(1.0, 2.0), norm=one_of(*norms))
    only = of(Stage, embedding=stage().embedding, width=one_of(*widths), blocks=repeat(block, one_of(*depths)))
    return Space(of(Architecture, resolution=8, stages=(only,)))


SMALL = small()


PLAN = TrainingPlan(recipe=Recipe(epochs=2, subset=0.1, batch_size=36, schedule="cosine", warmup=0.5))


def making_of(digits, *limits, space=SMALL, **fields):
    """How a supernet of digits is made in no time."""
    limits = [Limit.parse(each) for each in limits]
    pricing = Pricing(space, lambda candidate: cost(candidate, num_classes=10, in_channels=1).as_dict(), limits)
    return Making(pricing, digits, fields.pop("plan", PLAN), **fields)


def silent(*told):
    """Nobody looks on."""


# as the command has it: a module of one's own, and a search that takes no time
MINE = """
    from nas import Space, of, one_of, repeat
    from nas.architecture import Architecture, Block, Embedding, Stage
    from nas.mixers import Pooling, SeparableConv

    def space(resolution, widths=(8, 16, 24)):
        block = of(Block, mixer=one_of(SeparableConv(kernel=3), Pooling()), norm=one_of("layer", "batch"), mlp_ratio=1.0)
        stage = of(Stage, embedding=Embedding(kernel=4, stride=4), width=one_of(*widths),
                   blocks=repeat(block, one_of(1, 2, 3)))
        return Space(of(Architecture, resolution=resolution, stages=(stage,)))

    def narrower(resolution):
        return space(resolution, (8, 16))

    def judged(candidate, budget, report):
        return {"accuracy": 0.5}
"""
QUICK = ["search", "--space", "mine:space", "--data", "digits", "--epochs", "1", "--runner", "inline",
         "--sampler", "random", "--subset", "0.3", "--batch-size", "64"]  # fmt: skip
SUPER = [*QUICK, "--weights", "supernet"]
