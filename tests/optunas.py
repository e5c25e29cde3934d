"""What tests do to a database behind the back of mixer-nas: with plain Optuna, and with plain SQL."""

import optuna
import sqlalchemy
from optuna.trial import TrialState

from nas import Space, int_range, one_of, search

optuna.logging.set_verbosity(optuna.logging.ERROR)

KINDS = ("skip", "conv3", "conv5")
WAYS = {"max": "maximize", "min": "minimize"}


def own_space():
    """What `suggested` suggests: 3^3 * 3 candidates."""
    return Space({**{f"layer{index}": one_of(*KINDS) for index in range(3)}, "depth": int_range(1, 3)})


def own_costs(candidate):
    return {"macs": float(candidate["depth"] * sum({"skip": 0, "conv3": 3, "conv5": 5}[x] for x in layers(candidate)))}


def layers(candidate):
    return [value for name, value in candidate.items() if name.startswith("layer")]


def accuracy(candidate):
    return sum(value == "conv3" for value in layers(candidate)) / 3


def suggested(trial):
    """A candidate of `own_space`, by the calls that a user of Optuna makes."""
    found = {f"layer{index}": trial.suggest_categorical(f"layer{index}", KINDS) for index in range(3)}
    return {**found, "depth": trial.suggest_int("depth", 1, 3)}


def made_by_optuna(url, goals, sampler=None, name="s"):
    """A study without metric names."""
    ways = [WAYS[goal.split(":")[1]] for goal in goals]
    return optuna.create_study(
        storage=url, study_name=name, directions=ways, sampler=sampler or optuna.samplers.RandomSampler(seed=1)
    )


def run_by_optuna(study, trials=6, failed=(), pruned=()):
    """Evaluate through `study.optimize`."""

    def objective(trial):
        candidate = suggested(trial)
        several = len(study.directions) > 1
        if trial.number in failed:
            raise RuntimeError("no luck")
        if not several:
            trial.report(0.9, 1)
        if trial.number in pruned:
            raise optuna.TrialPruned
        values = [accuracy(candidate), own_costs(candidate)["macs"]]
        return values if several else values[0]

    study.optimize(objective, n_trials=trials, catch=RuntimeError)


def add_complete(study, params, values, distributions=None):
    """One trial as it is."""
    fixed = {name: optuna.distributions.CategoricalDistribution(KINDS) for name in params}
    distributions = {
        **fixed,
        **({"depth": optuna.distributions.IntDistribution(1, 3)} if "depth" in params else {}),
    } | (distributions or {})
    study.add_trial(
        optuna.trial.create_trial(state=TrialState.COMPLETE, params=params, distributions=distributions, values=values)
    )


def loaded(url, name="s"):
    return optuna.load_study(storage=url, study_name=name)


FIELDS = (
    "number", "state", "params", "distributions", "values", "intermediate_values", "user_attrs", "system_attrs",
    "datetime_start", "datetime_complete",
)  # fmt: skip


def frozen(url, name="s"):
    """What Optuna reads: of the study, and every field of every trial."""
    study = loaded(url, name)
    trials = [{field: getattr(trial, field) for field in FIELDS} for trial in study.trials]
    return (study.directions, study.user_attrs), trials


def states(url, name="s"):
    return [trial.state for trial in loaded(url, name).trials]


def run(url, tmp_path, evaluate=None, **options):
    """`nas.search` over `own_space`, inline."""

    def share(candidate, budget, report):
        return {"accuracy": accuracy(candidate)}

    arguments = {
        "objectives": ["accuracy:max"], "costs": own_costs, "trials": 8, "storage": url, "study": "s",
        "runner": "inline", "sampler": "random", "checkpoints": tmp_path / "c",
    }  # fmt: skip
    return search(options.pop("space", None) or own_space(), evaluate or share, **{**arguments, **options})


def sql(url, query, **values):
    """Run a statement of plain SQL; its rows, if it has any."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        found = connection.execute(sqlalchemy.text(query), values)
        result = [tuple(row) for row in found] if found.returns_rows else None
    engine.dispose()
    return result


def contents(url):
    """Every row of every table."""
    engine = sqlalchemy.create_engine(url)
    found = {}
    with engine.begin() as connection:
        for table in sorted(sqlalchemy.inspect(connection).get_table_names()):
            rows = connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}"'))
            found[table] = sorted(map(repr, rows))
    engine.dispose()
    return found
