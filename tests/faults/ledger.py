"""What must hold in a database after a search, whatever happened to it: the checks are written anew, not the product's."""

import collections
import json

import optuna
import sqlalchemy

FINAL = {"complete", "fail", "pruned"}


def rows(url, query, **values):
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        found = connection.execute(sqlalchemy.text(query), values)
        result = [tuple(row) for row in found.fetchall()] if found.returns_rows else None
    engine.dispose()
    return result


def evaluations(search):
    """{number: [(attempt, state, metrics, curve), ...]} of our table."""
    query = (
        "SELECT number, attempt, nas_evaluations.state, metrics, curve FROM nas_evaluations JOIN studies "
        "ON studies.study_id = nas_evaluations.study_id WHERE study_name = :study ORDER BY number, attempt"
    )
    found = collections.defaultdict(list)
    for number, attempt, state, metrics, curve in rows(search.url, query, study=search.study):
        found[number].append((attempt, state, json.loads(metrics), json.loads(curve)))
    return dict(found)


def trials(search):
    """The trials as anybody with Optuna sees them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    engine_options = {"poolclass": sqlalchemy.NullPool}
    storage = optuna.storages.RDBStorage(search.url, engine_kwargs=engine_options)
    found = optuna.load_study(study_name=search.study, storage=storage).trials
    storage.engine.dispose()
    return found


def complete(search):
    """Numbers of the trials that have a result in the database; none where there is no study."""
    try:
        return {trial.number for trial in trials(search) if trial.state.name == "COMPLETE"}
    except KeyError:
        return set()


def faults(search):
    """Everything that is wrong with a search that has ended, in words."""
    wrong = []
    theirs, ours = {trial.number: trial for trial in trials(search)}, evaluations(search)
    if sorted(theirs) != list(range(search.trials)):
        wrong.append(f"{search.trials} trials were asked for, Optuna has {sorted(theirs)}")
    if sorted(ours) != sorted(theirs):
        wrong.append(f"Optuna has the trials {sorted(theirs)} and we {sorted(ours)}")
    for number in sorted(theirs.keys() & ours.keys()):
        wrong += [f"trial {number}: {fault}" for fault in _faults(theirs[number], ours[number], search.objectives)]
    digests = [trial.user_attrs["digest"] for trial in theirs.values()]
    if len(set(digests)) != len(digests):
        wrong.append("one network is two trials")
    driver = rows(search.url, "SELECT driver FROM nas_studies WHERE name = :study", study=search.study)
    if driver != [(None,)]:
        wrong.append(f"after the end it is driven by {driver}")
    return wrong + sound(search.url)


def _faults(trial, attempts, objectives):
    state = trial.state.name.lower()
    if state not in FINAL:
        yield f"Optuna has it {state} after the end"
    if attempts[-1][1] != state:
        yield f"Optuna has it {state} and we {attempts[-1][1]}"
    if [attempt for attempt, *_ in attempts] != list(range(1, len(attempts) + 1)):
        yield f"its attempts are {[attempt for attempt, *_ in attempts]}"
    if any(told != "lost" for _, told, *_ in attempts[:-1]):
        yield f"its attempts ended as {[told for _, told, *_ in attempts]}"
    if state == "complete":
        values = [attempts[-1][2][goal.split(":")[0]] for goal in objectives]
        if trial.values != values:
            yield f"Optuna has the values {trial.values} and we {values}"
        steps = {int(step): metrics["accuracy"] for step, metrics in attempts[-1][3].items()}
        if len(objectives) == 1 and trial.intermediate_values != steps:
            yield f"Optuna has the steps {trial.intermediate_values} and we {steps}"


def sound(url):
    """What the database says of itself."""
    if not url.startswith("sqlite"):
        return []
    found = rows(url, "PRAGMA integrity_check")
    return [] if found == [("ok",)] else [f"integrity_check: {found}"]


def outcome(search):
    """What an undisturbed search of the same seed must have, too: (number, parameters, state, values, attempts)."""
    attempts = evaluations(search)
    return [
        (
            trial.number,
            trial.params,
            trial.state.name,
            trial.values,
            [one[:2] for one in attempts.get(trial.number, [])],
        )
        for trial in trials(search)
    ]


def everything(url):
    """Every row of every table, to see whether anything at all was written."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    names = sorted(sqlalchemy.inspect(engine).get_table_names())
    with engine.begin() as connection:
        found = {name: connection.execute(sqlalchemy.text(f"SELECT * FROM {name}")).fetchall() for name in names}
    engine.dispose()
    return {name: sorted(map(str, rows_)) for name, rows_ in found.items()}
