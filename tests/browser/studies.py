"""Studies of every kind in one database, made in seconds: nothing is trained."""

import contextlib
import random

import optuna

import search_spaces
from nas import Space, one_of, search
from nas.costs import cost
from nas.store.database import optuna_storage

MARKUP = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(2)</script> [link](javascript:alert(3)) ![far](http://evil.example/x.png) www.evil.example"


def costs(architecture):
    return cost(architecture, num_classes=10, in_channels=1).as_dict()


def guess(architecture, budget, report):
    """Accuracy by a formula, an epoch at a time; the fifth trial fails."""
    if budget.seed == 5:
        raise RuntimeError(SCRIPT)
    found = 1 - 1e4 / (1e4 + costs(architecture)["params"])
    for epoch in range(budget.start + 1, budget.stop + 1):
        report(epoch, {"accuracy": found * (1 - 0.5**epoch)})
    return {"accuracy": found * (1 - 0.5**budget.stop)}


def fails(candidate, budget, report):
    raise RuntimeError("nothing works")


def is_stopped(candidate, budget, report):
    report(1, {"accuracy": 0.5})
    if budget.seed == 2:
        raise KeyboardInterrupt
    return {"accuracy": 0.5 + budget.seed / 10}


def make(url, folder):
    """Their ids by name."""
    common = {"storage": url, "runner": "inline", "checkpoints": folder}
    space = search_spaces.get("metaformer", 8)
    search(
        space, guess, objectives={"accuracy": "maximize", "macs": "minimize"}, costs=costs, trials=16, epochs=(1, 4),
        factor=2, constraints={"accuracy": ">= 0.91"}, sampler="random", start=_starts(space), study="front", **common,
    )  # fmt: skip
    layers = Space({f"layer{index}": one_of("skip", "conv3", MARKUP) for index in range(3)})
    one = {"objectives": ["accuracy:max"], "sampler": "random", **common}
    search(layers, lambda *_: {"accuracy": 0.5}, trials=1, study="single", **one)
    search(layers, fails, trials=4, study="failed", **one)
    with contextlib.suppress(KeyboardInterrupt):
        search(layers, is_stopped, trials=9, study="running", **one)
    storage = optuna_storage(url)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    plain = optuna.create_study(storage=storage, study_name=MARKUP)
    plain.optimize(lambda trial: trial.suggest_categorical(MARKUP, [MARKUP, "b"]) == "b", n_trials=3)
    storage.set_study_system_attr(plain._study_id, "study:metric_names", [MARKUP])
    optuna.create_study(storage=storage, study_name="empty")
    found = {study.study_name: study._study_id for study in storage.get_all_studies()}
    storage.engine.dispose()
    return found


def _starts(space):
    rng = random.Random(1)
    return [space.decode(space.sample(rng)) for _ in range(2)]
